"""Images made of this machine's own programs by a real podman, in a storage of their own: no registry is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

DOCKERFILE = 'FROM scratch\nCOPY root /\nRUN echo "built: $(cat /lib/said)" > /made\nENV PATH=/usr/bin:/bin WHO=image\n'
_PROGRAMS = ("/bin/sh", "/bin/cat", "/bin/ls", "/usr/bin/id", "/bin/touch", "/bin/sleep", "/bin/rm")


def storage(place: Path) -> dict[str, str]:
    """Variables that give podman a storage there, away from the machine's."""
    settings = place / "storage.conf"
    text = f'[storage]\ndriver = "vfs"\nrunroot = "{place}/run"\ngraphroot = "{place}/graph"\n'
    settings.write_text(text, encoding="utf-8")
    return {"CONTAINERS_STORAGE_CONF": str(settings)}


def context(folder: Path, said: str = "here") -> Path:
    """A build context there, with a few programs of this machine; its image says `built: <said>` in /made."""
    root = folder / "root"
    for program in _PROGRAMS:
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for source in (program, *re.findall(r"(/\S+) \(0x", libraries)):
            target = root / source.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(source, target)
    (root / "lib" / "said").write_text(said, encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    return folder
