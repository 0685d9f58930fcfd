"""Jobs that name a component's file: its paths are its own, its includes travel with the code, its faults have its lines."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mayfly.client import jobfile, snapshot
from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.transfer import trees

COMPONENT = """\
name: train
version: 01
command: ls ${{inputs.data}}
code: ./src
additional_includes: [../shared, ../one.txt, ../pack.zip]
environment: file:env/env.yml
inputs:
  data: {type: uri_folder, default: ./data}
"""


class Kept:
    """What was sent, by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        return [digest for digest in digests if digest not in self.blobs]

    def store(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> int:
        for digest, _, chunks in items:
            self.blobs[digest] = b"".join(chunks)
        return 0

    def put_tree(self, digest: Digest, canonical: bytes) -> None:
        self.blobs[digest] = canonical

    def files(self, digest: str) -> dict[str, bytes]:
        return {entry.path: self.blobs[entry.digest] for entry in trees.decode(self.blobs[digest]).entries}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    texts: dict[str, Any] = {
        "jobs/job.yml": "component: ../parts/train/train.yml\n",
        "parts/train/train.yml": COMPONENT,
        "parts/train/src/t.py": "pass",
        "parts/train/env/env.yml": "image: x\nconda_file: conda.yml\n",
        "parts/train/env/conda.yml": "dependencies: [pip]\n",
        "parts/train/data/d.txt": "d",
        "parts/shared/__init__.py": "",
        "parts/shared/.gitignore": "*.log\n",
        "parts/shared/no.log": "",
        "parts/one.txt": "1",
        "parts/pack/p.py": "p",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_everything_the_component_names_lies_beside_its_own_file(place: Path) -> None:
    kept = Kept()
    sent = snapshot.prepare(jobfile.read(place / "jobs" / "job.yml"), kept)
    assert set(sent.uploads) == {"/component/code", "/component/inputs/data/default"}
    code = kept.files(sent.uploads["/component/code"])
    assert set(code) == {"t.py", "shared/__init__.py", "shared/.gitignore", "one.txt", "pack.zip"}
    assert zipfile.ZipFile(io.BytesIO(code["pack.zip"])).read("pack/p.py") == b"p"
    assert sent.definition["component"]["environment"] == {"image": "x", "conda_file": {"dependencies": ["pip"]}}
    again = snapshot.prepare(jobfile.read(place / "jobs" / "job.yml"), kept)
    assert again.uploads == sent.uploads


def test_a_component_by_itself_is_sent_in_the_same_way(place: Path) -> None:
    sent = snapshot.prepare(jobfile.read_component(place / "parts" / "train" / "train.yml", ["version=7"]), Kept())
    assert set(sent.uploads) == {"/component/code"}
    assert (list(sent.definition), sent.definition["component"]["version"]) == (["component"], 7)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("parts/train/train.yml", "command: ls", "command: ls ${{inputs.nope}}", "parts/train/train.yml:3: "),
        ("parts/train/train.yml", "./src", "./scr", "parts/train/train.yml:4: "),
        ("parts/train/train.yml", "../one.txt", "../two.txt", "parts/train/train.yml:5: '"),
        ("parts/train/train.yml", "type: uri_folder", "type: uri_foldr", "parts/train/train.yml:8: "),
        ("parts/train/env/env.yml", "image:", "imagee:", "env/env.yml:1: "),
        ("jobs/job.yml", "train.yml", "tarin.yml", "jobs/job.yml:1: There is no file"),
        ("jobs/job.yml", "\n", "\ninputs: {dta: 1}\n", "jobs/job.yml:2: The component has no input 'dta'"),
    ],
)
def test_faults_have_the_line_of_the_file_that_they_are_in(
    place: Path, file: str, old: str, new: str, said: str
) -> None:
    (place / file).write_text((place / file).read_text().replace(old, new, 1))
    read = jobfile.read(place / "jobs" / "job.yml")
    with pytest.raises(Invalid) as raised:
        read.check()
    assert any(said in read.locate(fault) for fault in raised.value.all_faults()), [
        read.locate(fault) for fault in raised.value.all_faults()
    ]


def test_an_include_may_not_replace_a_file_of_the_code(place: Path) -> None:
    (place / "parts" / "train" / "src" / "one.txt").write_text("another")
    with pytest.raises(Invalid) as raised:
        snapshot.prepare(jobfile.read(place / "jobs" / "job.yml"), Kept())
    assert raised.value.code == "IncludeClashes"
