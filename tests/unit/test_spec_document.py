import json
import textwrap
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mayfly.kit.errors import Invalid
from mayfly.spec import document, overrides

PIPELINE = """\
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
description: E2E dummy train-score-eval pipeline with registered components
settings:
    default_compute: azureml:serverless
jobs:
 train_job:
   type: command
   component: azureml:my_train@latest
inputs:
   training_data: 
     type: uri_folder 
      path: ./data   
 identity:
   type: managed
"""  # noqa: W291


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: off\nb: yes\nc: 'off'\nd: On", {"a": False, "b": True, "c": "off", "d": True}),
        ("a: 1\nb: 1.5\nc: 010\nd: 0x1f\ne: 1_000", {"a": 1, "b": 1.5, "c": 8, "d": 31, "e": 1000}),
        ("a: ~\nb:\nc: null", {"a": None, "b": None, "c": None}),
        ("a: 2024-01-31\nb: 2024-01-31 10:00:00", {"a": "2024-01-31", "b": "2024-01-31 10:00:00"}),
        ("a: 1e3\nb: 1.0e+3", {"a": "1e3", "b": 1000.0}),
        ("a: >-\n  x\n  y\nb: |\n  x\n  y\n", {"a": "x y", "b": "x\ny\n"}),
        ("a: {b: [1, {c: d}]}", {"a": {"b": [1, {"c": "d"}]}}),
        ("x: &x {p: 1, q: 2}\ny:\n  <<: *x\n  q: 3", {"x": {"p": 1, "q": 2}, "y": {"p": 1, "q": 3}}),
        ("x: &x {p: 1}\nz: &z {p: 2, r: 3}\ny: {<<: [*x, *z]}", None),
        ("a: &n [1]\nb: *n", {"a": [1], "b": [1]}),
        ("\ufeffa: ü", {"a": "ü"}),
        ("# only\n---\na: 1\n...\n", {"a": 1}),
        ("a: '1'\nb: \"x\\ty\"", {"a": "1", "b": "x\ty"}),
    ],
)
def test_yaml_1_1_as_plain_data(text: str, data: dict[str, Any] | None) -> None:
    loaded = document.load(text, "job.yml").data
    assert loaded == (data if data is not None else {"x": {"p": 1}, "z": {"p": 2, "r": 3}, "y": {"p": 1, "r": 3}})
    json.dumps(loaded, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("", "YamlEmpty", None, "empty"),
        ("# nothing\n", "YamlEmpty", None, "empty"),
        ("\n\n---\n", "YamlEmpty", None, "empty"),
        ("- a\n- b", "YamlNotAMapping", 1, "list"),
        ("hello", "YamlNotAMapping", 1, "single value"),
        ("a: 1\nb: \x00", "YamlBinary", 2, "no text"),
        (b"a: 1\nb: \xff\xfe", "YamlBinary", 2, "no text"),
        (b"\x89PNG\r\n\x1a\n", "YamlBinary", 1, "no text"),
        ("a:\n\tb: 1", "YamlSyntax", 2, "tab"),
        ("a: 1\nb: [1, 2\nc: 3", "YamlSyntax", 3, "bracket"),
        ("a: 'x\nb: 1", "YamlSyntax", 2, "quoted"),
        ("a: b: c", "YamlSyntax", 1, "quotes"),
        ("a: 1\n---\nb: 2", "YamlSeveralDocuments", 2, "second document"),
        ("a: 1\nb: 2\na: 3", "YamlDuplicateKey", 3, "line 1"),
        ("a:\n  x: 1\n  x: 2", "YamlDuplicateKey", 3, "'x'"),
        ("on: 1", "YamlKeyInvalid", 1, "true or false"),
        ("a:\n  3: x", "YamlKeyInvalid", 2, "number"),
        ("? [a]\n: 1", "YamlKeyInvalid", 1, "list"),
        ("a: !!python/object/apply:os.system [ls]", "YamlValueUnsupported", 1, "tag"),
        ("a: !thing x", "YamlValueUnsupported", 1, "thing"),
        ("a: !!binary aGk=", "YamlValueUnsupported", 1, "binary"),
        ("a: .inf", "YamlValueUnsupported", 1, "number"),
        ("a: *nobody", "YamlSyntax", 1, "alias"),
        ("a: " + "[" * 70 + "]" * 70, "YamlTooDeep", 1, "levels"),
        ("a: " + "[" * 700_000, "YamlTooDeep", 1, "levels"),
        ("a: x\n" * 10_000 + "b: c: d", "YamlSyntax", 10_001, "quotes"),
        ("a: " + "x" * (1 << 20), "YamlTooLarge", None, "bytes"),
        ("a: " + "9" * 5000, "YamlValueUnsupported", 1, "understood"),
        ("a: &a [*a]", "YamlTooLarge", 1, "alias"),
    ],
)
def test_what_is_no_job_file_is_refused_at_its_line(text: str | bytes, code: str, line: int | None, words: str) -> None:
    with pytest.raises(Invalid) as raised:
        document.load(text, "job.yml")
    assert raised.value.code == code
    assert raised.value.message.startswith(f"job.yml:{line}:" if line else "job.yml:")
    assert words in raised.value.message


def test_a_large_file_is_read_as_a_small_one() -> None:
    lines = [
        "on_: {a: [1, x, 'y'], b: \"z\"}",
        "c: &c",
        "  d: |",
        "    text",
        "  e: 2020-01-01",
        "f: *c",
        "g: off",
        "h: 0.5",
    ]
    text = "\n".join(lines)
    small, large = document.load(text, "job.yml"), document.load(f"{text}\nlast: {'x' * 40_000}", "job.yml")
    assert {key: value for key, value in large.data.items() if key != "last"} == small.data
    pointers = ("/on_/a/2", "/on_/b", "/c/d", "/c/e", "/f", "/g", "/h")
    assert [large.position(one) for one in pointers] == [small.position(one) for one in pointers]


def test_aliases_cannot_become_a_bomb() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(Invalid) as raised:
        document.load(bomb, "job.yml")
    assert raised.value.code == "YamlTooLarge"


def test_the_founding_sample_is_refused_with_its_line_and_the_corrected_text() -> None:
    with pytest.raises(Invalid) as raised:
        document.load(PIPELINE, "job.yml")
    assert raised.value.message.startswith("job.yml:13: ")
    assert raised.value.remedy is not None
    assert "line 13: '     path: ./data'" in raised.value.remedy
    assert "line 14: 'identity:'" in raised.value.remedy
    lines = PIPELINE.splitlines()
    lines[12:14] = ["     path: ./data", "identity:"]
    assert document.load("\n".join(lines), "job.yml").data["identity"] == {"type": "managed"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("a:\n\tb: 1", "line 2: '  b: 1'"),
        ("command: echo a: b", "line 1: \"command: 'echo a: b'\""),
        ("a: {b: 1", None),
    ],
)
def test_a_simple_mend_is_proposed(text: str, remedy: str | None) -> None:
    with pytest.raises(Invalid) as raised:
        document.load(text, "job.yml")
    assert (remedy in (raised.value.remedy or "")) if remedy else raised.value.remedy is None


TEXT = textwrap.dedent("""\
    command: x
    inputs:
      data:
        type: uri_file
        path: ./a.csv
      list: [1,
        2]
    "sl/ash~": {k: v}
    """)


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", (1, 1)),
        ("/command", (1, 1)),
        ("/inputs", (2, 1)),
        ("/inputs/data/path", (5, 5)),
        ("/inputs/list/1", (7, 5)),
        ("/sl~1ash~0/k", (8, 13)),
        ("/inputs/data/missing", (3, 3)),
        ("/nothing/at/all", (1, 1)),
    ],
)
def test_everything_has_its_place(pointer: str, place: tuple[int, int]) -> None:
    assert document.load(TEXT, "job.yml").position(pointer) == place


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text("ab1:-# \n'\"", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef/~", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), PLAIN, min_size=1, max_size=4))
def test_what_yaml_writes_is_read_back(data: dict[str, Any]) -> None:
    text = yaml.safe_dump(data)
    loaded = document.load(text, "job.yml")
    assert loaded.data == data
    assert all(loaded.position(f"/{key}") for key in data)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["a.b=2"], {"a": {"b": 2}, "s": "text", "l": [{"k": 1}]}),
        (["a.c.d=x=y"], {"a": {"b": 1, "c": {"d": "x=y"}}, "s": "text", "l": [{"k": 1}]}),
        (["s=off", "n=[1, two]"], {"a": {"b": 1}, "s": False, "l": [{"k": 1}], "n": [1, "two"]}),
        (["l.0.k="], {"a": {"b": 1}, "s": "text", "l": [{"k": None}]}),
        (["l.0=3"], {"a": {"b": 1}, "s": "text", "l": [3]}),
        (["a.b='2'"], {"a": {"b": "2"}, "s": "text", "l": [{"k": 1}]}),
        ([], {"a": {"b": 1}, "s": "text", "l": [{"k": 1}]}),
    ],
)
def test_set_changes_a_copy(settings: list[str], expected: dict[str, Any]) -> None:
    data = {"a": {"b": 1}, "s": "text", "l": [{"k": 1}]}
    assert overrides.apply(data, settings) == expected
    assert data == {"a": {"b": 1}, "s": "text", "l": [{"k": 1}]}


@pytest.mark.parametrize(
    "setting", ["a", "=1", "a.=1", ".a=1", "a..b=1", "s.x=1", "a.b.c=1", "l.7=1", "l.x.k=1", "l.-1=1"]
)
def test_a_set_that_leads_nowhere_is_refused(setting: str) -> None:
    with pytest.raises(Invalid) as raised:
        overrides.apply({"a": {"b": 1}, "s": "text", "l": [{"k": 1}]}, [setting])
    assert raised.value.code == "SetInvalid"
    assert raised.value.remedy


def test_a_value_that_is_no_yaml_is_refused_by_name() -> None:
    with pytest.raises(Invalid) as raised:
        overrides.apply({}, ["a.b=[1"])
    assert raised.value.message.startswith("--set a.b:1:")
