"""What a job reads and where it writes: found at submit, laid and registered when it ends, each where it was asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mayfly.domain.references import AssetKind
from mayfly.kit.errors import Conflict, Forbidden, Invalid, MayflyError, NotFound
from mayfly.services import assets, datastores, inputs, jobs, outputs, submit
from mayfly.services.assets import NewAsset
from mayfly.spec.settings import Settings
from mayfly.store import codec, lineage, tables
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.world import HERE, Scene
from mayfly.wire import agent as wire

ONE = {"instance_type": "local_1"}
BLOB = "azureml://datastores/workspaceblobstore/paths"


def start(stage: Scene, name: str, **changes) -> list[Part]:
    row, _ = submit.submit(stage.world, "ann", HERE, stage.submission(name=name, **{"resources": ONE, **changes}))
    stage.turn()
    return parts_of(stage.world, row.job.id, 1)


def end(stage: Scene, part: Part, code: int = 0, **files: dict[str, bytes]) -> None:
    part.prepare()
    manifests = []
    for name, content in files.items():
        tree = stage.upload(**content)
        manifests.append(wire.OutputManifest(name=name, tree=tree, files=len(content), bytes=1))
    part.tell(part.started(), part.exited(code), part.collected(outputs=tuple(manifests)), part.released())


def told(stage: Scene, name: str) -> dict:
    return codec.load(jobs.find(stage.world, HERE, name).work)


def read(stage: Scene, name: str, given: dict) -> wire.DataInput:
    """What the node of a job with this one input is told."""
    submit.submit(stage.world, "ann", HERE, stage.submission(name=name, inputs={"x": given}))
    return wire.DataInput(**told(stage, name)["inputs"][0])


def paths(stage: Scene, tree: str) -> list[str]:
    return [entry.path for entry in datastores.read_tree(stage.world, tree).entries]


def refused(stage: Scene, **changes) -> MayflyError:
    with pytest.raises(MayflyError) as caught:
        submit.submit(stage.world, "ann", HERE, stage.submission(name="refused", **changes))
    with pytest.raises(NotFound):
        jobs.find(stage.world, HERE, "refused")
    return caught.value


def test_outputs_lie_at_their_paths_and_read_back_by_every_name(stage: Scene) -> None:
    given = {
        "model": {"name": "net", "type": "custom_model"},
        "one": {"type": "uri_file", "path": f"{BLOB}/exact/${{{{name}}}}.csv", "name": "rows", "version": "7"},
    }
    (part,) = start(stage, "maker", outputs=given)
    end(stage, part, model={"a/w.bin": b"w", "b": b"b"}, one={"one": b"1,2"})
    assert jobs.show(stage.world, HERE, "maker").status == "Completed"
    for at, (path, wanted, is_file) in enumerate(
        [
            ("azureml:net@latest", ["a/w.bin", "b"], False),
            ("azureml:net:1", ["a/w.bin", "b"], False),
            (f"{BLOB}/azureml/maker/model/", ["a/w.bin", "b"], False),
            (f"{BLOB}/azureml/maker/model/a", ["w.bin"], False),
            ("azureml://jobs/maker/outputs/model/paths/a/w.bin", ["w.bin"], True),
            ("azureml://jobs/maker/outputs/model", ["a/w.bin", "b"], False),
            (f"{BLOB}/exact/maker.csv", ["maker.csv"], True),
            (f"{BLOB}/exact", ["maker.csv"], False),
            ("azureml:rows:7", ["one"], True),
        ]
    ):
        found = read(stage, f"reader-{at}", {"path": path, "type": "uri_file" if is_file else "uri_folder"})
        assert (paths(stage, found.tree), found.is_file) == (wanted, is_file), path
    workspace = jobs.find(stage.world, HERE, "maker").workspace
    links = stage.world.store.read(lambda c: lineage.of_asset(c, workspace, "model", "net", None))
    assert [(one.job, one.direction) for one in links] == [
        ("reader-1", "input"),
        ("reader-0", "input"),
        ("maker", "output"),
    ]


@pytest.mark.parametrize("code", [0, 3])
def test_only_a_completed_job_registers(stage: Scene, code: int) -> None:
    gang = {"instance_type": "local_1", "instance_count": 2}
    parts = start(stage, "gang", resources=gang, outputs={"o": {"name": "shared"}})
    for part in parts:
        part.prepare()
    for rank, part in enumerate(parts):
        part.tell(part.started(), part.exited(code if rank else 0))
    for rank, part in enumerate(parts):
        assert assets.page(stage.world, HERE, AssetKind.DATA, 9, None, "all").assets == []
        tree = stage.upload(**{f"part-{rank}": b"x", "same": str(rank).encode()})
        told = wire.OutputManifest(name="o", tree=tree, files=2, bytes=2)
        part.tell(part.collected(outputs=(told,)), part.released())
    found = assets.page(stage.world, HERE, AssetKind.DATA, 9, None, "all").assets
    if code:
        assert found == []
    else:
        assert [one.job for one in found] == ["gang"]
        assert paths(stage, found[0].tree or "") == ["part-0", "part-1", "same"]


def test_a_report_twice_lays_and_registers_once(stage: Scene) -> None:
    (part,) = start(stage, "one", outputs={"o": {"name": "d"}})
    part.prepare()
    told = wire.OutputManifest(name="o", tree=stage.upload(f=b"x"), files=1, bytes=1)
    facts = (part.started(), part.exited(), part.collected(outputs=(told,)))
    part.tell(*facts)
    part.tell(*facts)
    rows = stage.world.store.read(lambda c: c.execute(tables.placements.select()).all())
    assert [row.path for row in rows] == ["azureml/one/o"]
    assert [
        one.version for one in assets.version_page(stage.world, HERE, AssetKind.DATA, "d", 9, None, "all").assets
    ] == ["1"]


def test_a_version_that_was_taken_meanwhile_costs_nothing(stage: Scene) -> None:
    (part,) = start(stage, "one", outputs={"o": {"name": "d", "version": "5"}})
    assets.register(stage.world, "bob", HERE, NewAsset(AssetKind.DATA, "d", "5", "uri_folder", place="https://h/x"))
    end(stage, part, o={"f": b"x"})
    view = jobs.show(stage.world, HERE, "one")
    assert view.status == "Completed" and any("it is version 6" in note for note in view.notes)
    error = refused(stage, outputs={"o": {"name": "d", "version": "5"}})
    assert isinstance(error, Conflict) and error.pointer == "/outputs/o/version"


def test_storage_elsewhere_is_read_through_the_server_by_its_node_alone(stage: Scene, tmp_path: Path) -> None:
    (tmp_path / "lake" / "in").mkdir(parents=True)
    (tmp_path / "lake" / "in" / "a b.csv").write_bytes(b"0123456789")
    definition = {"name": "lake", "type": "folder", "path": f"{tmp_path}/lake"}
    datastores.create(stage.world, HERE, definition)
    sources = {"x": {"path": "azureml://datastores/lake/paths/in"}}
    targets = {"o": {"path": "azureml://datastores/lake/paths/out/${{name}}"}}
    (part,) = start(stage, "one", inputs=sources, outputs=targets)
    wish = part.agent.wish()
    assert wish.assignment is not None
    assert (wish.assignment.inputs[0].tree, wish.assignment.outputs[0].outside) == ("", True)
    node, ask = part.agent.node, wire.DataAsk(fence=part.fence, input="x")
    (entry,) = inputs.listing(stage.world, node, ask).entries
    assert (entry.path, entry.size) == ("a b.csv", 10)
    piece = inputs.read(stage.world, node, part.fence, "x", entry.path, 3, 4, entry.version)
    assert b"".join(piece) == b"3456"
    for who, fence, name in (
        ("node_other", part.fence, "x"),
        (node, wire.Fence(job=part.fence.job, attempt=2, epoch=part.fence.epoch), "x"),
        (node, part.fence, "y"),
    ):
        with pytest.raises(Forbidden):
            inputs.listing(stage.world, who, wire.DataAsk(fence=fence, input=name))
    with pytest.raises(MayflyError):
        list(inputs.read(stage.world, node, part.fence, "x", "../../secret", 0, None, ""))
    tree = stage.upload(**{"r/s.txt": b"done"})
    for _ in range(2):
        outputs.publish(stage.world, node, wire.Publish(fence=part.fence, rank=0, name="o", tree=tree))
    assert (tmp_path / "lake" / "out" / "one" / "r" / "s.txt").read_bytes() == b"done"
    end(stage, part, o={"r/s.txt": b"done"})
    with pytest.raises(Forbidden):
        inputs.listing(stage.world, node, ask)


def test_what_a_table_names_elsewhere_is_read_for_inputs_that_are_evaluated(stage: Scene, tmp_path: Path) -> None:
    (tmp_path / "lake" / "in").mkdir(parents=True)
    (tmp_path / "lake" / "in" / "a.csv").write_bytes(b"0123456789")
    datastores.create(stage.world, HERE, {"name": "lake", "type": "folder", "path": f"{tmp_path}/lake"})
    tree = stage.upload(MLTable=b"paths: []")
    given = {"x": {"type": "mltable", "path": "./t", "mode": "eval_mount"}, "y": {"path": "./t"}}
    uploads = {"/inputs/x/path": tree, "/inputs/y/path": tree}
    (part,) = start(stage, "one", inputs=given, uploads=uploads)
    node, address = part.agent.node, "azureml://datastores/lake/paths/in"
    (entry,) = inputs.listing(stage.world, node, wire.DataAsk(fence=part.fence, input="x", address=address)).entries
    assert entry.path == "a.csv"
    piece = inputs.read(stage.world, node, part.fence, "x", entry.path, 3, 4, entry.version, address)
    assert b"".join(piece) == b"3456"
    for name, asked, code in (
        ("y", address, "InputOfAnother"),
        ("x", "file:///etc", "AddressInvalid"),
    ):
        with pytest.raises(MayflyError) as caught:
            inputs.listing(stage.world, node, wire.DataAsk(fence=part.fence, input=name, address=asked))
        assert caught.value.code == code


def test_the_address_of_what_was_sent_can_be_read(stage: Scene) -> None:
    given = {
        "a": {"path": "./my/words", "mode": "direct"},
        "b": {"path": "b.txt", "type": "uri_file", "mode": "direct"},
    }
    tree, file = stage.upload(w=b"1"), stage.upload(**{"b.txt": b"2"})
    ask = stage.submission(name="one", inputs=given)
    sent = {"uploads": {**ask.uploads, "/inputs/a/path": tree, "/inputs/b/path": file}, "files": ["/inputs/b/path"]}
    submit.submit(stage.world, "ann", HERE, ask.model_copy(update=sent))
    first, second = (wire.DataInput(**one) for one in told(stage, "one")["inputs"])
    assert first.address == f"{BLOB}/LocalUpload/{tree}/words"
    assert paths(stage, read(stage, "two", {"path": first.address}).tree) == ["w"]
    again = read(stage, "three", {"path": second.address, "type": "uri_file"})
    assert (again.is_file, paths(stage, again.tree)) == (True, ["b.txt"])


def test_a_mapped_prefix_is_read_here(stage: Scene, tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_bytes(b"1")
    settings = Settings(uri_map={"wasbs://data@far.blob.core.windows.net/": str(tmp_path)})
    object.__setattr__(stage.world, "settings", lambda: settings)
    path = "wasbs://data@far.blob.core.windows.net/iris.csv"
    found = read(stage, "one", {"path": path, "type": "uri_file", "mode": "direct"})
    assert (found.tree, found.is_file, found.mode, found.address) == ("", True, "ro_mount", path)
    assert any("mapped" in note for note in jobs.show(stage.world, HERE, "one").notes)
    assert told(stage, "one")["sources"]["x"]["address"] == f"file://{tmp_path}/iris.csv"
    error = refused(stage, inputs={"x": {"path": path + ".gone", "type": "uri_file"}})
    assert (error.code, error.pointer) == ("DataNotFound", "/inputs/x/path")


@pytest.mark.parametrize(
    ("section", "given", "code"),
    [
        ("inputs", {"path": "azureml:nothing:1"}, "AssetNotFound"),
        ("inputs", {"path": f"{BLOB}/nothing/here"}, "DataNotFound"),
        ("inputs", {"path": f"{BLOB}/../x"}, "PathLeavesDatastore"),
        ("inputs", {"path": "azureml://datastores/workspacebolbstore/paths/x"}, "DatastoreNotFound"),
        ("inputs", {"path": "azureml://jobs/nobody/outputs/o"}, "JobNotFound"),
        ("inputs", {"path": "https://ann:hunter2@h.example/x"}, "AddressHasCredentials"),
        ("inputs", {"path": "https://h.example/x?sv=1&sig=hunter2"}, "AddressHasCredentials"),
        ("inputs", {"path": "http://127.0.0.1:9/x", "type": "uri_file"}, "StorageUnreachable"),
        ("inputs", {"path": "adl://x.azuredatalakestore.net/y"}, "AddressInvalid"),
        ("outputs", {"path": f"{BLOB}/a/../../b"}, "PathLeavesDatastore"),
        ("outputs", {"path": "azureml://datastores/nowhere/paths/b"}, "DatastoreNotFound"),
        ("outputs", {"path": f"{BLOB}/${{{{nme}}}}"}, "ExpressionUndefined"),
        ("outputs", {"path": f"{BLOB}/"}, "OutputPathInvalid"),
    ],
)
def test_refusals_name_the_place_and_no_secret(stage: Scene, section: str, given: dict, code: str) -> None:
    error = refused(stage, **{section: {"x": given}})
    assert (error.code, error.pointer) == (code, f"/{section}/x/path")
    assert "hunter2" not in f"{error.message} {error.remedy}"


def test_a_folder_for_a_file_is_refused_and_a_file_for_a_folder_said(stage: Scene, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    datastores.create(stage.world, HERE, {"name": "lake", "type": "folder", "path": str(tmp_path)})
    error = refused(stage, inputs={"x": {"path": "azureml://datastores/lake/paths/", "type": "uri_file"}})
    assert isinstance(error, Invalid) and error.code == "InputIsAFolder"
    assert read(stage, "one", {"path": "azureml://datastores/lake/paths/f"}).is_file
    assert any("single file" in note for note in jobs.show(stage.world, HERE, "one").notes)


def test_keys_are_sealed_and_never_shown(stage: Scene) -> None:
    keys = {"access_key_id": "AKIA-open", "secret_access_key": "hunter2"}
    given = {"name": "b", "type": "s3", "bucket": "b", "endpoint_url": "http://127.0.0.1:9", "credentials": keys}
    view = datastores.create(stage.world, HERE, given)
    assert view.has_credentials and "hunter2" not in view.model_dump_json()
    (row,) = stage.world.store.read(lambda c: c.execute(tables.datastores.select()).all())
    assert "hunter2" not in repr(row) and "AKIA" not in repr(row)
    opened = datastores.opened(stage.world, datastores.Outside("s3://b/x", row.workspace, "b"))
    assert opened.credentials["secret_access_key"] == "hunter2" and "hunter2" not in repr(opened)
    with pytest.raises(Forbidden):
        stage.world.sealing.unseal(row.secret, f"{row.workspace}/another")
    datastores.delete(stage.world, HERE, "b")
    with pytest.raises(NotFound):
        datastores.show(stage.world, HERE, "b")


def test_data_and_models_of_a_registry_are_its_files(stage: Scene, tmp_path: Path) -> None:
    for name, text in {
        "data/iris.yml": "name: iris\nversion: 1\ntype: uri_file\npath: files/iris.csv\n",
        "data/files/iris.csv": "1",
        "data/all.yml": "name: all\ntype: uri_folder\npath: files\n",
        "data/own.yml": "name: own\ntype: uri_folder\npath: azureml:words:1\n",
        "data/round.yml": "name: round\npath: azureml://registries/lab/data/round/labels/latest\n",
        "data/empty.yml": "name: empty\ntype: uri_folder\n",
        "data/gone.yml": "name: gone\npath: nowhere\n",
        "data/out.yml": "name: out\npath: ../../..\n",
        "models/net.yml": "name: net\ntype: custom_model\npath: ./weights\n",
        "models/weights/w": "2",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    stage.world = dataclasses.replace(stage.world, settings=lambda: Settings(registries={"lab": str(tmp_path)}))
    words = NewAsset(AssetKind.DATA, "words", "1", "uri_folder", {}, tree=stage.upload(w=b"3"))
    assets.register(stage.world, "ann", HERE, words)
    at = "azureml://registries/lab"
    one = read(stage, "one", {"type": "uri_file", "path": f"{at}/data/iris/versions/1"})
    assert (one.is_file, paths(stage, one.tree)) == (True, ["iris.csv"])
    assert paths(stage, read(stage, "all", {"path": f"{at}/data/all/labels/latest"}).tree) == ["iris.csv"]
    assert paths(stage, read(stage, "own", {"path": f"{at}/data/own/labels/latest"}).tree) == ["w"]
    model = {"type": "custom_model", "path": f"{at}/models/net/labels/latest"}
    assert paths(stage, read(stage, "net", model).tree) == ["w"]
    for name, code in {
        "iris/versions/2": "RegistryAssetNotFound",
        "round/labels/latest": "RegistryFileInvalid",
        "empty/labels/latest": "RegistryFileInvalid",
        "gone/labels/latest": "RegistryFileNotFound",
        "out/labels/latest": "RegistryPathOutside",
    }.items():
        wrong = refused(stage, inputs={"x": {"path": f"{at}/data/{name}"}})
        assert (wrong.code, wrong.pointer) == (code, "/inputs/x/path")
