"""What is wrong is said once, clearly, with the place and the way out; nothing is left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mayfly.testing.embedded import HELLO, Embedded

pytestmark = pytest.mark.end_to_end

GOOD = yaml.safe_dump(HELLO)
IMAGE = "environment: {image: library/python:latest}\n"


@dataclass(frozen=True, slots=True)
class Bad:
    text: str
    code: str
    line: int = 0
    says: str = ""


CASES = {
    "unknown key": Bad(f"command: echo\n{IMAGE}resurces:\n  instance_count: 1\n", "UnknownKey", 3, "resources"),
    "wrong type": Bad(f"command: echo\n{IMAGE}resources:\n  instance_count: many\n", "WrongType", 4),
    "missing code folder": Bad(f"command: echo\ncode: ./nowhere\n{IMAGE}", "FileNotFound", 2, "nowhere"),
    "missing input": Bad(
        "command: cat ${{inputs.a}}\n" + IMAGE + "inputs:\n  a: {type: uri_file, path: ./none.csv}\n",
        "FileNotFound",
        4,
        "none.csv",
    ),
    "undefined input": Bad(
        "command: cat ${{inputs.dta}}\n" + IMAGE + "inputs:\n  data: 1\n", "InputUndefined", 1, "dta"
    ),
    "unknown size": Bad(
        f"command: echo\n{IMAGE}resources:\n  instance_type: Standard_D4s_v33\n",
        "InstanceTypeUnknown",
        4,
        "Standard_D4s_v3",
    ),
    "impossible quota": Bad(
        f"command: echo\n{IMAGE}resources:\n  instance_type: Standard_D4s_v3\n  instance_count: 100\n",
        "JobNodeCountExceedsCoreQuota",
        5,
        "mayfly quota update",
    ),
    "more than the fleet": Bad(
        f"command: echo\n{IMAGE}resources:\n  instance_type: local_1\n  instance_count: 900\n",
        "JobNodeCountExceedsCoreQuota",
        5,
    ),
    "unknown environment": Bad(
        "command: echo\nenvironment: azureml:no-such-environment@latest\n", "EnvironmentUnknown", 2, "no-such"
    ),
    "empty": Bad("", "YamlEmpty", 0),
    "a list": Bad("- a\n- b\n", "YamlNotAMapping", 1),
    "broken YAML": Bad("command: [echo\nb: c\n", "YamlSyntax", 2),
    "no command": Bad(IMAGE, "MissingKey", 0, "command"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(shared: Embedded, case: str) -> None:
    bad = CASES[case]
    path = shared.write(bad.text)
    _refused(shared, path, bad)


def test_binary(shared: Embedded) -> None:
    path = shared.write("")
    path.write_bytes(b"\x7fELF\x00\xff\xfe\x00" * 50)
    _refused(shared, path, Bad("", "YamlBinary"))


def test_no_such_file(shared: Embedded, tmp_path: Path) -> None:
    _refused(shared, tmp_path / "none.yml", Bad("", "JobFileNotFound"))


def test_a_link_out_of_the_code_folder(shared: Embedded) -> None:
    path = shared.write(f"command: cat out\ncode: src\n{IMAGE}")
    (path.parent / "src").mkdir()
    (path.parent / "src" / "out").symlink_to("/etc/passwd")
    _refused(shared, path, Bad("", "LinkLeavesFolder", 2, "out"))


def test_a_name_with_another_definition(shared: Embedded) -> None:
    name = shared.submit({**HELLO, "name": "taken"})
    again = shared.run("job", "create", "-f", str(shared.write({**HELLO, "name": "taken", "display_name": "other"})))
    assert again.status == 0, again.err
    said = shared.run("job", "create", "-f", str(shared.write({**HELLO, "name": "taken", "command": "echo other"})))
    assert said.status != 0 and "taken" in said.err and "Traceback" not in said.err
    shared.wait(name, "Completed")
    assert shared.log(name) == "hello\n"


def test_packages_that_cannot_be_had(shared: Embedded) -> None:
    conda = {"dependencies": ["python=3.11", {"pip": ["pip==1.0,>2.0"]}]}
    wish = {"command": "echo", "environment": {"image": "library/python:latest", "conda_file": conda}}
    said = shared.run("job", "create", "-s", "-f", str(shared.write(wish)))
    assert said.status != 0
    assert "[EnvironmentUnsatisfiable]" in said.out and "pip==1.0" in said.out
    assert "Traceback" not in said.out + said.err


def _refused(one: Embedded, path: Path, bad: Bad) -> None:
    before = one.call("GET", "/jobs?limit=1000")["jobs"]
    said = one.run("job", "create", "-f", str(path))
    assert said.status != 0
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert "Traceback" not in said.err
    assert bad.code in said.err and bad.says in said.err, said.err
    assert lines[0].endswith("]"), said.err
    assert bad.line == 0 or f"{path}:{bad.line}: " in said.err, said.err
    assert len([line for line in lines if not line.startswith(("hint:", "note:", " "))]) == 1, said.err
    assert one.call("GET", "/jobs?limit=1000")["jobs"] == before
