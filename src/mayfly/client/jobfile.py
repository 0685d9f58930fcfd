"""A job file on the submitter's machine: read, completed with the files it includes, and checked before any server is
asked. Every fault finds its way back to a file and line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.spec import document, overrides
from mayfly.spec import job as spec
from mayfly.spec.document import Document
from mayfly.spec.fields import Refers, local, refers
from mayfly.spec.job import CommandJob, LocalPath


@dataclass(frozen=True, slots=True)
class Part:
    """One file: where its content stands in the definition."""

    path: Path
    """As the person would name it."""
    pointer: str
    document: Document


@dataclass(frozen=True, slots=True)
class JobFile:
    path: Path
    definition: dict[str, Any]
    """As written, `--set` applied, included files in place of their names."""
    parts: tuple[Part, ...]
    """The job file first."""
    overridden: tuple[str, ...] = ()
    """JSON pointers that `--set` gave."""
    faults: tuple[Fault, ...] = field(default=())
    """What went wrong with included files."""

    @property
    def folder(self) -> Path:
        """What local paths are relative to."""
        return self.path.parent

    def locate(self, fault: Fault) -> str:
        """`job.yml:12: message`; only the message where the fault has no place in a file."""
        pointer = fault.pointer
        if pointer is None or any(_within(pointer, given) for given in self.overridden):
            return fault.message
        part = [part for part in self.parts if _within(pointer, part.pointer)][-1]
        place = part.document.position(pointer[len(part.pointer) :])
        return f"{part.path}:{place[0]}: {fault.message}" if place else fault.message

    def check(self) -> CommandJob:
        """The job. Raises Invalid with every fault of the definition (`spec.job.parse`) and every local file or folder
        that is not there: `FileNotFound`, `InputIsAFile`, `InputIsAFolder`."""
        found = list(self.faults)
        job: CommandJob | None = None
        try:
            job = spec.parse(self.definition)
        except Invalid as error:
            if error.code.startswith("JobType"):
                raise
            found += error.all_faults()
        wanted = job.local_paths() if job is not None else _wanted(self.definition)
        for pointer, path in wanted.items():
            fault = self._missing(pointer, path)
            if fault is not None and fault.pointer not in {other.pointer for other in found}:
                found.append(fault)
        if job is None or found:
            raise spec.invalid(found)
        return job

    def local(self, path: str) -> Path:
        """Where a local path of the definition lies."""
        return self.folder / Path(path).expanduser() if path.startswith("~/") else self.folder / path

    def _missing(self, pointer: str, wanted: LocalPath) -> Fault | None:
        place = self.local(wanted.path)
        try:
            is_file, is_folder = place.is_file(), place.is_dir()
        except (OSError, ValueError):
            is_file = is_folder = False
        if not is_file and not is_folder:
            return _not_found(wanted.path, place, pointer)
        if wanted.kind == "folder" and is_file:
            return Fault(
                "InputIsAFile",
                f"'{wanted.path}' is a file, not a folder.",
                pointer,
                "Add 'type: uri_file' to the input.",
            )
        if wanted.kind == "file" and is_folder:
            return Fault(
                "InputIsAFolder", f"'{wanted.path}' is a folder, not a file.", pointer, "Write 'type: uri_folder'."
            )
        return None


def read(path: Path, sets: Iterable[str] = ()) -> JobFile:
    """The file with its `--set`s, and with `environment: file:…` and `conda_file: …` replaced by what those files hold.

    Raises Invalid `JobFileNotFound`, `JobFileUnreadable`, those of `spec.document.load` (their message begins with
    file and line) and `SetInvalid`. What is wrong with an included file is kept for `check`.
    """
    sets = list(sets)
    whole = document.load(_bytes(path), str(path))
    definition = overrides.apply(whole.data, sets)
    changed = tuple(
        "".join(f"/{document.escape(part)}" for part in given.partition("=")[0].strip().split(".")) for given in sets
    )
    return completed(JobFile(path, definition, (Part(path, "", whole),), changed))


def completed(job: JobFile) -> JobFile:
    """With what the files that it includes hold in place of their names."""
    return _with_conda_file(_with_environment(job))


def _with_environment(job: JobFile) -> JobFile:
    """`environment: file:./env.yml` (semantics §1.6): its own paths are relative to it."""
    text = job.definition.get("environment")
    if not isinstance(text, str) or text[:5].lower() != "file:":
        return job
    try:
        part = read_part(job.local(local(text)), "/environment")
    except Invalid as error:
        # `check` raises for this whatever stands there; one fault about it is enough.
        stand_in = {**job.definition, "environment": {"image": "unreadable"}}
        return _faulty(replace(job, definition=stand_in), error, "/environment")
    body = dict(part.document.data)
    relative = Path(os.path.relpath(part.path.parent, job.folder))
    if isinstance(body.get("conda_file"), str):
        body["conda_file"] = _rebased(relative, body["conda_file"])
    build = body.get("build")
    if isinstance(build, dict) and isinstance(build.get("path"), str) and refers(build["path"]) is Refers.LOCAL:
        body["build"] = {**build, "path": _rebased(relative, build["path"])}
    return replace(job, definition={**job.definition, "environment": body}, parts=(*job.parts, part))


def _with_conda_file(job: JobFile) -> JobFile:
    environment = job.definition.get("environment")
    text = environment.get("conda_file") if isinstance(environment, dict) else None
    if not isinstance(environment, dict) or not isinstance(text, str):
        return job
    try:
        part = read_part(job.local(local(text)), "/environment/conda_file")
    except Invalid as error:
        return _faulty(job, error, "/environment/conda_file")
    environment = {**environment, "conda_file": part.document.data}
    return replace(job, definition={**job.definition, "environment": environment}, parts=(*job.parts, part))


def _rebased(relative: Path, text: str) -> str:
    return (relative / local(text)).as_posix()


def read_part(path: Path, pointer: str) -> Part:
    """A file that stands at `pointer`. Raises Invalid `JobFileNotFound`, `JobFileUnreadable` and those of
    `spec.document.load`."""
    path = Path(os.path.normpath(path))
    return Part(path, pointer, document.load(_bytes(path), str(path)))


def _faulty(job: JobFile, error: Invalid, pointer: str) -> JobFile:
    if error.code == "JobFileNotFound":
        fault = Fault("FileNotFound", error.message, pointer, error.remedy)
    else:
        fault = Fault(error.code, error.message, None if error.code.startswith("Yaml") else pointer, error.remedy)
    return replace(job, faults=(*job.faults, fault))


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise Invalid("JobFileUnreadable", f"'{path}' is a folder.", remedy="Give the job's YAML file.")
        with path.open("rb") as file:
            return file.read(document.MOST_BYTES + 1)
    except FileNotFoundError as error:
        close = _neighbour(path)
        raise Invalid(
            "JobFileNotFound",
            f"There is no file '{path}'.",
            remedy=f"Did you mean '{close}'?" if close else "Check the path.",
        ) from error
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise Invalid("JobFileUnreadable", f"'{path}' cannot be read: {words}.") from error


def _not_found(written: str, place: Path, pointer: str) -> Fault:
    close = _neighbour(place)
    return Fault(
        "FileNotFound",
        f"'{written}' is not there (looked for '{os.path.normpath(place.absolute())}').",
        pointer,
        f"Did you mean '{close}'?" if close else "Paths are relative to the file that contains them.",
    )


def _neighbour(path: Path) -> str | None:
    """What lies beside it under a name like it."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except (OSError, ValueError):
        return None


def _within(pointer: str, above: str) -> bool:
    return pointer == above or pointer.startswith(above + "/")


def _wanted(definition: dict[str, Any]) -> dict[str, LocalPath]:
    """The local paths of a definition that is wrong elsewhere, as far as they can be seen."""
    found: dict[str, LocalPath] = {}
    code = definition.get("code")
    if isinstance(code, str) and code.strip() and refers(code) is Refers.LOCAL:
        found["/code"] = LocalPath(local(code), "code")
    inputs = definition.get("inputs")
    for name, value in inputs.items() if isinstance(inputs, dict) else ():
        path = value.get("path") if isinstance(value, dict) else None
        if isinstance(path, str) and path.strip() and refers(path) is Refers.LOCAL:
            found[f"/inputs/{document.escape(name)}/path"] = LocalPath(local(path), "code")
    return found
