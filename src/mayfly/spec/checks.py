"""What each field allows by itself may still not fit together (semantics §1.9, §3, §4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from mayfly.kit.errors import Fault, Invalid, nearest
from mayfly.kit.expressions import references
from mayfly.spec.document import escape
from mayfly.spec.models import CommandFields, DataInput, Environment, TensorFlow
from mayfly.spec.paths import Refers, refers
from mayfly.spec.words import DATA_TYPES

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,254}\Z")
_CLASHING = frozenset({"path", "ld_library_path", "user", "logname", "home", "pwd", "shell"})
"""These would hide environment variables (semantics §3)."""
MOST_PROCESSES = 256
"""On one node."""
_VARIABLE = re.compile(r"[^=\x00]+\Z")
_MODES = {
    "uri": frozenset({"ro_mount", "download", "direct"}),
    "mltable": frozenset({"ro_mount", "download", "direct", "eval_mount", "eval_download"}),
}


def check(job: CommandFields) -> Iterator[Fault]:
    yield from names(job)
    yield from _inputs(job)
    yield from _outputs(job)
    yield from command(job)
    yield from _environment(job)
    yield from _rest(job)


class Named(Protocol):
    """What has named inputs and outputs, and a command that uses them."""

    @property
    def command(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, Any]: ...

    @property
    def outputs(self) -> Mapping[str, Any]: ...


def names(job: Named) -> Iterator[Fault]:
    for section in ("inputs", "outputs"):
        for name in getattr(job, section):
            place = f"/{section}/{escape(name)}"
            if name.lower() in _CLASHING:
                yield Fault(
                    "NameClashes",
                    f"'{name}' cannot name one of the {section}: it would hide the environment variable of that name.",
                    place,
                    f"Call it for example '{name}_{section[:-1]}'.",
                )
            elif not _NAME.match(name):
                yield Fault(
                    "NameInvalid",
                    f"'{name}' cannot name one of the {section}.",
                    place,
                    "Use letters, digits, '_' and '-', beginning with a letter or '_'.",
                )
    if "default" in job.outputs:
        yield Fault(
            "NameClashes",
            "The output 'default' is there by itself: it is the job's ./outputs and logs.",
            "/outputs/default",
            "Choose another name.",
        )


def _inputs(job: CommandFields) -> Iterator[Fault]:
    for name, value in job.inputs.items():
        if not isinstance(value, DataInput):
            continue
        place = f"/inputs/{escape(name)}"
        if value.path is None:
            yield Fault(
                "MissingKey", f"'path' is missing in 'inputs.{name}'.", f"{place}/path", "Say where the data is."
            )
        elif refers(value.path) is Refers.BINDING:
            yield Fault(
                "ExpressionMisplaced",
                f"'{value.path}' has no meaning here: only pipelines bind inputs.",
                f"{place}/path",
            )
        modes = _MODES["mltable" if value.type == "mltable" else "uri"]
        if value.mode is not None and value.mode not in modes:
            yield Fault(
                "ModeInvalid",
                f"An input of type {value.type} cannot have the mode '{value.mode}'.",
                f"{place}/mode",
                f"Write one of {', '.join(sorted(modes))}.",
            )


def _outputs(job: CommandFields) -> Iterator[Fault]:
    for name, value in job.outputs.items():
        place = f"/outputs/{escape(name)}"
        modes = ("rw_mount", "upload") if value.type in DATA_TYPES else ("rw_mount", "upload", "direct")
        if value.mode not in modes:
            yield Fault(
                "ModeInvalid",
                f"An output of type {value.type} cannot have the mode '{value.mode}'.",
                f"{place}/mode",
                f"Write one of {', '.join(modes)}.",
            )
        if value.path is not None and refers(value.path) is not Refers.DATASTORE:
            yield Fault(
                "OutputPathInvalid",
                f"An output cannot be written to '{value.path}'.",
                f"{place}/path",
                "Leave 'path' out; 'mayfly job download' brings the files here.",
            )


def command(job: Named) -> Iterator[Fault]:
    try:
        found = references(job.command)
    except Invalid as error:
        yield Fault(error.code, error.message, "/command", error.remedy)
        return
    for reference in dict.fromkeys(str(r) for r in found):
        root, _, rest = reference[3:-2].partition(".")
        known = {"inputs": list(job.inputs), "outputs": list(job.outputs)}.get(root)
        if known is None:
            close = nearest(root, ["inputs", "outputs"])
            yield Fault(
                "ExpressionUndefined",
                f"{reference} is not known in a command: only inputs and outputs are.",
                "/command",
                f"Did you mean ${{{{{close}.{rest}}}}}?" if close and rest else "Write ${{inputs.name}}.",
            )
        elif rest not in known:
            close = nearest(rest, known)
            yield Fault(
                "InputUndefined" if root == "inputs" else "OutputUndefined",
                f"The command uses {reference}, but there is no '{rest}' under {root}.",
                "/command",
                f"Did you mean ${{{{{root}.{close}}}}}?" if close else f"Add '{rest}' under {root}.",
            )


def _environment(job: CommandFields) -> Iterator[Fault]:
    env = job.environment
    if isinstance(env, str):
        if refers(env) not in (Refers.ASSET, Refers.REGISTRY, Refers.DATASTORE):
            yield Fault(
                "EnvironmentInvalid",
                f"'{env}' names no environment.",
                "/environment",
                f"Write azureml:{env}@latest, or {{image: …}}."
                if re.fullmatch(r"[\w.-]+", env)
                else "Write {image: …}.",
            )
    elif isinstance(env, Environment):
        if env.image and env.build:
            yield Fault("EnvironmentInvalid", "An environment has 'image' or 'build', not both.", "/environment/build")
        if env.build and env.conda_file is not None:
            yield Fault(
                "EnvironmentInvalid", "'conda_file' goes with 'image', not with 'build'.", "/environment/conda_file"
            )
        if not env.image and not env.build:
            yield Fault(
                "EnvironmentInvalid",
                "An environment needs an 'image' (or a 'build').",
                "/environment",
                "Add for example 'image: library/python:latest'.",
            )


def _processes(job: CommandFields) -> Iterator[Fault]:
    given, nodes = job.distribution, job.resources.instance_count
    if isinstance(given, TensorFlow):
        key, most = "worker_count", MOST_PROCESSES * nodes
        count = given.worker_count or 0
    else:
        key, most = "process_count_per_instance", MOST_PROCESSES
        count = getattr(given, key, 0)
    if count > most:
        yield Fault(
            "InvalidValue",
            f"{count} processes are more than the {MOST_PROCESSES} that a node may be given.",
            f"/distribution/{key}",
            "Write one for each GPU, or for each core.",
        )


def _rest(job: CommandFields) -> Iterator[Fault]:
    for name in job.environment_variables:
        if not _VARIABLE.match(name):
            yield Fault("NameInvalid", f"{name!r} cannot name a variable.", f"/environment_variables/{escape(name)}")
    if job.compute is not None and "${{" in job.compute:
        yield Fault("ExpressionMisplaced", f"'{job.compute}' has no meaning here.", "/compute")
    if job.code is not None and refers(job.code) is Refers.BINDING:
        yield Fault("ExpressionMisplaced", f"'{job.code}' has no meaning here.", "/code")
    nodes = job.resources.instance_count
    most = job.resources.max_instance_count
    if most is not None and most < nodes:
        yield Fault(
            "InvalidValue",
            f"max_instance_count {most} is less than instance_count {nodes}.",
            "/resources/max_instance_count",
        )
    yield from _processes(job)
    if isinstance(job.distribution, TensorFlow) and job.distribution.parameter_server_count > nodes:
        yield Fault(
            "InvalidValue",
            f"{job.distribution.parameter_server_count} parameter servers need as many nodes; there are {nodes}.",
            "/distribution/parameter_server_count",
            "Have at most one on each node (resources.instance_count).",
        )
