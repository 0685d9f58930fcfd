"""How a command begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mayfly.node.ahead import wanted
from mayfly.node.opening import imports, opening, split
from mayfly.testing.nodes import assignment
from mayfly.testing.wheels import plan
from mayfly.wire.agent import Distribution, Limits


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python train.py --x 1", ["python", "train.py", "--x", "1"]),
        ("  python\ttrain.py \\\n  --lr=0.1 ", ["python", "train.py", "--lr=0.1"]),
        ("python -c 'import torch; print(1)'", ["python", "-c", "import torch; print(1)"]),
        ("python t.py --a=\"two words\" 'it''s' ''", ["python", "t.py", "--a=two words", "its", ""]),
        ("python -c 'a\nb'", ["python", "-c", "a\nb"]),
        *(
            (f"python t.py {bad}", [])
            for bad in ("$X", "`x`", '"$X"', '"a\\b"', "~", "*", "a?", "[a]", "{a,b}", "a\\ b", "'open")
        ),
        *(
            (f"python t.py{bad}", [])
            for bad in (" && ls", "; ls", " | cat", " > f", " &", "\nls", " # more", " (", " !")
        ),
        ("X=1 python t.py", []),
        ("", []),
    ],
)
def test_only_what_a_shell_takes_as_it_stands(command: str, words: list[str]) -> None:
    assert split(command) == words


NUMPY = ("numpy", ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import numpy", [NUMPY]),
        ("import numpy as np, os\nimport pandas.api as p\n", [NUMPY, ("pandas.api", ())]),
        (
            "#!/usr/bin/env python\n# -*- c -*-\n\n'''Doc\n# x\n'''\nfrom __future__ import annotations\nimport numpy",
            [NUMPY],
        ),
        ('"""One "quoted" \\""" end."""\r\nimport numpy\r\n', [NUMPY]),
        (
            "from sklearn.svm import (\n    SVC,  # one\n    SVR as R,\n)\nimport numpy",
            [("sklearn.svm", ("SVC", "SVR")), NUMPY],
        ),
        ("from torch import nn, \\\n  optim", [("torch", ("nn", "optim"))]),
        ("from numpy import *", [NUMPY]),
        ("import numpy\nimport numpy", [NUMPY]),
        ("import argparse\nimport numpy\nX = 1\nimport torch", [NUMPY]),
        ("import os\nos.environ['A'] = '1'\nimport numpy", []),
        ("import os; os.environ['A'] = '1'\nimport numpy", []),
        ("import mine\nimport numpy", []),
        ("from . import mine\nimport numpy", []),
        ("try:\n    import numpy\nexcept ImportError: pass", []),
        ("'doc'; x()\nimport numpy", []),
        ("'doc' + x()\nimport numpy", []),
        ("from numpy import (a\nimport torch", []),
        ("from numpy import (a) if x else b\nimport torch", []),
        ("f'{x()}'\nimport numpy", []),
        ("  import numpy", []),
        ("import numpy if x", []),
        ("", []),
    ],
)
def test_what_a_script_imports_before_it_does_anything(text: str, found: list[tuple[str, tuple[str, ...]]]) -> None:
    assert list(imports(text)[0]) == found


def test_an_opening_says_what_belongs_to_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for place in ("src/train.py", "train.py"):
        (tmp_path / place).write_text("import random\nimport numpy\n")
    script = opening("python -u src/train.py -m 3", tmp_path, {})
    assert script is not None
    assert (script.program, script.own, script.rest) == ("python", ("-u", "src/train.py"), ("-m", "3"))
    assert (script.packages, script.names, script.folder) == (("numpy",), {"random"}, tmp_path / "src")
    module = opening("python3 -m train --x", tmp_path, {})
    assert module is not None and (module.own, module.rest) == (("-m", "train"), ("--x",))
    text = opening("python3.11 -c 'import numpy' a", tmp_path, {})
    assert text is not None and (text.own, text.rest) == (("-c", "import numpy"), ("a",))
    for command in (
        "python",
        "python -O train.py",
        "python -S -c 'import numpy'",
        "python -m a.b",
        "python -m",
        "python no.py",
        "bash train.py",
    ):
        assert opening(command, tmp_path, {}) is None, command
    assert opening("python train.py", tmp_path, {"BASH_ENV": "x"}) is None
    (tmp_path / "link.py").symlink_to("/proc/self/mem")
    outside = tmp_path / "outside.py"
    outside.write_text("import numpy")
    for command in ("python link.py", "python ../outside.py", f"python {outside}"):
        assert opening(command, tmp_path / "src", {}) is None, command


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, ""),
        ({"variables": {"B": "1", "A": "2"}}, "it has variables of its own (A)"),
        ({"limits": Limits(cores=1, memory_mib=512, gpus=("GPU-1",))}, "it has GPUs"),
        ({"node_count": 2}, None),
        ({"distribution": Distribution(kind="pytorch")}, None),
        ({"environment": plan("")}, None),
    ],
)
def test_what_is_prepared_for(tmp_path: Path, changes: dict[str, Any], refusal: str | None) -> None:
    told = assignment("j", "python -c 'import numpy'", **{"environment": plan("numpy==1.0"), **changes})
    found = wanted(told, told.command, tmp_path, tmp_path, "mayfly", {}, 1)
    assert (found and found.kind.refusal) == refusal
