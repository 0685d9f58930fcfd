"""Environments under a name: registered once, found by every reference, made when asked for."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mayfly.domain.references import AssetKind
from mayfly.engine.resolving import Resolving
from mayfly.kit.errors import Broken, Conflict, Invalid, NotFound
from mayfly.node import cache
from mayfly.services import assets, environments, jobs, pruning, registered, submit
from mayfly.services.assets import NewAsset
from mayfly.services.nodes import WishBook
from mayfly.spec.settings import Settings
from mayfly.store import environments as rows
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.nodes import until
from mayfly.testing.world import HERE, Scene
from mayfly.wire import mayfly as wire


def conda(*packages: str) -> dict[str, Any]:
    return {"image": "python:latest", "conda_file": {"dependencies": ["python", {"pip": list(packages)}]}}


def keep(stage: Scene, name: str, version: str | None, definition: dict[str, Any]) -> str:
    new = NewAsset(AssetKind.ENVIRONMENT, name, version, "", definition)
    return registered.register(stage.world, "ann", HERE, new)[0].version


def name_of(stage: Scene, reference: str) -> tuple[str, list[str]]:
    found = environments.wish(stage.world, reference, HERE)
    return found.name, found.definition["requirements"]


def test_a_registered_environment_is_found_by_every_reference(stage: Scene) -> None:
    assert keep(stage, "mine", None, {**conda("numpy"), "description": "x"}) == "1"
    assert keep(stage, "mine", None, conda("scipy")) == "2"
    assert name_of(stage, "azureml:mine:1") == ("mine:1", ["numpy"])
    for latest in ("azureml:mine@latest", "azureml:mine", "mine@latest", "mine"):
        assert name_of(stage, latest) == ("mine:2", ["scipy"])
    here = "subscriptions/local/resourceGroups/local/providers/Microsoft.MachineLearningServices/workspaces/default"
    assert name_of(stage, f"azureml:/{here}/environments/mine/versions/1") == ("mine:1", ["numpy"])
    assets.archive(stage.world, HERE, AssetKind.ENVIRONMENT, "mine", "2", archived=True)
    assert name_of(stage, "mine@latest") == ("mine:1", ["numpy"])


def test_what_the_workspace_has_comes_before_what_is_curated(stage: Scene) -> None:
    assert name_of(stage, "azureml:sklearn-1.5:1")[0] == "sklearn-1.5"
    keep(stage, "sklearn-1.5", "1", conda("numpy"))
    assert name_of(stage, "azureml:sklearn-1.5:1") == ("sklearn-1.5:1", ["numpy"])
    assert name_of(stage, "azureml://registries/azureml/environments/sklearn-1.5/labels/latest")[0] == "sklearn-1.5"


@pytest.mark.parametrize("reference", ["azureml:mine:9", "azureml:mine@prod", "azureml:nobodys:1"])
def test_a_version_that_is_not_there_is_told(stage: Scene, reference: str) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    with pytest.raises(Invalid) as refused:
        environments.wish(stage.world, reference, HERE)
    assert (refused.value.code, refused.value.pointer) == ("EnvironmentUnknown", "/environment")


def test_a_version_means_one_thing_for_ever(stage: Scene) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    assert keep(stage, "mine", "1", {**conda("numpy"), "tags": {"a": "b"}}) == "1"
    with pytest.raises(Conflict):
        keep(stage, "mine", "1", conda("scipy"))


@pytest.mark.parametrize(
    ("name", "definition", "code", "pointer"),
    [
        ("AzureML-mine", conda("numpy"), "EnvironmentNameReserved", "/name"),
        ("microsoft-mine", conda("numpy"), "EnvironmentNameReserved", "/name"),
        ("mine", {}, "EnvironmentEmpty", ""),
        ("mine", conda("-e ."), "PipLineNotSupported", "/conda_file/dependencies/1/pip/0"),
    ],
)
def test_what_cannot_be_registered(
    stage: Scene, name: str, definition: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        keep(stage, name, "1", definition)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_an_environment_is_made_when_asked_for_and_again_after_a_failure(stage: Scene) -> None:
    keep(stage, "mine", "1", conda("numpy"))
    resolving = Resolving(stage.world)
    stage.resolver.failure = Broken("EnvironmentUnsatisfiable", "no such numpy")
    ask = wire.EnvironmentBuild(environment="azureml:mine:1")
    digest = environments.build(stage.world, "me", HERE, ask).digest
    resolving.work()
    until(lambda: environments.build_view(stage.world, digest, 0).state == "failed")
    failed = environments.build_view(stage.world, digest, 0)
    assert failed.error is not None and failed.error.message == "no such numpy" and failed.text == "looking\nfound\n"
    with pytest.raises(Invalid) as refused:
        submit.submit(stage.world, "ann", HERE, stage.submission(environment="azureml:mine:1"))
    assert f"mayfly environment build {digest[:12]}" in (refused.value.remedy or "")
    stage.resolver.failure, stage.resolver.lines = None, ["again"]
    environments.build(stage.world, "me", HERE, wire.EnvironmentBuild(digest=digest[:12]))
    resolving.work()
    until(lambda: environments.build_view(stage.world, digest, 0).state == "ready")
    made = environments.build_view(stage.world, digest, 0)
    assert (made.packages, made.text, made.error) == (["numpy==1.0"], "again\n", None)
    resolving.close()


def made(stage: Scene, *packages: str) -> str:
    """One that is ready; its hash."""
    resolving = Resolving(stage.world)
    digest = environments.build(stage.world, "me", HERE, wire.EnvironmentBuild(environment=conda(*packages))).digest
    resolving.work()
    until(lambda: environments.build_view(stage.world, digest, 0).state == "ready")
    resolving.close()
    return digest


def state(stage: Scene, digest: str) -> str:
    return environments.build_view(stage.world, digest, 0).state


def test_a_lock_that_cannot_be_installed_is_not_kept(stage: Scene) -> None:
    digest = made(stage, "numpy")
    running, lost, queued = (
        submit.submit(stage.world, "ann", HERE, stage.submission(name=name, environment=conda("numpy")))[0].job.id
        for name in ("running", "lost", "queued")
    )
    stage.turn()
    (first,), (second,) = (parts_of(stage.world, job, 1) for job in (running, lost))
    first.prepare()
    second.tell(second.phase("environment"))
    second.tell(second.unprepared("EnvironmentPackageGone"), second.released())
    stage.turn()
    (third,) = parts_of(stage.world, queued, 1)
    cause = jobs.show(stage.world, HERE, "lost").error
    assert cause is not None and f"mayfly environment build {digest[:12]}" in (cause.remedy or "")
    assert state(stage, digest) == "wanted", "another job waits for it"
    book = WishBook(stage.world)

    def told(part: Part) -> list[str]:
        return [wish.action for wish in book.read(part.agent.node).attempts if wish.fence == part.fence]

    assert (told(first), told(third)) == (["run"], []), "who runs goes on, who waits is told the new lock"
    resolving = Resolving(stage.world)
    resolving.work()
    until(lambda: state(stage, digest) == "ready")
    resolving.close()
    assert (told(third), stage.resolver.fresh) == (["prepare"], [False, True])


def test_a_lock_that_nobody_waits_for_is_found_anew_when_it_is_wanted(stage: Scene) -> None:
    digest = made(stage, "numpy")
    row, _ = submit.submit(stage.world, "ann", HERE, stage.submission(environment=conda("numpy")))
    stage.turn()
    (part,) = parts_of(stage.world, row.job.id, 1)
    part.tell(part.unprepared("EnvironmentPackageGone"))
    assert state(stage, digest) == "stale"
    submit.submit(stage.world, "ann", HERE, stage.submission(environment=conda("numpy")))
    assert state(stage, digest) == "wanted"


def cached(stage: Scene, kind: str, name: str, days: float) -> Path:
    """As a node leaves it, last used some days ago."""
    place = Path(stage.world.state_folder, "cache", kind, name)
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"x" * 100)
    lock, compiled = place.with_name(f"{name}.lock"), place.with_name(f"{name}.compiled")
    for one in (lock, compiled):
        one.touch()
    then = time.time() - days * 86_400
    for one in (place, lock):
        os.utime(one, (then, then))
    return place


def test_what_no_job_has_used_for_long_is_pruned(stage: Scene) -> None:
    old, running, ended = made(stage, "numpy"), made(stage, "scipy"), made(stage, "pandas")
    for name, package in (("running", "scipy"), ("ended", "pandas")):
        submit.submit(stage.world, "ann", HERE, stage.submission(name=name, environment=conda(package)))
    stage.turn()
    (part,) = parts_of(stage.world, jobs.find(stage.world, HERE, "ended").job.id, 1)
    part.run()
    stage.clock.advance(31 * 86_400_000)
    new = made(stage, "torch")
    plan = stage.world.store.read(lambda c: rows.get(c, running)).plan
    assert plan is not None
    kept = [
        cached(stage, "environments", f"{plan.digest}-open", 40),
        cached(stage, "environments", "c" * 64, 2),
        cached(stage, "environments", "d" * 64, 40),
        cached(stage, "trees", "e" * 64, 40),
    ]
    gone = [cached(stage, "environments", "a" * 64, 40), cached(stage, "trees", "b" * 64, 40)]
    pins = Path(stage.world.state_folder, "nodes", "node_1", "attempts", "job_1-1", "pins")
    cache.pin(kept[2], pins)  # an attempt begins to use it
    os.utime(kept[2].with_name(f"{'d' * 64}.lock"), (0, 0))
    with cache.single_flight(kept[3].with_name(f"{'e' * 64}.lock")):  # somebody works in it
        told = pruning.prune(stage.world, days=30, dry_run=True)
        assert all(place.exists() for place in gone) and state(stage, old) == "ready"
        done = pruning.prune(stage.world, days=30)
    assert (done.locks, done.environments, done.trees, done.bytes) == (2, 1, 1, 200)
    assert {**done.model_dump(), "dry_run": True} == told.model_dump()
    assert [place.exists() for place in kept] == [True] * 4
    assert not any(one.exists() for place in gone for one in (place, place.with_name(f"{place.name}.compiled")))
    with pytest.raises(NotFound):
        state(stage, old)
    assert (state(stage, running), state(stage, ended), state(stage, new)) == ("ready", "dropped", "ready")
    assert jobs.show(stage.world, HERE, "ended").environment == "inline", "a job's record keeps the name"
    cache.pin(gone[0], pins)
    assert pruning.prune(stage.world, days=30).locks == 0
    assert made(stage, "numpy") == old


def test_an_environment_of_a_registry_is_read_from_its_folder(stage: Scene, tmp_path: Path) -> None:
    place = tmp_path / "environments"
    (place / "context").mkdir(parents=True)
    (place / "context" / "Dockerfile").write_text("FROM scratch\n")
    (place / "conda.yml").write_text("dependencies: [pip, {pip: [numpy]}]\n")
    (place / "mine.yml").write_text("name: mine\nversion: 4\nimage: python:latest\nconda_file: conda.yml\n")
    (place / "built.yml").write_text("name: built\nbuild: {path: context}\n")
    (place / "bare.yml").write_text("name: bare\nbuild: {dockerfile_path: Dockerfile}\n")
    (place / "lost.yml").write_text("name: lightgbm-3.3\nimage: python:latest\nconda_file: nowhere.yml\n")
    (place / "ours.yml").write_text("name: sklearn-1.5\nimage: python:latest\nconda_file: conda.yml\n")
    settings = Settings(registries={"lab": str(tmp_path), "azureml": str(tmp_path)})
    stage.world = dataclasses.replace(stage.world, settings=lambda: settings)
    at = "azureml://registries/lab/environments"
    assert name_of(stage, f"{at}/mine/versions/4") == ("lab/mine:4", ["numpy", "setuptools<81"])
    assert name_of(stage, f"{at}/sklearn-1.5/labels/latest") == ("lab/sklearn-1.5:1", ["numpy", "setuptools<81"])
    assert name_of(stage, "azureml://registries/azureml/environments/sklearn-1.5/labels/latest")[0] == "sklearn-1.5"
    assert name_of(stage, "azureml://registries/other/environments/sklearn-1.5/labels/latest")[0] == "sklearn-1.5"
    assert registered.meant(stage.world, HERE, f"{at}/built/labels/latest").name == "lab/built:1"
    for name, code in {
        "mine/versions/5": "EnvironmentUnknown",
        "bare/labels/latest": "RegistryFileInvalid",
        "lightgbm-3.3/labels/latest": "RegistryFileNotFound",
    }.items():
        with pytest.raises(Invalid) as refused:
            environments.wish(stage.world, f"{at}/{name}", HERE)
        assert refused.value.code == code and (refused.value.pointer or "").startswith("/environment")
