"""Laws of what strangers send: it is understood or refused with a sentence, and it stays where it belongs."""

from __future__ import annotations

import json
import posixpath
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.cli.text import LogText, clean
from mayfly.drivers.log_folder import LogFolder
from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.spec.document import load
from mayfly.spec.job import parse
from mayfly.transfer import trees

LAWS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
YAML = st.text(alphabet="abc:-[]{}&*!|>'\"#,%@`?\n\t \\~0<= \u0000\u0085\u2028é", max_size=200)
STEERING = {chr(code) for code in (*range(32), *range(127, 160))} | set("\u200e\u200f\u202a\u202e\u2066\u2069")
PATHS = st.lists(
    st.sampled_from(["a", "b.txt", "..", ".", "", "~", "C:", "a\\b", "\x00", "...", "é", "%2e%2e", "/"]),
    min_size=1,
    max_size=5,
).map("/".join)


@LAWS
@given(st.one_of(YAML, st.binary(max_size=200)))
def test_a_job_file_is_read_or_refused_in_words(text: str | bytes) -> None:
    try:
        load(text, "job.yml")
    except Invalid as error:
        assert error.code.startswith("Yaml") and len(error.message) < 600
        error.message.encode()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
    max_leaves=8,
)
KEYS = ("command", "environment", "inputs", "outputs", "resources", "distribution", "limits", "tags", "code", "name")


@LAWS
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), JSON, max_size=4))
def test_a_definition_is_a_job_or_refused_with_every_fault_in_its_place(odd: dict[str, Any]) -> None:
    given_ = {"command": "echo", "environment": {"image": "python"}, **odd}
    try:
        parse(given_)
    except Invalid as error:
        for fault in error.all_faults():
            assert fault.message and (fault.pointer == "" or fault.pointer.startswith("/"))
            fault.message.encode()


@LAWS
@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=3))
def test_nothing_that_is_shown_steers_a_terminal(text: str, cuts: list[int]) -> None:
    assert not STEERING & set(clean(text))
    log = LogText(colour=False)
    places = sorted({0, *cuts, len(text)} & set(range(len(text) + 1)))
    shown = "".join(log.feed(text[a:b]) for a, b in pairwise(places)) + log.end()
    assert not (STEERING - set("\n\r\t")) & set(shown)


@LAWS
@given(st.lists(PATHS, min_size=1, max_size=4, unique=True))
def test_a_file_list_that_is_accepted_stays_in_its_folder(paths: list[str]) -> None:
    entries = [{"path": path, "digest": "0" * 64, "size": 1} for path in sorted(paths)]
    try:
        tree = trees.decode(json.dumps({"entries": entries}).encode())
    except Invalid as error:
        assert error.code == "TreeInvalid"
        return
    for entry in tree.entries:
        whole = posixpath.normpath(posixpath.join("/folder", entry.path))
        assert whole.startswith("/folder/") and "\x00" not in whole and "\\" not in whole


@LAWS
@given(PATHS, st.sampled_from(["job_1", "..", "a/b", ""]))
def test_a_log_is_written_below_its_folder_or_nowhere(tmp_path: Path, file: str, job: str) -> None:
    folder = tmp_path / "logs"
    try:
        LogFolder(folder).append(job, 1, 0, file, 0, b"x")
    except (Invalid, OSError):
        pass
    outside = [path for path in tmp_path.rglob("*") if folder not in (path, *path.parents)]
    assert outside == []


@LAWS
@given(PATHS)
def test_what_is_written_for_a_node_stays_in_its_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "inside" / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    data = b"x"
    digest = Digest("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    entry = trees.TreeEntry(path=path, digest=digest, size=len(data))
    try:
        trees.materialise(trees.Tree(entries=(entry,)), folder, lambda digests: [(digest, 1, iter([data]))])
    except (Invalid, OSError):
        pass
    assert {one for one in tmp_path.rglob("*") if one.is_file()} <= set(folder.rglob("*"))


@pytest.mark.parametrize("link", ["/etc", "..", "../../elsewhere"])
def test_a_link_that_a_job_left_is_not_written_through(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "a" / "folder"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder / "out").symlink_to(link)
    digest = Digest("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    entry = trees.TreeEntry(path="out/mayfly-test", digest=digest, size=1)
    with pytest.raises(Invalid) as refused:
        trees.materialise(trees.Tree(entries=(entry,)), folder, lambda digests: [(digest, 1, iter([b"x"]))])
    assert refused.value.code == "LinkLeavesFolder"
    assert not list(tmp_path.rglob("mayfly-test"))
