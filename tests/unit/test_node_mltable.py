"""What an MLTable stands for; the rows are what the mltable package (1.7.0) reads from the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.kit.errors import Invalid
from mayfly.node.evaluation import ROWS, evaluate

AB: dict[str, str | bytes] = {"a.csv": "x,y\n1,a\n2,\n", "b.csv": "x,y\n3,c\n"}
IS: dict[str, str | bytes] = {"a.csv": "i,s\n1,a\n2,\n,c\n4,d\n"}
JSON: dict[str, str | bytes] = {"a.jsonl": '{"a":1,"b":"ü"}\n{"a":2,"c":{"d":1}}\nbad\n'}
DATED: dict[str, str | bytes] = {"2020/01/a.csv": "x\n1\n", "2021/02/a.csv": "x\n2\n"}
CSV = "paths: [{pattern: ./*.csv}]\n"
DEEP = "paths: [{pattern: '**/*.csv'}]\n"
READ = CSV + "transformations:\n- read_delimited: {delimiter: ','%s}\n"
PLAIN = READ % ""
CONVERTED = """
- convert_column_types:
  - {columns: i, column_type: int}
  - {columns: [b], column_type: {boolean: {true_values: ['yes'], false_values: ['no']}}}
  - {columns: d, column_type: {datetime: {formats: ['%d.%m.%Y']}}}
- filter: col("d") > datetime(2020, 1, 5) or col("i") == 1
"""


def _filter(text: str) -> str:
    return f"{PLAIN}- filter: '{text}'\n"


def _made(folder: Path, files: dict[str, str | bytes], document: str) -> Path:
    table = folder / "table"
    for name, content in {**files, "MLTable": document}.items():
        path = table / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return table


def _nothing(address: str, place: int) -> Path:
    raise AssertionError((address, place))


ROWS_OF: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "the same headers": (AB, PLAIN, "x,y\n1,a\n2,\n3,c\n"),
    "the first header": (AB, READ % ", header: from_first_file", "x,y\n1,a\n2,\nx,y\n3,c\n"),
    "no header": ({"a.csv": "1,a\n"}, READ % ", header: no_header", "Column1,Column2\n1,a\n"),
    "different headers": (
        {"a.csv": "x,y\n1,a\n", "b.csv": "y,z\nc,3\n"},
        READ % ", header: all_files_different_headers",
        "x,y,z\n1,a,\n,c,3\n",
    ),
    "where from": (AB, READ % ", include_path_column: true", "Path,x,y\na.csv,1,a\na.csv,2,\nb.csv,3,c\n"),
    "ragged": ({"a.csv": "x,y\n1\n\n2,b,more\n"}, PLAIN, "x,y,Column3\n1,,\n2,b,more\n"),
    "twice a name": ({"a.csv": "x,x\n1,2\n"}, PLAIN, "x,x_1\n1,2\n"),
    "many lines": ({"a.csv": 'x,y\n1,"a\nb"\n'}, READ % ", support_multi_line: true", 'x,y\n1,"a\nb"\n'),
    "utf16": ({"a.csv": "x\nü\n".encode("utf-16")}, READ % ", encoding: utf16", "x\nü\n"),
    "windows1252": ({"a.csv": "x\n€\n".encode("cp1252")}, READ % ", encoding: windows1252", "x\n€\n"),
    "a mark": ({"a.csv": "x\nü\n".encode("utf-8-sig")}, READ % ", encoding: utf8bom", "x\nü\n"),
    "an empty cell": (AB, _filter('col("y") == ""'), "x,y\n"),
    "an empty text": (AB, (READ % ", empty_as_string: true") + '- filter: \'col("y") == ""\'\n', "x,y\n2,\n"),
    "filtered": (IS, _filter('col("i") > 1'), "i,s\n2,\n4,d\n"),
    "filtered by both": (IS, _filter('col("i") != 2 and col("s") == "a"'), "i,s\n1,a\n"),
    "not filtered": (IS, _filter('not col("i") > 1'), "i,s\n1,a\n"),
    "unknown is not unequal": (IS, _filter('col("s") != "a"'), "i,s\n,c\n4,d\n"),
    "a bare name": (IS, _filter("(i + 1) * 2 > 6 or i == 1"), "i,s\n1,a\n4,d\n"),
    "a time": ({"a.csv": "d\n2020-01-01\n2021-05-05\n"}, _filter('col("d") > "2020-12-31"'), "d\n2021-05-05\n"),
    "converted": (
        {"a.csv": "i,b,d\n1,yes,05.01.2020\nx,no,bad\n3.7,maybe,06.01.2020\n"},
        PLAIN + CONVERTED,
        "i,b,d\n1,True,2020-01-05 00:00:00\n3,,2020-01-06 00:00:00\n",
    ),
    "dropped": (AB, PLAIN + "- drop_columns: [y, none]\n", "x\n1\n2\n3\n"),
    "kept": (AB, PLAIN + "- keep_columns: [y, x]\n", "x,y\n1,a\n2,\n3,c\n"),
    "skipped, then taken": (AB, PLAIN + "- skip: 1\n- take: 1\n", "x,y\n2,\n"),
    "none of it": (AB, PLAIN + "- take_random_sample: {probability: 0, seed: 1}\n", "x,y\n"),
    "by its path": (
        DATED,
        DEEP + "transformations:\n- extract_columns_from_partition_format: {partition_format: '/{y}/{m}/a.csv'}\n"
        "- read_delimited: {}\n",
        "y,m,x\n2020,01,1\n2021,02,2\n",
    ),
    "by its time": (
        DATED,
        DEEP + "transformations:\n- read_delimited: {}\n"
        "- extract_columns_from_partition_format: {partition_format: '/{d:yyyy/MM}/a.csv'}\n",
        "d,x\n2020-01-01 00:00:00,1\n2021-02-01 00:00:00,2\n",
    ),
    "json": (
        JSON,
        "paths: [{file: a.jsonl}]\ntransformations: [read_json_lines: {invalid_lines: drop}]\n",
        'a,b,c\n1,ü,\n2,,"{""d"": 1}"\n',
    ),
}


@pytest.mark.parametrize("case", ROWS_OF)
def test_the_rows_of_a_table(tmp_path: Path, case: str) -> None:
    files, document, rows = ROWS_OF[case]
    target = tmp_path / "out"
    for _ in range(2):
        evaluate("t", _made(tmp_path, files, document), target, _nothing)
        assert [one.name for one in target.rglob("*")] == [ROWS]
        assert (target / ROWS).read_bytes().decode() == rows


def test_parquet_becomes_text(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = _made(tmp_path, {}, "paths: [{file: a.parquet}]\ntransformations: [read_parquet, filter: col('x') > 1]\n")
    parquet.write_table(arrow.table({"x": [1, 2, None], "s": ["a", "b", "c"]}), table / "a.parquet")
    evaluate("t", table, tmp_path / "out", _nothing)
    assert (tmp_path / "out" / ROWS).read_text() == "x,s\n2,b\n"


FILES: dict[str, str | bytes] = {"d/one.txt": "1", "d/e/two.txt": "2", "three.md": "3"}
FILES_OF: dict[str, tuple[str, set[str]]] = {
    "a folder": ("paths: [{folder: ./d}]", {"d/one.txt", "d/e/two.txt"}),
    "a folder named as a file": ("paths: [{file: d}]", {"d/one.txt", "d/e/two.txt"}),
    "names alone": ("paths: [{pattern: 'd/*.txt'}, {file: three.md}]", {"d/one.txt", "three.md"}),
    "all but the table": ("paths: [{pattern: './**'}]", set(FILES)),
    "the first": ("paths: [{pattern: '**/*.txt'}]\ntransformations: [take: 1]", {"d/e/two.txt"}),
    "elsewhere": (
        "paths: [{file: 'https://host/a/three.md?key=1'}, {folder: 's3://b/x'}, {pattern: 's3://b/y/**/*.txt'}]",
        {
            "host/a/three.md",
            "b/x/d/one.txt",
            "b/x/d/e/two.txt",
            "b/x/three.md",
            "b/y/d/one.txt",
            "b/y/d/e/two.txt",
        },
    ),
}


@pytest.mark.parametrize("case", FILES_OF)
def test_the_files_of_a_table(tmp_path: Path, case: str) -> None:
    document, names = FILES_OF[case]
    single = _made(tmp_path / "single", {"three.md": "3"}, "")
    (single / "MLTable").unlink()
    whole = _made(tmp_path / "whole", FILES, "")
    (whole / "MLTable").unlink()
    target = tmp_path / "out"
    remote = {"https://host/a/three.md?key=1": single, "s3://b/x": whole, "s3://b/y": whole}
    evaluate("t", _made(tmp_path, FILES, document), target, lambda address, _: remote[address])
    found = {one.relative_to(target).as_posix(): one.read_text() for one in target.rglob("*") if one.is_file()}
    assert set(found) == names
    assert all(len(content) == 1 for content in found.values())


BAD: dict[str, tuple[str, str]] = {
    "paths: [{folder: .}]": ("MltableCircular", "'.'"),
    "paths: [{folder: ..}]": ("MltableCircular", "'..'"),
    "paths: [{file: ./MLTable}]": ("MltableCircular", "MLTable"),
    "paths: [{folder: loop}]": ("MltableCircular", "loop"),
    "paths: [{folder: 's3://b/'}]": ("MltableCircular", "s3://b/"),
    "paths: [{folder: out}]": ("MltablePathOutside", "out"),
    "paths: [{file: ../a.csv}]": ("MltablePathOutside", "../a.csv"),
    "paths: [{file: /etc/passwd}]": ("MltablePathOutside", "/etc/passwd"),
    "paths: [{file: 'file:///etc/passwd'}]": ("MltablePathOutside", "/etc/passwd"),
    "paths: [{file: A.csv}]": ("MltablePathNotFound", "A.csv"),
    "paths: [{files: a.csv}]": ("MltablePathInvalid", "files"),
    "paths: [": ("MltableInvalid", "YAML"),
    "transformations: []": ("MltableInvalid", "'paths' is missing"),
    CSV + "transformations: [read_delimted: {}]": ("MltableTransformationUnknown", "Did you mean read_delimited?"),
    CSV + "transformations: [read_delimited: {encoding: utf9}]": ("MltableInvalid", "Did you mean utf8?"),
    CSV + "transformations: [filter: x > 1]": ("MltableInvalid", "before the files are read"),
    PLAIN + "- keep_columns: [xx]": ("MltableColumnUnknown", "Did you mean 'x'?"),
    PLAIN + "- take: -1": ("MltableInvalid", "whole number"),
    _filter('__import__("os").system("true")'): ("MltableFilterInvalid", "can be called"),
    _filter('col("x").real > 1'): ("MltableFilterInvalid", 'col("x").real'),
    _filter('col("xx") > 1'): ("MltableFilterInvalid", "'x' is near"),
    _filter('col("y") > 1'): ("MltableFilterInvalid", "holds text"),
    _filter("not " * 3000 + "x"): ("MltableFilterInvalid", "too long"),
    _filter("not " * 80 + "x"): ("MltableFilterInvalid", "too deeply"),
}


@pytest.mark.parametrize("document", BAD, ids=range(len(BAD)))
def test_what_cannot_be_evaluated_leaves_nothing(tmp_path: Path, document: str) -> None:
    code, words = BAD[document]
    table = _made(tmp_path, AB, document)
    (tmp_path / "elsewhere").mkdir()
    for name, link in {"loop": "../loop", "out": "../../elsewhere"}.items():
        if f"folder: {name}" in document:
            (table / name).mkdir()
            (table / name / "link").symlink_to(link)
    with pytest.raises(Invalid) as refused:
        evaluate("t", table, tmp_path / "made", _nothing, address="s3://b/tables/t")
    assert refused.value.code == code
    assert "Input 't'" in refused.value.message
    assert words in f"{refused.value.message} {refused.value.remedy}"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["elsewhere", "table"]
