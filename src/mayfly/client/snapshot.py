"""From a job file to a submission. What it points to is sent on the way; who points to nothing loads nothing for that."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mayfly.client import gitstate
from mayfly.client.gitstate import GitState
from mayfly.client.jobfile import JobFile

if TYPE_CHECKING:
    from mayfly.client.uploading import ContentDoors, Looking, Progress


@dataclass(frozen=True, slots=True)
class Submission:
    """In the shape of `wire.mayfly.Submission`."""

    definition: dict[str, Any]
    uploads: dict[str, str]
    files: list[str]
    source_name: str
    working_folder_name: str
    git: GitState | None
    only: str = ""
    inputs_from: str = ""

    def body(self) -> dict[str, Any]:
        """The request's."""
        git = {key: value for key, value in asdict(self.git).items() if value is not None} if self.git else None
        return {
            **{name: getattr(self, name) for name in self.__slots__ if name != "git"},
            **({"git": git} if git else {}),
        }


def prepare(
    job_file: JobFile,
    doors: ContentDoors,
    progress: Progress = lambda _what, _done, _total: None,
    *,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda _note: None,
    looking: Looking = lambda _files: None,
    working_folder: Path | None = None,
    trusting: bool = False,
) -> Submission:
    """Check the file, send what is missing, and give the request to make.

    `cache`: a file that remembers digests between calls. `say` gets notes for people, `looking`
    how many files were looked at so far, now and then. Raises Invalid with every fault
    of the file (`JobFile.check`), what scanning raises, with its pointer, and what the doors raise. `trusting`: the
    file is checked only where something is to be sent, or is not there; else the server finds what is wrong with it.
    """
    paths = job_file.plain_paths() if trusting else None
    unchecked = paths is not None
    if paths is None:
        paths = job_file.checked_paths()
    wanted = {pointer: path for pointer, path in paths.items() if path.kind != "text"}
    sent = {}
    if wanted:
        sent = importlib.import_module("mayfly.client.uploading").upload(
            job_file,
            wanted,
            doors,
            progress,
            cache=cache,
            say=say,
            looking=looking,
            lacking=job_file.check if unchecked else lambda: None,
        )
    code = paths.get("/code") or paths.get("/component/code")
    folder = (working_folder or Path.cwd()).resolve()
    return Submission(
        definition=job_file.definition,
        uploads={pointer: one.digest for pointer, one in sent.items()},
        files=[pointer for pointer, one in sent.items() if one.is_file],
        source_name=job_file.path.name,
        working_folder_name=folder.name or "Default",
        git=gitstate.of(_folder(job_file.local(code.path)) if code else _folder(job_file.path)),
        only=job_file.only,
        inputs_from=job_file.inputs_from,
    )


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.absolute().parent
