"""The configuration file: changed whole, never to what is wrong, and used by every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Mayfly

from mayfly.cli.app import place_of
from mayfly.client import configuration
from mayfly.client.connecting import read_settings
from mayfly.client.doors import Place
from mayfly.kit.errors import Invalid


def test_a_setting_is_changed_read_and_taken_out(tmp_path: Path) -> None:
    configuration.put(tmp_path, "uri_map.https://host.example/a.b/", "/srv/data")
    configuration.put(tmp_path, "retention_days", "30")
    assert configuration.get(tmp_path, "uri_map.https://host.example/a.b/") == "/srv/data"
    assert configuration.load(tmp_path).retention_days == 30
    configuration.drop(tmp_path, "uri_map.https://host.example/a.b/")
    assert configuration.written(tmp_path) == {"uri_map": {}, "retention_days": 30}
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("retention_dais", "3", "retention_days"),
        ("retention_days", "soon", "whole number"),
        ("defaults.workspac", "x", "workspace"),
        ("retention_days.x", "3", "has no names"),
        ("containers.pull", "perhaps", "true or false"),
    ],
)
def test_what_would_be_wrong_is_not_written(tmp_path: Path, key: str, value: str, said: str) -> None:
    configuration.put(tmp_path, "retention_days", "7")
    before = (tmp_path / "config.yml").read_bytes()
    with pytest.raises(Invalid) as caught:
        configuration.put(tmp_path, key, value)
    assert said in f"{caught.value.message} {caught.value.remedy}"
    assert (tmp_path / "config.yml").read_bytes() == before


def test_an_option_wins_then_the_file_then_what_is_built_in(tmp_path: Path) -> None:
    settings = read_settings({"MAYFLY_HOME": str(tmp_path)})
    assert place_of(settings, None, None, None) == Place("local", "local", "default")
    configuration.put(tmp_path, "defaults.workspace", "mine")
    assert place_of(settings, None, "group", None) == Place("local", "group", "mine")
    assert place_of(settings, None, None, "other").workspace == "other"


def test_a_registry_is_added_listed_and_removed(tmp_path: Path, mayfly: Mayfly) -> None:
    folder = tmp_path / "it's shared"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "iris.yml").write_text("name: iris\ntype: uri_file\npath: iris.csv\n")
    assert "1 data" in mayfly("registry", "add", "lab", str(folder)).out
    assert json.loads(mayfly("registry", "list", "-o", "json").out)[0]["folder"] == str(folder)
    assert "data/iris.yml" in mayfly("registry", "show", "lab").out
    assert "'lab'" in mayfly("registry", "remove", "labs").err
    assert mayfly("registry", "remove", "lab").status == 0
    assert mayfly("registry", "add", "lab", str(tmp_path / "none")).status == 2
    assert json.loads(mayfly("registry", "list", "-o", "json").out) == []
