"""The words that Azure's job schema knows, and how freely they may be written. Apart from the models: who only looks at a
file does not wait for those to be built."""

from __future__ import annotations

import re

DATA_TYPES = ("uri_file", "uri_folder")
MODEL_TYPES = ("mlflow_model", "custom_model", "triton_model")
ASSET_TYPES = (*DATA_TYPES, "mltable", *MODEL_TYPES)
LITERAL_TYPES = ("string", "number", "integer", "boolean")
INPUT_MODES = ("ro_mount", "download", "direct", "eval_mount", "eval_download")
OUTPUT_MODES = ("rw_mount", "upload", "direct")


def plain(word: str) -> str:
    """The same for every way to write a word (semantics §1.5): uri_file, UriFile, uri-file."""
    return re.sub(r"[_\- ]", "", word).lower()
