"""pip's own settings for an index, in the words of uv, which does not read them."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_KEYS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
}
_KEPT = (
    "UV_",
    "SSL_",
    "PIP_CERT",
    "PATH",
    "HOME",
    "LANG",
    "LC_",
    "TMPDIR",
    "http",
    "HTTP",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
)
_TRUE = ("1", "true", "yes", "on")


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for uv that say what pip's variables and configuration files say; what is already set for uv stays.

    As pip does, all indexes are asked and the best version wins (uv alone would stop at the first that knows the name).
    """
    settings = _settings(environ)
    wanted = {name: " ".join(settings[key].split()) for key, name in _KEYS.items() if settings.get(key, "").strip()}
    if "UV_FIND_LINKS" in wanted:
        wanted["UV_FIND_LINKS"] = ",".join(wanted["UV_FIND_LINKS"].split())
    if "UV_INDEX" in wanted:
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if settings.get("trusted-host", "").strip():
        wanted["UV_INSECURE_HOST"] = " ".join(settings["trusted-host"].split())
    certificates = settings.get("cert", "").strip()
    if certificates and Path(certificates).is_file():
        wanted["SSL_CERT_FILE"] = certificates
    older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    return {k: v for k, v in wanted.items() if not environ.get(k) and not environ.get(older.get(k, k))}


def tool_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """All that uv may see of an environment: what names indexes, certificates, proxies and folders. Building a package
    from source runs its authors' code, which has no business with other variables (cloud keys, tokens)."""
    found = {name: value for name, value in environ.items() if name.startswith(_KEPT)}
    return found | uv_environment(environ)


def uv_options(environ: Mapping[str, str]) -> list[str]:
    """Options for what uv has no variable for."""
    return ["--no-index"] if _settings(environ).get("no-index", "").strip().lower() in _TRUE else []


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip itself would complain; a resolution need not fail for it
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _files(environ: Mapping[str, str]) -> list[Path]:
    """pip's configuration files, the weakest first: machine, user, virtual environment, PIP_CONFIG_FILE."""
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    home = Path(environ.get("HOME") or "/nonexistent")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    machine = [Path(folder) / "pip" / "pip.conf" for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    files = [*machine, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user / "pip" / "pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    if chosen:
        files.append(Path(chosen))
    return files
