"""The samples of Azure's page on serverless compute, one after the other, each in a workspace of its own. Only what stands in
angle brackets is filled in."""

import contextlib
import functools
import io
import re
import time
from collections.abc import Callable, Mapping

from azure.ai.ml import MLClient, __version__
from azure.ai.ml.entities import Job
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential

PIPELINE_BEFORE = """
from azure.ai.ml import Input, MLClient, dsl, load_component
from azure.identity import DefaultAzureCredential
ml_client = MLClient(DefaultAzureCredential(), "sub", "rg", "<workspace>")
train_component = load_component("component.yml")
@dsl.pipeline()
"""
PIPELINE_AFTER = "\nml_client.jobs.create_or_update(pipeline_job)\n"


@functools.cache
def client(line: str) -> MLClient:
    return MLClient(DefaultAzureCredential(), "sub", "rg", workspace(line))


def workspace(line: str) -> str:
    return f"sample-{line}-{__version__}"


def filled(line: str, text: str) -> str:
    def value(found: re.Match[str]) -> str:
        asked = found[1].lower()
        if "client" in asked:
            (identity,) = client(line).workspaces.get().identity.user_assigned_identities
            return identity.client_id
        names = {"subscription": "sub", "group": "rg", "workspace": workspace(line)}
        return next(name for word, name in names.items() if word in asked)

    return re.sub(r"<([^<>\n]+)>", value, text)


def completed(line: str, text: str) -> str:
    """A fragment with what it needs to be a script; the page itself leaves that out."""
    if line != "523":
        return text
    return PIPELINE_BEFORE + text.replace("train_job.outputs}", "train_job.outputs.model}") + PIPELINE_AFTER


def identity_shown(line: str, said: str, error: Exception | None) -> None:
    (identity,) = client(line).workspaces.get().identity.user_assigned_identities
    assert error is None and identity.resource_id in said, said[400:]


def no_room(line: str, _said: str, error: Exception | None) -> None:
    assert isinstance(error, HttpResponseError) and error.status_code == 422, error.status_code
    assert "standardNCFamily" in str(error) and "quota" in str(error), error
    assert list(client(line).jobs.list()) == []


def runs(**wanted: object) -> Callable[[str, str, Exception | None], None]:
    def check(line: str, _said: str, error: Exception | None) -> None:
        assert error is None, error
        job = ended(line)
        assert job.status == "Completed", job.status
        for path, value in wanted.items():
            found: object = job
            for part in path.split("__"):
                found = getattr(found, part)
            assert found == value, f"{path} is {found}"

    return check


def ended(line: str) -> Job:
    ml = client(line)
    (listed,) = ml.jobs.list()
    until = time.monotonic() + 120
    while time.monotonic() < until:
        job = ml.jobs.get(listed.name)
        if job.status in ("Completed", "Failed", "Canceled"):
            return job
        time.sleep(0.3)
    raise TimeoutError(f"{listed.name} is {job.status}")


def as_its_workspace(line: str, said: str, error: Exception | None) -> None:
    runs(settings__default_compute="serverless")(line, said, error)
    ml = client(line)
    step = next(one for one in ml.jobs.list(parent_job_name=ended(line).name))
    assert ml.jobs.get(step.name).identity.type == "managed_identity", ml.jobs.get(step.name).identity


CHECKS = {
    "62": runs(),
    "170": runs(identity__type="user_identity"),
    "224": identity_shown,
    "259": runs(identity__type="managed_identity"),
    "304": runs(compute=None),
    "349": no_room,
    "392": runs(queue_settings__job_tier="spot"),
    "429": runs(resources__instance_type="Standard_E4s_v3", queue_settings__job_tier="standard"),
    "523": as_its_workspace,
}


def run(samples: Mapping[str, str]) -> dict[str, str]:
    """What each came to, by its line."""
    assert set(samples) == set(CHECKS), f"{sorted(samples)}: each sample has a check of its own, and none is left out"
    came: dict[str, tuple[str, Exception | None]] = {}
    for line, text in samples.items():
        printed, failed = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(filled(line, completed(line, text)), line, "exec"), {})
            except Exception as error:  # noqa: BLE001 - some are to be refused
                failed = error
        came[line] = printed.getvalue(), failed
    answers = {}
    for line, (said, error) in came.items():
        try:
            CHECKS[line](line, said, error)
            answers[line] = "passes"
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it is what the sample came to
            answers[line] = f"{type(wrong).__name__}: {' '.join(str(wrong).split())[:400]}"
    return answers
