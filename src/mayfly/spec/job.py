"""A command job as a person wrote it: read, checked, and with the answers that the rest of the house asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import PrivateAttr

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.kit.units import size_bytes
from mayfly.spec import checks, faults, fragments, support, texts
from mayfly.spec.document import escape
from mayfly.spec.models import (
    DISTRIBUTIONS,
    KEYS,
    READ_ONLY,
    CommandFields,
    DataInput,
    Environment,
    LiteralInput,
    TensorFlow,
)
from mayfly.spec.paths import LocalPath, Refers, local, refers

__all__ = ["CommandJob", "notes", "parse", "render_literal"]

DEFAULT_SHM = "2g"
_OTHER_TYPES = ("pipeline", "sweep", "automl", "spark", "import", "finetuning", "distillation", "data_transfer")
_PRIORITIES = {"low": 1, "medium": 2, "high": 3}


class CommandJob(CommandFields):
    """What `parse` gives: every field checked, enumerations in their canonical snake_case, `$[[ … ]]` written out."""

    _left_out: tuple[str, ...] = PrivateAttr(())

    @property
    def target_name(self) -> str | None:
        """None (no `compute`), 'serverless', 'local', or another compute's name without `azureml:` or ARM path."""
        if self.compute is None:
            return None
        name = self.compute.removeprefix("azureml:").rstrip("/").rpartition("/")[2]
        return name.lower() if name.lower() in ("serverless", "local") else name

    @property
    def tier(self) -> Literal["Standard", "Spot"]:
        return "Spot" if self.queue_settings.job_tier == "spot" else "Standard"

    @property
    def priority(self) -> int:
        """1 low, 2 medium, 3 high."""
        return _PRIORITIES[self.queue_settings.priority]

    @property
    def shm_mib(self) -> int:
        return max(1, size_bytes(self.resources.shm_size or DEFAULT_SHM) >> 20)

    @property
    def literals(self) -> dict[str, str]:
        """Literal inputs, rendered."""
        return {n: render_literal(v.value) for n, v in self.inputs.items() if isinstance(v, LiteralInput)}

    @property
    def data_inputs(self) -> dict[str, DataInput]:
        return {n: v for n, v in self.inputs.items() if isinstance(v, DataInput)}

    @property
    def variables(self) -> dict[str, str]:
        """`environment_variables` as text; one without a value is empty."""
        return {n: "" if v is None else render_literal(v) for n, v in self.environment_variables.items()}

    @property
    def processes_per_node(self) -> int:
        return getattr(self.distribution, "process_count_per_instance", 1)

    @property
    def workers(self) -> int:
        """TensorFlow workers; 0 for any other job."""
        if not isinstance(self.distribution, TensorFlow):
            return 0
        return self.distribution.worker_count or self.resources.instance_count

    def local_paths(self) -> dict[str, LocalPath]:
        """JSON pointer → what must come from the submitter's machine."""
        found: dict[str, LocalPath] = {}
        if self.code is not None and refers(self.code) is Refers.LOCAL:
            found["/code"] = LocalPath(local(self.code), "code")
        for name, value in self.data_inputs.items():
            if value.path is not None and refers(value.path) is Refers.LOCAL:
                kind: Literal["file", "folder"] = "file" if value.type == "uri_file" else "folder"
                found[f"/inputs/{escape(name)}/path"] = LocalPath(local(value.path), kind)
        if isinstance(self.environment, Environment):
            if isinstance(self.environment.conda_file, str):
                found["/environment/conda_file"] = LocalPath(local(self.environment.conda_file), "text")
            build = self.environment.build
            if build is not None and refers(build.path) is Refers.LOCAL:
                found["/environment/build/path"] = LocalPath(
                    local(build.path), "build", build.dockerfile_path or "Dockerfile"
                )
        return found


def render_literal(value: str | bool | int | float) -> str:
    """Azure's rendering of a literal input: Python's own, so True is 'True' (semantics §1.10)."""
    return str(value)


def parse(definition: Mapping[str, Any]) -> CommandJob:
    """The job, or Invalid with all faults at once, each with a JSON pointer.

    Codes: `UnknownKey`, `MissingKey`, `WrongType`, `InvalidValue`, `NameInvalid`, `NameClashes`, `ModeInvalid`,
    `InputUndefined`, `OutputUndefined`, `ExpressionUndefined`, `ExpressionInvalid`, `ExpressionMisplaced`,
    `OutputPathInvalid`, `TextInvalid`, `TextTooLong`, `EnvironmentInvalid`, `JobTypeNotSupported`, `JobTypeUnknown`, and those of `spec.support`,
    which end in `NotSupportedYet`. The error itself has the code of its only fault, else `JobInvalid`.
    """
    _check_type(definition.get("type"))
    data = _cleaned(definition)
    left_out = _written_out(data)
    early = _early(data)
    model, found = faults.check(CommandJob, data)
    everything = [*early, *found, *texts.check(data)]
    if model is not None:
        job = cast(CommandJob, model)
        job._left_out = left_out
        everything += checks.check(job)
        everything += support.unsupported(job)
        if not everything:
            return job
    raise invalid(everything)


def _written_out(data: dict[str, Any]) -> tuple[str, ...]:
    """What is to be said of what its command leaves out."""
    command, given = data.get("command"), data.get("inputs")
    if not isinstance(command, str):
        return ()
    data["command"], said = fragments.of_job(command, given if isinstance(given, dict) else {})
    return said


def notes(job: CommandJob) -> list[str]:
    """What is stored and shown but has no effect yet, and what may not mean what it seems to; one sentence each."""
    return [*job._left_out, *support.notes(job)]


def invalid(found: list[Fault]) -> Invalid:
    """One error of one or more faults."""
    if len(found) == 1:
        only = found[0]
        return Invalid(only.code, only.message, remedy=only.remedy, pointer=only.pointer, faults=found)
    return Invalid("JobInvalid", f"{len(found)} things are wrong with this job.", pointer="", faults=found)


def _check_type(kind: Any) -> None:
    if kind is None or (isinstance(kind, str) and kind.lower() == "command"):
        return
    if isinstance(kind, str) and kind.lower() in (*_OTHER_TYPES, "parallel"):
        what = (
            "A parallel job is a step of a pipeline, and such steps cannot run yet."
            if kind.lower() == "parallel"
            else f"Jobs of type {kind.lower()} cannot run yet."
        )
        raise Invalid(
            "JobTypeNotSupported", what, pointer="/type", remedy="Jobs of the types command and pipeline run."
        )
    close = nearest(str(kind), ["command", *_OTHER_TYPES])
    raise Invalid(
        "JobTypeUnknown",
        f"Unsupported job type: {kind}.",
        pointer="/type",
        remedy=f"Did you mean '{close}'?" if close else "Leave 'type' out for a command job.",
    )


def _cleaned(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Without read-only keys and without optional keys that were left empty; `distribution.type` made canonical."""
    data = {k: v for k, v in definition.items() if k not in READ_ONLY[()] and v is not None}
    for section in KEYS:
        if len(section) == 1 and isinstance(data.get(section[0]), dict):
            dropped = READ_ONLY.get(section, frozenset())
            data[section[0]] = {k: v for k, v in data[section[0]].items() if v is not None and k not in dropped}
    for section in ("inputs", "outputs", "services"):
        if isinstance(data.get(section), dict):
            dropped = READ_ONLY.get((section, "*"), frozenset())
            data[section] = {name: _without_empty(value, section, dropped) for name, value in data[section].items()}
    if isinstance(data.get("distribution"), dict):
        distribution = {k: v for k, v in data["distribution"].items() if v is not None}
        kind = str(distribution.get("type", "")).lower()
        data["distribution"] = {**distribution, "type": kind} if kind in DISTRIBUTIONS else distribution
    return data


def _without_empty(value: Any, section: str, dropped: frozenset[str]) -> Any:
    if value is None and section == "outputs":
        return {}
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if v is not None and k not in dropped}
    return value


def _early(data: dict[str, Any]) -> list[Fault]:
    """Faults that must be found, and taken out of `data`, before its fields are looked at one by one."""
    found = []
    distribution = data.get("distribution")
    if isinstance(distribution, dict) and distribution.get("type") not in DISTRIBUTIONS:
        data.pop("distribution")
        found.append(_distribution_fault(distribution.get("type")))
    elif distribution is not None and not isinstance(distribution, dict):
        data.pop("distribution")
        found.append(Fault("WrongType", "Expected 'key: value' lines.", "/distribution", "Write {type: pytorch}."))
    for name, value in data["inputs"].items() if isinstance(data.get("inputs"), dict) else ():
        if value is None:
            data["inputs"][name] = 0
            found.append(Fault("MissingKey", f"The input '{name}' has no value.", f"/inputs/{escape(name)}"))
    return found


def _distribution_fault(kind: Any) -> Fault:
    place = "/distribution/type"
    if kind is None:
        return Fault("MissingKey", "'type' is missing in 'distribution'.", place, f"One of {', '.join(DISTRIBUTIONS)}.")
    close = nearest(str(kind), list(DISTRIBUTIONS))
    return Fault(
        "InvalidValue",
        f"'{kind}' is not one of {', '.join(DISTRIBUTIONS)}.",
        place,
        f"Did you mean '{close}'?" if close else None,
    )
