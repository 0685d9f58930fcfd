"""What is read but does not run yet: refused where it would change the result, noted where it only adds."""

from __future__ import annotations

from collections.abc import Iterator

from mayfly.kit.errors import Fault
from mayfly.spec.document import escape
from mayfly.spec.models import CommandFields, DataInput, Environment, Mpi, Ray
from mayfly.spec.paths import Refers, refers

_LOCAL = "Give a local file or folder instead."
_NO_MPIRUN = (
    "Where each process reads its place from RANK, LOCAL_RANK, WORLD_SIZE and MASTER_ADDR, as torch and DeepSpeed do, write "
    "'type: pytorch'. What asks MPI itself, as mpi4py does, runs on one instance with 'mpirun -np N' in the command."
)
"""Variables alone would be no MPI: each of its processes would take itself for the only one."""


def unsupported(job: CommandFields) -> Iterator[Fault]:
    for name, value in job.inputs.items():
        if isinstance(value, DataInput):
            yield from _input(name, value)
    if job.code is not None and refers(job.code) not in (Refers.LOCAL, Refers.BINDING):
        yield _not_yet("CodeReferenceNotSupportedYet", f"Code from {refers(job.code).value}", "/code", _LOCAL)
    if isinstance(job.distribution, Mpi):
        yield _not_yet("MpiNotSupportedYet", "MPI jobs", "/distribution/type", _NO_MPIRUN)
    if isinstance(job.distribution, Ray):
        yield _not_yet("RayNotSupportedYet", "Ray jobs", "/distribution/type", "pytorch and tensorflow run.")
    if isinstance(job.environment, Environment):
        build = job.environment.build
        if build is not None and refers(build.path) not in (Refers.LOCAL, Refers.BINDING):
            what = f"A build context from {refers(build.path).value}"
            yield _not_yet("BuildContextNotSupportedYet", what, "/environment/build/path", _LOCAL)
        if job.environment.os_type == "windows":
            yield _not_yet("WindowsNotSupportedYet", "Windows environments", "/environment/os_type", "Leave it out.")


def _input(name: str, value: DataInput) -> Iterator[Fault]:
    place = f"/inputs/{escape(name)}"
    if value.path_on_compute is not None:
        yield _not_yet("PathOnComputeNotSupportedYet", "path_on_compute", f"{place}/path_on_compute", "Leave it out.")
    if value.path is not None and refers(value.path) is Refers.GIT:
        yield _not_yet("RemoteInputNotSupportedYet", "Inputs from a git repository", f"{place}/path", _LOCAL)


def _not_yet(code: str, what: str, place: str, remedy: str) -> Fault:
    verb = "is" if what[:1].islower() or what.startswith(("The ", "Code ")) else "are"
    return Fault(code, f"{what} {verb} understood but cannot run yet.", place, remedy)


def notes(job: CommandFields) -> list[str]:
    """What is stored and shown but has no effect yet, and what may not mean what it seems to; one sentence each."""
    found = [f"{key}: stored, not yet enforced" for key in _stored(job)]
    if job.queue_settings.job_tier in ("basic", "premium"):
        found.append(f"queue_settings.job_tier: {job.queue_settings.job_tier} runs as Standard")
    for name, value in job.inputs.items():
        text = getattr(value, "value", None)
        if isinstance(text, str) and (text.startswith(("./", "../", "azureml:")) or "://" in text):
            found.append(
                f"inputs.{name}: is the text '{text}', which the command receives as it is; "
                f"for its content write {{type: uri_file, path: {text}}}"
            )
    return found


def _stored(job: CommandFields) -> Iterator[str]:
    if job.services:
        yield "services"
    if job.parent_job_name is not None:
        yield "parent_job_name"
    for key in ("locations", "docker_args", "max_instance_count", "properties"):
        if getattr(job.resources, key):
            yield f"resources.{key}"
    if isinstance(job.environment, Environment):
        for key in ("inference_config", "datastore"):
            if getattr(job.environment, key):
                yield f"environment.{key}"
    for name, value in job.inputs.items():
        if isinstance(value, DataInput) and value.datastore is not None:
            yield f"inputs.{name}.datastore"
