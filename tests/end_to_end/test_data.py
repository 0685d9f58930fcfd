"""Data, models and datastores by the real commands: named, read by jobs, published outside, and traced both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.testing.embedded import Embedded

pytestmark = pytest.mark.end_to_end

IMAGE = {"image": "library/python:latest"}


def test_what_has_a_name_is_read_written_and_traced(shared: Embedded) -> None:
    place = shared.place / "named"
    (place / "data" / "sub").mkdir(parents=True)
    (place / "data" / "a.csv").write_text("1\n")
    (place / "data" / "sub" / "b ü.csv").write_text("2\n")
    (place / "outside" / "in").mkdir(parents=True)
    (place / "outside" / "in" / "f.txt").write_text("hey\n")
    (place / "data.yml").write_text("name: mine\ntype: uri_folder\npath: data\n")
    (place / "store.yml").write_text(f"name: fold\ntype: folder\npath: {place / 'outside'}\n")
    made = shared.json(
        "data", "create", "-f", str(place / "data.yml"), "--tags", "a=b", "c=d", "--set", "description=x"
    )
    assert (made["version"], made["tags"], made["description"]) == ("1", {"a": "b", "c": "d"}, "x")
    assert shared.json("data", "create", "-n", "one", "--path", str(place / "data/a.csv"), "-t", "uri_file")["is_file"]
    assert shared.json("model", "create", "-n", "net", "--path", str(place / "data"))["type"] == "custom_model"
    shared.json("datastore", "create", "-f", str(place / "store.yml"))
    name = shared.submit(
        {
            "command": "cat ${{inputs.a}}/a.csv ${{inputs.a}}/sub/*.csv ${{inputs.b}} ${{inputs.c}}/f.txt; "
            "echo done > ${{outputs.o}}/r.txt; echo one > ${{outputs.f}}",
            "environment": IMAGE,
            "inputs": {
                "a": {"path": "azureml:mine@latest"},
                "b": {"path": "azureml:one:1", "type": "uri_file"},
                "c": {"path": "azureml://datastores/fold/paths/in/"},
                "m": {"path": "azureml:net:1", "type": "custom_model"},
            },
            "outputs": {
                "o": {"path": "azureml://datastores/fold/paths/out/${{name}}/", "name": "written"},
                "f": {"type": "uri_file", "path": "azureml://datastores/workspaceblobstore/paths/res/${{name}}.txt"},
            },
        }
    )
    shared.wait(name, "Completed")
    assert shared.log(name) == "1\n2\n1\nhey\n"
    assert (place / "outside" / "out" / name / "r.txt").read_text() == "done\n"
    links = {(one["direction"], one["name"]): one for one in shared.json("job", "show", "-n", name, "--lineage")}
    assert (links["input", "a"]["asset"], links["input", "a"]["version"]) == ("mine", "1")
    assert (links["output", "o"]["asset"], links["output", "o"]["kind"]) == ("written", "data")
    assert [one["job"] for one in shared.json("data", "show", "mine", "--used-by")] == [name]
    again = shared.submit(
        {
            "command": "cat ${{inputs.x}}/r.txt ${{inputs.y}}",
            "environment": IMAGE,
            "inputs": {
                "x": {"path": "azureml:written@latest"},
                "y": {"path": f"azureml://datastores/workspaceblobstore/paths/res/{name}.txt", "type": "uri_file"},
            },
        }
    )
    shared.wait(again, "Completed")
    assert shared.log(again) == "done\none\n"


def test_a_key_is_kept_sealed_and_never_shown(shared: Embedded) -> None:
    place = shared.place / "sealed"
    place.mkdir()
    (place / "key.txt").write_text("bm90LWEtcmVhbC1rZXk=\n")
    (place / "store.yml").write_text("name: blobs\ntype: azure_blob\naccount_name: acct\ncontainer_name: cont\n")
    create = ("datastore", "create", "-f", str(place / "store.yml"), "-o", "json")
    said = shared.run(*create, "--key", f"account_key=@{place / 'key.txt'}")
    assert said.status == 0, said.err
    shown = shared.run("datastore", "show", "blobs", "-o", "json")
    assert "bm90LWEtcmVhbC1rZXk" not in said.out + said.err + shown.out
    assert shared.json("datastore", "show", "blobs")["has_credentials"]
    for file in shared.folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert b"bm90LWEtcmVhbC1rZXk" not in file.read_bytes(), file
    on_line = shared.run(*create, "--set", "credentials.account_key=x")
    assert on_line.status == 2 and "KeyOnCommandLine" in on_line.err


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("nothing", "uri_folder", "FileNotFound"),
        ("a.csv", "uri_folder", "InputIsAFile"),
        (".", "uri_file", "InputIsAFolder"),
        (".", "mltable", "MltableMissing"),
        ("azureml:nobody@latest", "uri_folder", "AssetNotFound"),
        ("azureml://datastores/nostore/paths/x", "uri_folder", "DatastoreNotFound"),
        ("azureml://datastores/workspaceblobstore/paths/../../x", "uri_folder", "PathLeavesDatastore"),
    ],
)
def test_what_cannot_be_named_is_told_with_its_line(
    shared: Embedded, tmp_path: Path, path: str, kind: str, code: str
) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "asset.yml").write_text(f"name: bad\ntype: {kind}\n\npath: {path}\n")
    said = shared.run("data", "create", "-f", str(tmp_path / "asset.yml"))
    assert said.status in (2, 4), said.err
    assert said.err.splitlines()[0].endswith(f"[{code}]") and "asset.yml:4: " in said.err, said.err
