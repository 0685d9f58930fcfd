"""Assets by name, version and label: what is registered stays what it is, and each workspace has its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mayfly.domain.references import AssetKind, AssetReference, WorkspaceNames
from mayfly.kit.errors import Conflict, Invalid, NotFound
from mayfly.services import assets
from mayfly.services.assets import NewAsset
from mayfly.services.places import Place
from mayfly.store.assets import AssetRow
from mayfly.testing.world import HERE, Scene

DATA = AssetKind.DATA


def keep(
    stage: Scene, name: str, version: str | None = None, content: str = "a", place: Place = HERE, **more
) -> AssetRow:
    asset = NewAsset(DATA, name, version, "uri_folder", place=f"https://h/{content}", **more)
    return assets.register(stage.world, "ann", place, asset)[0]


def named(stage: Scene, **which) -> list[str]:
    return [one.name for one in assets.page(stage.world, HERE, DATA, 100, None, which.get("which", "active")).assets]


def test_versions_count_up_from_the_largest_number(stage: Scene) -> None:
    found = [
        keep(stage, "iris", given, str(at)).version for at, given in enumerate((None, None, "7", None, "beta", None))
    ]
    assert found == ["1", "2", "7", "8", "beta", "9"]


def test_a_version_means_one_thing_for_ever(stage: Scene) -> None:
    first = keep(stage, "iris", "1", "a", description="old")
    again, created = assets.register(
        stage.world, "bob", HERE, NewAsset(DATA, "iris", "1", "uri_folder", place="https://h/a", tags={"k": "v"})
    )
    assert (created, again.sequence, again.created_by) == (False, first.sequence, "ann")
    assert assets.find(stage.world, HERE, DATA, "iris", version="1").tags == {"k": "v"}
    for other in ({"content": "b"}, {"definition": {"x": 1}}):
        with pytest.raises(Conflict) as caught:
            keep(stage, "iris", "1", **{"content": "a", **other})
        assert caught.value.code == "AssetVersionTaken" and caught.value.pointer == "/version"


def test_latest_is_the_last_created_that_is_not_archived(stage: Scene) -> None:
    for version in ("2", "10", "1"):
        keep(stage, "iris", version, version)
    latest = lambda: assets.find(stage.world, HERE, DATA, "iris", label="latest").version  # noqa: E731
    assert latest() == "1"
    assets.archive(stage.world, HERE, DATA, "iris", "1", archived=True)
    assert latest() == "10"
    assert assets.find(stage.world, HERE, DATA, "iris", version="1").archived
    assert [one.version for one in assets.version_page(stage.world, HERE, DATA, "iris", 9, None, "active").assets] == [
        "10",
        "2",
    ]
    assets.archive(stage.world, HERE, DATA, "iris", None, archived=True)
    with pytest.raises(NotFound) as caught:
        latest()
    assert caught.value.code == "AssetArchived" and "restore" in (caught.value.remedy or "")
    assert named(stage) == [] and named(stage, which="archived") == ["iris"]
    assets.archive(stage.world, HERE, DATA, "iris", None, archived=False)
    assert latest() == "10"


def test_a_new_version_brings_an_archived_name_back(stage: Scene) -> None:
    keep(stage, "iris", "1", "a")
    assets.archive(stage.world, HERE, DATA, "iris", None, archived=True)
    keep(stage, "iris", None, "b")
    assert assets.find(stage.world, HERE, DATA, "iris").version == "2"


def test_what_is_absent_names_what_is_near(stage: Scene) -> None:
    keep(stage, "credit-card", "2024", "a")
    asked = [
        ("credit-crad", {"label": "latest"}, "AssetNotFound", "credit-card"),
        ("credit-card", {"version": "2025"}, "AssetVersionNotFound", "2024"),
        ("credit-card", {"label": "newest"}, "AssetLabelNotFound", "@latest"),
        ("nothing-like-it", {}, "AssetNotFound", "mayfly data list"),
    ]
    for name, given, code, says in asked:
        with pytest.raises(NotFound) as caught:
            assets.find(stage.world, HERE, DATA, name, **given)
        assert caught.value.code == code and says in (caught.value.remedy or "")


def test_workspaces_and_kinds_share_no_names(stage: Scene) -> None:
    there = Place("local", "rg", "other")
    keep(stage, "iris", "1", "a")
    keep(stage, "iris", "1", "b", there)
    assets.register(stage.world, "ann", HERE, NewAsset(AssetKind.MODEL, "iris", "1", "custom_model"))
    whole = AssetReference("iris", "1", workspace=WorkspaceNames("local", "rg", "other"))
    assert assets.find_reference(stage.world, HERE, DATA, whole).place == "https://h/b"
    assert assets.find(stage.world, HERE, DATA, "iris", version="1").place == "https://h/a"
    with pytest.raises(Invalid):
        assets.find_reference(stage.world, HERE, DATA, AssetReference("iris", "1", kind=AssetKind.MODEL))


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "-x", "é", "x" * 256, "a:1"])
def test_names_that_cannot_be(stage: Scene, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        keep(stage, name)
    assert caught.value.code == "AssetNameInvalid" and caught.value.pointer == "/name"


@pytest.mark.parametrize("version", ["", "latest", "1/2", "a b", "x" * 65])
def test_versions_that_cannot_be(stage: Scene, version: str) -> None:
    with pytest.raises(Invalid) as caught:
        keep(stage, "iris", version)
    assert caught.value.code == "AssetVersionInvalid"


def test_a_race_for_one_name_counts_each_once(stage: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: keep(stage, "iris", None, str(at)).version, range(16)))
    assert sorted(map(int, found)) == list(range(1, 17))


def test_a_race_for_one_version_makes_one(stage: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keep(stage, "iris", "5").sequence, range(8)))
    assert len(set(found)) == 1


def test_pages_hold_everything_once(stage: Scene) -> None:
    for number in range(7):
        keep(stage, f"d{number}")
        keep(stage, "many", None, str(number))
    seen, after = [], None
    while True:
        page = assets.page(stage.world, HERE, DATA, 3, after, "active")
        seen += [one.name for one in page.assets]
        if not page.more:
            break
        after = seen[-1]
    assert seen == [*(f"d{number}" for number in range(7)), "many"]
    first = assets.version_page(stage.world, HERE, DATA, "many", 4, None, "active")
    rest = assets.version_page(stage.world, HERE, DATA, "many", 4, first.assets[-1].version, "active")
    assert [one.version for one in [*first.assets, *rest.assets]] == [str(n) for n in range(7, 0, -1)]
    assert (first.more, rest.more) == (True, False)


def test_the_remedy_for_what_is_archived_brings_it_back(stage: Scene) -> None:
    keep(stage, "iris", "1")
    for version in ("1", None):
        assets.archive(stage.world, HERE, DATA, "iris", version, archived=True)
        with pytest.raises(NotFound) as caught:
            assets.find(stage.world, HERE, DATA, "iris", label="latest")
        told = (caught.value.remedy or "").split("--version ")
        assets.archive(stage.world, HERE, DATA, "iris", told[1] if len(told) > 1 else None, archived=False)
        assert assets.find(stage.world, HERE, DATA, "iris", label="latest").version == "1"
