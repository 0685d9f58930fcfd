"""The whole check of a job file, by the models of the job language: what it says, and whether what it names is there.
Loading those takes longer than all the rest of a command, so it is asked for by name (`jobfile.JobFile.check`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mayfly.client.jobfile import JobFile, included
from mayfly.client.parts import not_found
from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import component, excerpt, expansion, holders, pipeline
from mayfly.spec import job as spec
from mayfly.spec.document import escape
from mayfly.spec.expansion import Expanded
from mayfly.spec.job import CommandJob
from mayfly.spec.paths import LocalPath, Refers, local, refers

_STAND_IN = {"image": "stand-in"}


def checked(file: JobFile) -> tuple[CommandJob | None, dict[str, LocalPath]]:
    """As `JobFile.check` and `JobFile.checked_paths`."""
    found, job = list(file.faults), None
    try:
        job, wanted = _looked_at(file)
    except Invalid as error:
        if error.code.startswith("JobType"):
            raise
        found += error.all_faults()
        wanted = _wanted(file.definition)
    for pointer, path in wanted.items():
        fault = file.missing(pointer, path)
        if fault is not None and fault.pointer not in {other.pointer for other in found}:
            found.append(fault)
    found += _missing_includes(file)
    if found:
        raise spec.invalid(found)
    return job, wanted


def _looked_at(file: JobFile) -> tuple[CommandJob | None, dict[str, LocalPath]]:
    body = file.definition.get("component")
    if file.alone:
        return None, _of_component(body)
    if holders.is_pipeline(file.definition):
        return None, _of_step(file, pipeline.parse(file.definition).local_paths())
    job, expanded = _parsed(file.definition)
    found = {expanded.back(pointer): path for pointer, path in job.local_paths().items()}
    if isinstance(body, dict) and "/component/code" in found and not body.get("code"):
        found["/component/code"] = LocalPath("", "code")  # nothing but its includes
    return job, found


def _of_step(file: JobFile, paths: dict[str, LocalPath]) -> dict[str, LocalPath]:
    """Those that the one step reads which is to be run; all, where only the server knows which they are."""
    if not file.only:
        return paths
    try:
        found = excerpt.excerpt(file.definition, excerpt.parts(file.only))
    except Invalid as error:
        if error.code == "StepHidden":
            return paths
        raise
    wanted = set(found.forward({pointer: pointer for pointer in paths}).values())
    return {pointer: path for pointer, path in paths.items() if pointer in wanted}


def _parsed(definition: dict[str, Any]) -> tuple[CommandJob, Expanded]:
    body = definition.get("component")
    if body is None:
        return spec.parse(definition), Expanded(definition)
    if isinstance(body, str) and refers(body) in (Refers.ASSET, Refers.REGISTRY, Refers.DATASTORE):
        own = {key: value for key, value in definition.items() if key != "component" and value is not None}
        return spec.parse({"command": "true", "environment": _STAND_IN, **own}), Expanded(own)
    return expansion.job_of(definition)


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


def _missing_includes(file: JobFile) -> list[Fault]:
    found = []
    for at, holder in holders.within(file.definition):
        for index, include in enumerate(included(holder)):
            place = file.local(include)
            if not place.exists() and not (place.suffix == ".zip" and place.with_suffix("").is_dir()):
                found.append(not_found(include, place, f"{at}/additional_includes/{index}"))
    return found


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
                found[f"{at}/inputs/{escape(name)}/path"] = LocalPath(local(path), "code")
    return found
