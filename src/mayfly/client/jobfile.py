"""A job file on the submitter's machine: read, completed with the files it includes, and checked before any server is
asked. Every fault finds its way back to a file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mayfly.client.assembly import Assembly
from mayfly.client.parts import Part, content, neighbour, not_found
from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import component, document, excerpt, expansion, holders, overrides, pipeline
from mayfly.spec import job as spec
from mayfly.spec.expansion import Expanded
from mayfly.spec.fields import Refers, local, refers
from mayfly.spec.job import CommandJob, LocalPath

_STAND_IN = {"image": "stand-in"}


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
        found, job = list(self.faults), None
        try:
            job, wanted = self._looked_at()
        except Invalid as error:
            if error.code.startswith("JobType"):
                raise
            found += error.all_faults()
            wanted = _wanted(self.definition)
        for pointer, path in wanted.items():
            fault = self._missing(pointer, path)
            if fault is not None and fault.pointer not in {other.pointer for other in found}:
                found.append(fault)
        found += self._missing_includes()
        if found:
            raise spec.invalid(found)
        return job, wanted

    def _looked_at(self) -> tuple[CommandJob | None, dict[str, LocalPath]]:
        body = self.definition.get("component")
        if self.alone:
            return None, _of_component(body)
        if pipeline.is_pipeline(self.definition):
            return None, self._of_step(pipeline.parse(self.definition).local_paths())
        job, expanded = self._parsed()
        found = {expanded.back(pointer): path for pointer, path in job.local_paths().items()}
        if isinstance(body, dict) and "/component/code" in found and not body.get("code"):
            found["/component/code"] = LocalPath("", "code")  # nothing but its includes
        return job, found

    def _of_step(self, paths: dict[str, LocalPath]) -> dict[str, LocalPath]:
        """Those that the one step reads which is to be run; all, where only the server knows which they are."""
        if not self.only:
            return paths
        try:
            found = excerpt.excerpt(self.definition, excerpt.parts(self.only))
        except Invalid as error:
            if error.code == "StepHidden":
                return paths
            raise
        wanted = set(found.forward({pointer: pointer for pointer in paths}).values())
        return {pointer: path for pointer, path in paths.items() if pointer in wanted}

    def narrowed(self, step: str, inputs_from: str, *, named: bool) -> JobFile:
        """For one step of it. The pipeline's own name is not the step's, unless it was `named` for it."""
        definition = {key: value for key, value in self.definition.items() if key != "name" or named}
        return replace(self, definition=definition, only=step, inputs_from=inputs_from)

    def includes(self, pointer: str) -> list[str]:
        """What the component whose code stands at `pointer` wants beside it."""
        place = pointer.removesuffix("/code")
        return next((_includes(holder) for at, holder in holders.within(self.definition) if at == place), [])

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
        for at, holder in holders.within(self.definition):
            for index, include in enumerate(_includes(holder)):
                place = self.local(include)
                if not place.exists() and not (place.suffix == ".zip" and place.with_suffix("").is_dir()):
                    found.append(not_found(include, place, f"{at}/additional_includes/{index}"))
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


def _of_component(body: Any) -> dict[str, LocalPath]:
    """Of a component by itself, after its own rules were looked at."""
    if isinstance(body, dict) and str(body.get("type")).lower() == "pipeline":
        return pipeline.read_component(body).local_paths()
    try:
        component.read(body, named=True)
        return {f"/component{pointer}": path for pointer, path in component.local_paths(body).items()}
    except Invalid as error:
        moved = [replace(fault, pointer=f"/component{fault.pointer or ''}") for fault in error.all_faults()]
        raise spec.invalid(moved) from error


def _includes(holder: dict[str, Any]) -> list[str]:
    listed = holder.get("additional_includes")
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _wanted(definition: dict[str, Any]) -> dict[str, LocalPath]:
    """The local paths of a definition that is wrong elsewhere, as far as they can be seen."""
    found: dict[str, LocalPath] = {}
    for at, holder in holders.within(definition):
        code = holder.get("code")
        if isinstance(code, str) and code.strip() and refers(code) is Refers.LOCAL:
            found[f"{at}/code"] = LocalPath(local(code), "code")
        inputs = holder.get("inputs")
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            path = value.get("path") if isinstance(value, dict) else None
            if isinstance(path, str) and path.strip() and refers(path) is Refers.LOCAL:
                found[f"{at}/inputs/{document.escape(name)}/path"] = LocalPath(local(path), "code")
    return found
