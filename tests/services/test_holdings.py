"""What lies in a datastore, for any order of trees laid, blobs written and blobs removed, beside a plain dictionary."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.domain.blobs import Conditions
from mayfly.domain.references import DatastoreReference
from mayfly.kit.errors import NotFound
from mayfly.kit.ids import Digest
from mayfly.services import blobs, datastores, holdings, places
from mayfly.services.blobs import NewBlob
from mayfly.services.holdings import Space
from mayfly.store import datastores as rows
from mayfly.store.datastores import Placement
from mayfly.testing.databases import Databases
from mayfly.testing.world import HERE, Scene, scene

PATHS = ["a/x", "a/y", "a/b/x", "a.b", "b", "c/d/e", "c/d0"]
placed = st.tuples(st.sampled_from(["", "a", "a/b", "c/d"]), st.sets(st.sampled_from(["x", "y", "e"]), min_size=1))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(PATHS)),
        st.tuples(st.just("remove"), st.sampled_from(PATHS)),
        st.tuples(st.just("lay"), placed),
        st.tuples(st.just("file"), st.sampled_from(["b", "a.b"])),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def stage(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("holdings")
    return scene(folder, databases.fresh("sqlite", folder))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_newest_of_a_path_is_what_is_there(stage: Scene, steps) -> None:
    world = stage.world
    space = Space(places.find(world, HERE).id, f"workspaceblobstore{world.ids.new('x')}")
    there: dict[str, bytes] = {}
    for number, (what, where) in enumerate(steps):
        data = str(number).encode()
        if what == "put":
            digest = Digest(hashlib.sha256(data).hexdigest())
            world.content.put(digest, [data])
            blobs.put(world, space, where, NewBlob(digest, len(data)), Conditions())
            there[where] = data
        elif what == "remove":
            if where in there:
                blobs.remove(world, space, where, Conditions())
                del there[where]
            else:
                with pytest.raises(NotFound):
                    blobs.remove(world, space, where, Conditions())
        else:
            path, names = (where, {"any"}) if what == "file" else where
            tree = stage.upload(**dict.fromkeys(names, data))
            laid = Placement(path, tree, what == "file")
            world.store.write(lambda unit, laid=laid: rows.place(unit, *_of(space), laid, world.clock.now()))
            there |= {path: data} if what == "file" else {f"{path}/{one}".lstrip("/"): data for one in names}
    for most in (1, 3, 100):
        assert _listed(world, space, "", "", most) == sorted(there)
    for prefix in ("a", "a/", "c/d", "zzz"):
        assert _listed(world, space, prefix, "", 2) == sorted(path for path in there if path.startswith(prefix))
    tops = {path.partition("/")[0] + ("/" if "/" in path else "") for path in there}
    assert _listed(world, space, "", "/", 2) == sorted(tops)
    for path in PATHS:
        found = holdings.look(world, space, path).blob
        assert (b"".join(blobs.read(world, found, 0, found.size)) if found else None) == there.get(path)


def _of(space: Space) -> tuple[str, str]:
    return space.workspace, space.datastore


def _listed(world, space: Space, prefix: str, delimiter: str, most: int) -> list[str]:
    found, begin = [], ""
    while True:
        page = holdings.page(world, space, prefix, delimiter, begin, most)
        found += page.names
        if page.next is None:
            return found
        begin = page.next


def test_a_list_reads_no_tree_that_it_does_not_come_to(stage: Scene) -> None:
    world = stage.world
    owner = places.find(world, HERE).id
    for number in range(30):
        tree = stage.upload(**{f"file{number}": str(number).encode()})
        laid = Placement(f"ExperimentRun/dcid.{number:03}", tree, False)
        world.store.write(lambda unit, laid=laid: rows.place(unit, owner, "many", laid, world.clock.now()))
    before = len(world.trees._kept)
    assert holdings.page(world, Space(owner, "many"), "", "/", "", 10).names == ["ExperimentRun/"]
    assert len(holdings.page(world, Space(owner, "many"), "ExperimentRun/", "/", "", 5).names) == 5
    assert len(world.trees._kept) - before <= 6
    reference = DatastoreReference("many", "ExperimentRun/dcid.003")
    assert datastores.held(world, owner, reference)[1] is False
