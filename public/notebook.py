"""Runs the code of a notebook as a kernel would, cell after cell in its own folder, with nothing changed but placeholders:
`mayfly exec -- python notebook.py FILE SAID [LAST [GIVEN]]`. `LAST`: the name of the first cell that is not run. `GIVEN`: code
that the notebook as it is published lacks.

Of the lines that are no Python, `%%writefile` is done; installing (`pip`) and drawing (`%matplotlib`) are left out and
written down; any other stops it. What the notebook came to is written to SAID.
"""

import json
import re
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

PLACEHOLDERS = {"<SUBSCRIPTION_ID>": "local", "<RESOURCE_GROUP>": "local", "<AML_WORKSPACE_NAME>": "default"}
LEFT_OUT = re.compile(r"[!%]\s*(pip |matplotlib )")


def written(first: str, rest: str, names: dict[str, object]) -> None:
    """`%%writefile`, whose path may name variables."""
    path = re.sub(r"\{(\w+)\}", lambda found: str(names[found[1]]), first.removeprefix("%%writefile").strip())
    Path(path).write_text(rest, encoding="utf-8")


def run(cell: str, names: dict[str, object], left_out: list[str]) -> None:
    first, _, rest = cell.partition("\n")
    if first.startswith("%%writefile"):
        written(first, rest, names)
        return
    lines = []
    for line in cell.splitlines():
        if LEFT_OUT.match(line):
            left_out.append(line.strip())
        elif line[:1] in ("!", "%"):
            raise SystemExit(f"'{line}' is no Python, and nobody said what to do with it")
        else:
            lines.append(line)
    exec(compile("\n".join(lines), "cell", "exec"), names)


def main(file: str, said: str, last: str = "", given: str = "") -> None:
    cells = json.loads(Path(file).read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {"__name__": "__main__"}
    left_out: list[str] = []
    run(given, names, left_out)
    done = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        if last and cell["metadata"].get("name") == last:
            break
        text = "".join(cell["source"])
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        run(text, names, left_out)
        done += 1
    else:
        if last:
            raise SystemExit(f"there is no cell named {last!r}")
    Path(said).write_text(json.dumps({"cells": done, "left_out": left_out}), encoding="utf-8")


main(*sys.argv[1:])
