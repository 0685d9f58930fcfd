"""Which files of a build context are sent: docker's rules, where a pattern begins at the context's root."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.transfer.ignore import load_context


@pytest.mark.parametrize(
    ("lines", "kept", "left"),
    [
        ("*.log", ["a/x.log", "Dockerfile"], ["x.log"]),
        ("**/*.log", ["x.txt"], ["x.log", "a/b/x.log"]),
        ("data", ["a/data", "database"], ["data", "data/x"]),
        ("./data/", ["a/data/x"], ["data/x"]),
        ("/data", [], ["data/x"]),
        ("data\n!data/keep", ["data/keep"], ["data/x"]),
        ("*", ["Dockerfile", ".dockerignore"], ["x", "a/b"]),
        ("# all\n\n.", ["x"], []),
    ],
)
def test_dockerignore(tmp_path: Path, lines: str, kept: list[str], left: list[str]) -> None:
    (tmp_path / ".dockerignore").write_text(lines, encoding="utf-8")
    rules = load_context(tmp_path)
    assert [path for path in (*kept, *left) if rules.ignored(path)] == left


def test_a_dockerfile_may_have_rules_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n", encoding="utf-8")
    (tmp_path / "Other.dockerignore").write_text("b\n", encoding="utf-8")
    rules = load_context(tmp_path, "Other")
    assert rules.ignored("b") and not rules.ignored("a")
