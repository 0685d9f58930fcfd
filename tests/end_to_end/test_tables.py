"""MLTables evaluated for the job, by a real server and node."""

from __future__ import annotations

import pytest
import yaml

from mayfly.testing.embedded import HELLO, Embedded

pytestmark = pytest.mark.end_to_end

TABLE = """
paths:
- pattern: ./parts/*.csv
- folder: https://far.example/lake/more
transformations:
- read_delimited: {delimiter: ',', include_path_column: true}
- filter: col("n") > 1
"""


def test_a_job_reads_what_its_tables_stand_for(shared: Embedded) -> None:
    lake = shared.place / "lake" / "more"
    lake.mkdir(parents=True)
    (lake / "c.csv").write_text("n,s\n7,far\n")
    far = {"uri_map": {"https://far.example/lake/": str(lake.parent)}}
    (shared.folder / "config.yml").write_text(yaml.safe_dump(far))
    path = shared.write(
        {
            **HELLO,
            "command": "cat ${{inputs.rows}}/*; cd ${{inputs.files}}; find . -type f; echo own >> pictures/a.txt",
            "inputs": {
                "rows": {"type": "mltable", "mode": "eval_mount", "path": "./rows"},
                "files": {"type": "mltable", "mode": "eval_download", "path": "./files"},
            },
        }
    )
    for name, text in {
        "rows/MLTable": TABLE,
        "rows/parts/a.csv": "n,s\n1,a\n2,b\n",
        "files/MLTable": "paths: [{folder: ./pictures}]\n",
        "files/pictures/a.txt": "a",
        "files/notes.txt": "not of the table",
    }.items():
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_text(text)
    said = shared.run("job", "create", "-f", str(path), "--stream")
    assert said.status == 0, said.out + said.err
    rows = "Path,n,s\nparts/a.csv,2,b\nfar.example/lake/more/c.csv,7,far\n./pictures/a.txt\n"
    assert rows in said.out


def test_a_table_that_holds_itself_ends_the_job_with_its_reason(shared: Embedded) -> None:
    path = shared.write({**HELLO, "inputs": {"t": {"type": "mltable", "mode": "eval_mount", "path": "./t"}}})
    (path.parent / "t").mkdir()
    (path.parent / "t" / "MLTable").write_text("paths: [{folder: ../}]\n")
    said = shared.run("job", "create", "-f", str(path), "--stream")
    assert said.status != 0
    assert "MltableCircular" in said.out + said.err and "leads back to the table itself" in said.out + said.err


def test_a_table_names_what_lies_in_the_workspaces_own_storage(shared: Embedded) -> None:
    own = "azureml://datastores/workspaceblobstore/paths/tables"
    made = shared.submit(
        {
            **HELLO,
            "command": "cd ${{outputs.place}}; mkdir more; echo n > a.csv; echo 1 >> a.csv; cp a.csv more/b.csv",
            "outputs": {"place": {"path": f"{own}/"}},
        }
    )
    assert shared.wait(made)["status"] == "Completed"
    path = shared.write(
        {
            **HELLO,
            "command": "cat ${{inputs.rows}}/*",
            "inputs": {"rows": {"type": "mltable", "mode": "eval_mount", "path": "./rows"}},
        }
    )
    (path.parent / "rows").mkdir()
    table = f"paths: [{{file: '{own}/a.csv'}}, {{folder: '{own}/more'}}]\ntransformations: [read_delimited]\n"
    (path.parent / "rows" / "MLTable").write_text(table)
    said = shared.run("job", "create", "-f", str(path), "--stream")
    assert said.status == 0, said.out + said.err
    assert "n\n1\n1\n" in said.out
