from pathlib import Path

import pytest

from mayfly.kit.errors import Invalid
from mayfly.transfer import ignore, trees


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def kept(root: Path) -> list[str]:
    return [entry.path for entry in trees.scan(root, ignore.load(root).ignored).tree.entries]


@pytest.mark.parametrize(
    ("rules", "files", "expected"),
    [
        ("*.pyc\n", ["a.py", "a.pyc", "d/b.pyc"], ["a.py"]),
        ("data/\n", ["data/x", "data/deep/y", "src/data/z", "a"], ["a"]),
        ("/data\n", ["data/x", "src/data/z"], ["src/data/z"]),
        ("data/\n!data/keep\n", ["data/x", "data/keep"], ["data/keep"]),
        ("*\n!*.py\n", ["a.py", "b.txt", "d/c.py"], ["a.py", "d/c.py"]),
        ("**/cache\n", ["cache/a", "x/y/cache/b", "c"], ["c"]),
        ("logs/*.txt  \n# a comment\n\n", ["logs/a.txt", "logs/b.csv", "# a comment"], ["# a comment", "logs/b.csv"]),
        ("a?c\n[xy]z\n", ["abc", "ac", "xz", "yz", "zz"], ["ac", "zz"]),
        ("\ufefffirst\n", ["first", "second"], ["second"]),
    ],
)
def test_rules_as_azure_reads_them(tmp_path: Path, rules: str, files: list[str], expected: list[str]) -> None:
    write(tmp_path, dict.fromkeys(files, "x") | {".amlignore": rules})
    assert [path for path in kept(tmp_path) if path != ".amlignore"] == expected


def test_amlignore_wins_over_gitignore_and_both_travel(tmp_path: Path) -> None:
    write(tmp_path, {".amlignore": "b\n", ".gitignore": "a\n", "a": "", "b": ""})
    assert ignore.load(tmp_path).source == ".amlignore"
    assert kept(tmp_path) == [".amlignore", ".gitignore", "a"]
    (tmp_path / ".amlignore").unlink()
    assert ignore.load(tmp_path).source == ".gitignore"
    assert kept(tmp_path) == [".gitignore", "b"]
    (tmp_path / ".gitignore").unlink()
    assert ignore.load(tmp_path).source is None
    assert kept(tmp_path) == ["a", "b"]


def test_only_the_root_of_the_code_folder_counts(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "a\n", "code/a": "", "code/deep/.gitignore": "b\n", "code/deep/b": ""})
    assert kept(tmp_path / "code") == ["a", "deep/.gitignore", "deep/b"]


def test_git_itself_stays_at_home_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {".git/config": "password", "a": ""})
    assert kept(tmp_path) == ["a"]
    write(tmp_path, {".amlignore": "!.git\n"})
    assert kept(tmp_path) == [".amlignore", ".git/config", "a"]


def test_what_git_would_have_dropped_besides(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".git/HEAD": "",
            ".gitignore": "*.log\n/proj/data/\n!important.log\n",
            "proj/.gitignore": "secret\n",
            "proj/.amlignore": "big\n",
            "proj/deep/.gitignore": "inner\n",
        },
    )
    names = ["a.py", "x.log", "important.log", "data/rows.csv", "secret", "deep/inner", "inner"]
    assert ignore.dropped_by_git(tmp_path / "proj", names) == ["x.log", "data/rows.csv", "secret", "deep/inner"]


def test_without_a_repository_only_the_folder_is_asked(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "a\n", "code/a": ""})
    assert ignore.dropped_by_git(tmp_path / "code", ["a"]) == []


def test_a_binary_ignore_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".amlignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid) as raised:
        ignore.load(tmp_path)
    assert raised.value.code == "IgnoreFileInvalid"
