"""A job file on the submitter's machine: read, completed with the files it includes, and checked before any server is
asked. Every fault finds its way back to a file and line."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mayfly.client.assembly import Assembly
from mayfly.client.parts import Part, content, neighbour, not_found
from mayfly.kit.errors import Fault
from mayfly.spec import document, holders, overrides
from mayfly.spec.paths import LocalPath, Refers, local, refers
from mayfly.spec.words import plain

if TYPE_CHECKING:
    from mayfly.spec.job import CommandJob


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
    alone: bool = False
    """A component, not a job: the definition is {component: …}."""
    only: str = ""
    """The step of the pipeline that is to be run by itself."""
    inputs_from: str = ""
    """The job whose steps made what that one reads of others."""

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

    def check(self) -> CommandJob | None:
        """The command job there is, if it is one: of a job made of a component, what it becomes; of one made of a
        component that only the server knows, as far as its own keys say. Raises Invalid with every fault of the
        definition (`spec.job.parse`, `spec.component`, `spec.pipeline.parse`) and every local file or folder that is
        not there: `FileNotFound`, `InputIsAFile`, `InputIsAFolder`."""
        return self._checked()[0]

    def checked_paths(self) -> dict[str, LocalPath]:
        """JSON pointer into the definition → what must come from this machine. Raises as `check` does."""
        return self._checked()[1]

    def _checked(self) -> tuple[CommandJob | None, dict[str, LocalPath]]:
        return importlib.import_module("mayfly.client.checking").checked(self)

    def plain_paths(self) -> dict[str, LocalPath] | None:
        """As `checked_paths` if nothing is wrong with the file, without looking whether anything is: of a command job that
        is written out. None for any other, and where something is not there."""
        plain_job = "component" not in self.definition and not holders.is_pipeline(self.definition)
        if not plain_job or self.faults or self.only or self.inputs_from:
            return None
        found = dict(_plain(self.definition))
        return found if all(self.missing(pointer, path) is None for pointer, path in found.items()) else None

    def narrowed(self, step: str, inputs_from: str, *, named: bool) -> JobFile:
        """For one step of it. The pipeline's own name is not the step's, unless it was `named` for it."""
        definition = {key: value for key, value in self.definition.items() if key != "name" or named}
        return replace(self, definition=definition, only=step, inputs_from=inputs_from)

    def includes(self, pointer: str) -> list[str]:
        """What the component whose code stands at `pointer` wants beside it."""
        place = pointer.removesuffix("/code")
        return next((included(holder) for at, holder in holders.within(self.definition) if at == place), [])

    def local(self, path: str) -> Path:
        """Where a local path of the definition lies."""
        return self.folder / Path(path).expanduser() if path.startswith("~/") else self.folder / path

    def missing(self, pointer: str, wanted: LocalPath) -> Fault | None:
        """What is wrong with what lies there, or does not."""
        if wanted == LocalPath("", "code"):
            return None
        place = self.local(wanted.path)
        try:
            is_file, is_folder = place.is_file(), place.is_dir()
        except (OSError, ValueError):
            is_file = is_folder = False
        if not is_file and not is_folder:
            return not_found(wanted.path, place, pointer)
        if wanted.kind == "folder" and is_file:
            return Fault(
                "InputIsAFile",
                f"'{wanted.path}' is a file, not a folder.",
                pointer,
                "Add 'type: uri_file' to the input.",
            )
        if wanted.kind == "build":
            return _wrong_context(wanted, place, pointer)
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
    whole = document.load(content(path), str(path))
    definition = overrides.apply(whole.data, sets)
    changed = tuple(
        "".join(f"/{document.escape(part)}" for part in given.partition("=")[0].strip().split(".")) for given in sets
    )
    return completed(JobFile(path, definition, (Part(path, "", whole),), changed))


def read_component(path: Path, sets: Iterable[str] = ()) -> JobFile:
    """A component's own file, standing under `component`. Raises as `read` does."""
    sets = list(sets)
    whole = document.load(content(path), str(path))
    body = overrides.apply(whole.data, sets)
    changed = tuple(
        "/component" + "".join(f"/{document.escape(part)}" for part in given.partition("=")[0].strip().split("."))
        for given in sets
    )
    return completed(JobFile(path, {"component": body}, (Part(path, "/component", whole),), changed, alone=True))


def completed(job: JobFile) -> JobFile:
    """With what the files that it includes hold in place of their names."""
    made = Assembly(job.path, job.definition, job.parts)
    return replace(job, definition=made.definition, parts=tuple(made.parts), faults=tuple(made.faults))


def _wrong_context(wanted: LocalPath, place: Path, pointer: str) -> Fault | None:
    if place.is_file():
        return Fault("BuildPathIsAFile", f"'{wanted.path}' is a file.", pointer, "Name the folder that it lies in.")
    if (place / wanted.dockerfile).is_file():
        return None
    close = neighbour(place / wanted.dockerfile)
    hint = (
        f"Did you mean 'dockerfile_path: {close}'?" if close else "Name it with 'dockerfile_path', relative to 'path'."
    )
    return Fault("DockerfileMissing", f"There is no file '{wanted.dockerfile}' in '{wanted.path}'.", pointer, hint)


def _within(pointer: str, above: str) -> bool:
    return pointer == above or pointer.startswith(above + "/")


def included(holder: dict[str, Any]) -> list[str]:
    """What a component wants beside its code."""
    listed = holder.get("additional_includes")
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _plain(definition: dict[str, Any]) -> Iterator[tuple[str, LocalPath]]:
    """What `CommandJob.local_paths` would give, read from the definition as it is written."""
    code, inputs, environment = (definition.get(key) for key in ("code", "inputs", "environment"))
    if isinstance(code, str) and refers(code) is Refers.LOCAL:
        yield "/code", LocalPath(local(code), "code")
    for name, value in inputs.items() if isinstance(inputs, dict) else ():
        path = value.get("path") if isinstance(value, dict) and "value" not in value else None
        if isinstance(path, str) and refers(path) is Refers.LOCAL:
            is_file = plain(str(value.get("type"))) == plain("uri_file")
            yield f"/inputs/{document.escape(name)}/path", LocalPath(local(path), "file" if is_file else "folder")
    if not isinstance(environment, dict):
        return
    if isinstance(conda := environment.get("conda_file"), str):
        yield "/environment/conda_file", LocalPath(local(conda), "text")
    build = environment.get("build")
    if isinstance(build, dict) and isinstance(path := build.get("path"), str) and refers(path) is Refers.LOCAL:
        dockerfile = str(build.get("dockerfile_path") or "Dockerfile")
        yield "/environment/build/path", LocalPath(local(path), "build", dockerfile)
