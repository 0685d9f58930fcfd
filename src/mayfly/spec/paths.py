"""What a path in a job file refers to, and which of them lie on the submitter's machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Refers(StrEnum):
    """The forms of semantics §2."""

    LOCAL = "a local path"
    ASSET = "a workspace asset"
    REGISTRY = "a registry asset"
    DATASTORE = "a datastore"
    RUN = "another job's output"
    REMOTE = "storage elsewhere"
    GIT = "a git repository"
    BINDING = "an expression"


_FORMS = (
    (re.compile(r"\$\{\{"), Refers.BINDING),
    (re.compile(r"git\+"), Refers.GIT),
    (re.compile(r"azureml://registries/", re.IGNORECASE), Refers.REGISTRY),
    (re.compile(r"azureml://jobs/", re.IGNORECASE), Refers.RUN),
    (re.compile(r"(runs|models|mlflow-artifacts):/", re.IGNORECASE), Refers.RUN),
    (re.compile(r"azureml://", re.IGNORECASE), Refers.DATASTORE),
    (re.compile(r"azureml:[a-z0-9+.-]+://", re.IGNORECASE), Refers.REMOTE),
    (re.compile(r"azureml:", re.IGNORECASE), Refers.ASSET),
    (re.compile(r"file:", re.IGNORECASE), Refers.LOCAL),
    (re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE), Refers.REMOTE),
)


def refers(text: str) -> Refers:
    for pattern, kind in _FORMS:
        if pattern.match(text):
            return kind
    return Refers.LOCAL


def local(text: str) -> str:
    """A local path without its `file:` prefix."""
    if text[:5].lower() != "file:":
        return text
    rest = text[5:]
    return "/" + rest.lstrip("/") if rest.startswith("//") else rest


@dataclass(frozen=True, slots=True)
class LocalPath:
    """Something on the submitter's machine. `path` is as written, without `file:`, relative to the job file."""

    path: str
    kind: Literal["code", "file", "folder", "text", "build"]
    """`text`: a conda file, to be put into the definition rather than uploaded."""
    dockerfile: str = ""
    """Of a build context, relative to it."""
