"""Packages that hold next to nothing, for tests that ask no registry."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

from mayfly.wire.agent import EnvironmentPlan


def wheel(folder: Path, name: str, version: str, requires: str = "", text: str = "") -> Path:
    """A package of one module, with `text` in it, and a console script of its name."""
    folder.mkdir(exist_ok=True)
    place = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": text or f"VERSION = {version!r}\ndef main():\n    print('script of', VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return place


def pinned(*wheels: Path) -> str:
    """A lock of these."""
    lines = []
    for place in wheels:
        name, version = place.name.split("-")[:2]
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(place.read_bytes()).hexdigest()}\n")
    return "".join(lines)


def plan(lock: str) -> EnvironmentPlan:
    """The environment of that lock, for this Python."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return EnvironmentPlan(digest=digest, name="tiny", python=sys.executable, python_version=version, lock=lock)


def offline(folder: Path) -> dict[str, str]:
    """Variables of a node that finds packages there and nowhere else."""
    return {"UV_FIND_LINKS": str(folder), "UV_NO_INDEX": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
