"""A job file on the submitter's machine: read, completed with the files it includes, and checked before any server is
asked. Every fault finds its way back to a file and line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.spec import component, document, expansion, overrides
from mayfly.spec import job as spec
from mayfly.spec.document import Document
from mayfly.spec.expansion import Expanded
from mayfly.spec.fields import Refers, local, refers
from mayfly.spec.job import CommandJob, LocalPath

_STAND_IN = {"image": "stand-in"}
_UNREADABLE = {"command": "true", "environment": _STAND_IN}


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
    alone: bool = False
    """A component, not a job: the definition is {component: …}."""

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
        """The job; of a job made of a component, what it becomes (of one that only the server knows, as far as its own
        keys say). Raises Invalid with every fault of the definition (`spec.job.parse`, `spec.component`) and every local
        file or folder that is not there: `FileNotFound`, `InputIsAFile`, `InputIsAFolder`."""
        found = list(self.faults)
        job: CommandJob | None = None
        try:
            job, _ = self._parsed()
        except Invalid as error:
            if error.code.startswith("JobType"):
                raise
            found += error.all_faults()
        wanted = self.local_paths() if job is not None else _wanted(self.definition)
        for pointer, path in wanted.items():
            fault = self._missing(pointer, path)
            if fault is not None and fault.pointer not in {other.pointer for other in found}:
                found.append(fault)
        found += self._missing_includes()
        if job is None or found:
            raise spec.invalid(found)
        return job

    def check_component(self) -> None:
        """For a component by itself (`read_component`): as `check`, of the component's own rules."""
        body = self.definition["component"]
        found, wanted = list(self.faults), {}
        try:
            component.read(body, named=True)
            wanted = self._component_paths()
        except Invalid as error:
            found += [replace(fault, pointer=f"/component{fault.pointer or ''}") for fault in error.all_faults()]
        found += [fault for pointer, path in wanted.items() if (fault := self._missing(pointer, path)) is not None]
        found += self._missing_includes()
        if found:
            raise spec.invalid(found)

    def checked_paths(self) -> dict[str, LocalPath]:
        """`local_paths`, after `check` (or `check_component`)."""
        if self.alone:
            self.check_component()
            return self._component_paths()
        self.check()
        return self.local_paths()

    def _component_paths(self) -> dict[str, LocalPath]:
        return {
            f"/component{pointer}": path
            for pointer, path in component.local_paths(self.definition["component"]).items()
        }

    def local_paths(self) -> dict[str, LocalPath]:
        """JSON pointer into the definition → what must come from this machine. Raises as `check` does for a definition
        that is wrong."""
        job, expanded = self._parsed()
        found = {expanded.back(pointer): path for pointer, path in job.local_paths().items()}
        body = self.definition.get("component")
        if isinstance(body, dict) and "/component/code" in found and not body.get("code"):
            found["/component/code"] = LocalPath("", "code")  # nothing but its includes
        return found

    @property
    def includes(self) -> list[str]:
        """What a component wants beside its code."""
        body = self.definition.get("component")
        listed = body.get("additional_includes") if isinstance(body, dict) else None
        return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []

    def _parsed(self) -> tuple[CommandJob, Expanded]:
        body = self.definition.get("component")
        if body is None:
            return spec.parse(self.definition), Expanded(self.definition)
        if isinstance(body, str) and refers(body) in (Refers.ASSET, Refers.REGISTRY, Refers.DATASTORE):
            own = {key: value for key, value in self.definition.items() if key != "component" and value is not None}
            return spec.parse({"command": "true", "environment": _STAND_IN, **own}), Expanded(own)
        return expansion.job_of(self.definition)

    def _missing_includes(self) -> list[Fault]:
        found = []
        for index, include in enumerate(self.includes):
            place = self.local(include)
            if not place.exists() and not (place.suffix == ".zip" and place.with_suffix("").is_dir()):
                found.append(_not_found(include, place, f"/component/additional_includes/{index}"))
        return found

    def local(self, path: str) -> Path:
        """Where a local path of the definition lies."""
        return self.folder / Path(path).expanduser() if path.startswith("~/") else self.folder / path

    def _missing(self, pointer: str, wanted: LocalPath) -> Fault | None:
        if wanted == LocalPath("", "code"):
            return None
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


def read_component(path: Path, sets: Iterable[str] = ()) -> JobFile:
    """A component's own file, standing under `component`. Raises as `read` does."""
    sets = list(sets)
    whole = document.load(_bytes(path), str(path))
    body = overrides.apply(whole.data, sets)
    changed = tuple(
        "/component" + "".join(f"/{document.escape(part)}" for part in given.partition("=")[0].strip().split("."))
        for given in sets
    )
    return completed(JobFile(path, {"component": body}, (Part(path, "/component", whole),), changed, alone=True))


def completed(job: JobFile) -> JobFile:
    """With what the files that it includes hold in place of their names."""
    job = _with_component(job)
    return _with_conda_file(_with_environment(job))


def _with_component(job: JobFile) -> JobFile:
    """`component: ./train.yml`: the component in its place, its own paths relative to it."""
    text = job.definition.get("component")
    if not isinstance(text, str) or refers(text) is not Refers.LOCAL:
        return job
    try:
        part = read_part(job.local(local(text)), "/component")
    except Invalid as error:
        return _faulty(replace(job, definition={**job.definition, "component": _UNREADABLE}), error, "/component")
    body = component.rebased(part.document.data, lambda path: _rebased(job, part, path))
    return replace(job, definition={**job.definition, "component": body}, parts=(*job.parts, part))


def _with_environment(job: JobFile) -> JobFile:
    """`environment: file:./env.yml` (semantics §1.6): its own paths are relative to it."""
    for above in _owners(job):
        owner = _owner(job, above)
        text, place = owner.get("environment"), f"{above}/environment"
        if not isinstance(text, str) or text[:5].lower() != "file:":
            continue
        try:
            part = read_part(job.local(local(text)), place)
        except Invalid as error:
            # `check` raises for this whatever stands there; one fault about it is enough.
            job = _faulty(_put(job, above, {**owner, "environment": {"image": "unreadable"}}), error, place)
            continue
        whole = part.document.data
        body = component.rebased({"environment": whole}, lambda path, part=part, job=job: _rebased(job, part, path))
        job = replace(_put(job, above, {**owner, **body}), parts=(*job.parts, part))
    return job


def _with_conda_file(job: JobFile) -> JobFile:
    for above in _owners(job):
        owner = _owner(job, above)
        environment, place = owner.get("environment"), f"{above}/environment/conda_file"
        text = environment.get("conda_file") if isinstance(environment, dict) else None
        if not isinstance(environment, dict) or not isinstance(text, str):
            continue
        try:
            part = read_part(job.local(local(text)), place)
        except Invalid as error:
            job = _faulty(job, error, place)
            continue
        whole = {**environment, "conda_file": part.document.data}
        job = replace(_put(job, above, {**owner, "environment": whole}), parts=(*job.parts, part))
    return job


def _owners(job: JobFile) -> tuple[str, ...]:
    """Where in a definition an environment may stand."""
    return ("", "/component") if isinstance(job.definition.get("component"), dict) else ("",)


def _owner(job: JobFile, above: str) -> dict[str, Any]:
    return job.definition["component"] if above else job.definition


def _put(job: JobFile, above: str, owner: dict[str, Any]) -> JobFile:
    return replace(job, definition={**job.definition, "component": owner} if above else owner)


def _rebased(job: JobFile, part: Part, text: str) -> str:
    """A path of an included file, as the job file would name it."""
    if text.startswith("~/"):
        return text
    return (Path(os.path.relpath(part.path.parent, job.folder)) / local(text)).as_posix()


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
