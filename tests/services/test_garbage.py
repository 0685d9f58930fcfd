"""What nothing needs goes, what anything needs stays; outputs and logs go when their time is over."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

from mayfly.domain.blobs import Conditions
from mayfly.domain.references import AssetKind
from mayfly.kit.ids import Digest
from mayfly.services import blobs, blocks, garbage, jobs, logs, places, submit
from mayfly.services.assets import NewAsset, register
from mayfly.services.blobs import NewBlob
from mayfly.services.garbage import GRACE_MS
from mayfly.services.holdings import Space
from mayfly.services.places import Place
from mayfly.spec.settings import Settings
from mayfly.testing.agent import parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire import agent as wire


def age(stage: Scene, days: float = 2.0) -> None:
    """As if everything that is here had come some days ago."""
    then = time.time() - days * 86400
    for digest, _, _ in stage.world.content.list():
        os.utime(Path(stage.world.state_folder, "content", digest[:2], digest[2:]), (then, then))


def at_wall_time(stage: Scene) -> None:
    stage.clock.advance(int(time.time() * 1000) - stage.clock.now())


def here(stage: Scene, tree: str) -> bool:
    return stage.world.content.has(Digest(tree))


def run_job(stage: Scene, name: str, **changes) -> None:
    row, _ = submit.submit(stage.world, "ann", HERE, stage.submission(name=name, **changes))
    stage.turn()
    for part in parts_of(stage.world, row.job.id, 1):
        tree = stage.upload(**{"result.txt": name.encode()})
        part.prepare()
        logs.append(stage.world, part.agent.node, row.job.id, 1, 0, "user_logs/std_log.txt", 0, b"hello\n")
        part.tell(part.exited())
        manifest = wire.OutputManifest(name="default", tree=tree, files=1, bytes=3)
        part.tell(part.collected(outputs=(manifest,), logs={"user_logs/std_log.txt": 6}), part.released())


def test_only_what_nothing_names_goes(stage: Scene) -> None:
    at_wall_time(stage)
    code, used, asset = (stage.upload(**{"a.py": text}) for text in (b"code", b"input", b"asset"))
    lost = stage.upload(**{"b.bin": b"lost", "sub/c.bin": b"too"})
    run_job(
        stage,
        "one",
        code="./src",
        inputs={"x": {"path": "./x"}},
        uploads={"/code": code, "/inputs/x/path": used},
    )
    register(stage.world, "ann", HERE, NewAsset(AssetKind.DATA, "kept", None, "uri_folder", tree=asset))
    fresh = garbage.collect(stage.world)
    assert (fresh.files, here(stage, lost)) == (0, True), "what has just been sent is left alone"
    age(stage)
    told = garbage.collect(stage.world, dry_run=True)
    assert (told.files, here(stage, lost)) == (3, True)
    done = garbage.collect(stage.world)
    assert (done.files, done.bytes) == (told.files, told.bytes)
    assert not here(stage, lost)
    (result,) = jobs.show(stage.world, HERE, "one").outputs
    for tree in (code, used, asset, result.tree):
        assert garbage._inside(stage.world, Digest(tree)), "a tree that is needed"
        assert all(here(stage, one) for one in garbage._inside(stage.world, Digest(tree)))
    assert garbage.collect(stage.world).files == 0


def test_who_asks_for_content_keeps_it(stage: Scene) -> None:
    """A client that is told 'it is here' sends no bytes: they must be there when its job comes."""
    at_wall_time(stage)
    tree = stage.upload(**{"a.py": b"code"})
    age(stage)
    assert stage.world.content.missing([Digest(tree)]) == []
    assert garbage.collect(stage.world).files == 0
    submit.submit(stage.world, "ann", HERE, stage.submission(code="./src", uploads={"/code": tree}))


def test_outputs_and_logs_go_when_their_time_is_over(stage: Scene) -> None:
    at_wall_time(stage)
    run_job(stage, "one")
    row = jobs.find(stage.world, HERE, "one")
    stage.world.store.write(lambda unit: unit.connection.exec_driver_sql("update jobs set tidy = true"))
    settings = Settings(retention_days=7)
    object.__setattr__(stage.world, "settings", lambda: settings)
    stage.clock.advance(6 * 86_400_000)
    assert garbage.collect(stage.world).jobs == 0
    stage.clock.advance(2 * 86_400_000)
    (tree,) = [one.tree for one in jobs.show(stage.world, HERE, "one").outputs]
    assert garbage.collect(stage.world, dry_run=True).jobs == 1
    assert jobs.show(stage.world, HERE, "one").outputs
    done = garbage.collect(stage.world)
    assert (done.jobs, done.log_bytes) == (1, 6)
    view = jobs.show(stage.world, HERE, "one")
    assert view.outputs == [] and view.status == "Completed" and "7 days" in view.notes[-1]
    assert stage.world.logs.size(row.job.id, 1, 0, "user_logs/std_log.txt") == 0
    garbage.collect(stage.world, grace_ms=GRACE_MS)
    assert not here(stage, tree)
    assert garbage.collect(stage.world).jobs == 0


def test_workspaces_are_made_and_counted(stage: Scene) -> None:
    run_job(stage, "one")
    made = places.make(stage.world, replace(HERE, workspace="mine"))
    assert places.make(stage.world, Place("local", "local", "mine")).id == made.id
    first, second = places.every(stage.world)
    assert (first.name, first.jobs, second.name, second.jobs) == ("default", {"Completed": 1}, "mine", {})


def test_a_blobs_content_goes_with_the_blob(stage: Scene) -> None:
    at_wall_time(stage)
    world = stage.world
    space = Space(places.find(world, HERE).id, "workspaceblobstore")
    for name in ("kept", "removed"):
        data = name.encode()
        digest = Digest(hashlib.sha256(data).hexdigest())
        world.content.put(digest, [data])
        blobs.put(world, space, name, NewBlob(digest, len(data)), Conditions())
    block = blocks.begin(world, space, "never", b"1")
    block.write(b"waits")
    block.keep()
    blobs.remove(world, space, "removed", Conditions())
    age(stage)
    told = garbage.collect(world)
    assert (told.files, told.bytes) == (1, 7) and blocks.listing(world, space, "never")[2] == [(b"1", 5)]
    assert [one.path for one in blobs.listing(world, space, "", "", "", 10).blobs] == ["kept"]
    stage.clock.advance(blocks.WEEK_MS + 60_000)
    assert garbage.collect(world).bytes == 5, "the block"
    assert b"".join(blobs.read(world, blobs.find(world, space, "kept"), 0, 4)) == b"kept"
