"""A live server is backed up and another one is restored from it: nothing that had ended is lost, nothing that still ran
can publish any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mayfly.testing.chance import drawn
from mayfly.testing.databases import Databases, kinds
from mayfly.testing.embedded import HELLO, Embedded, Make, counting, numbered
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

LEAVES = {
    **HELLO,
    "command": "echo hello; echo kept > outputs/model; cat ${{inputs.d}}/a.csv > ${{outputs.o}}/b.csv",
    "inputs": {"d": {"path": "azureml:mine:1"}},
    "outputs": {"o": {"name": "made"}},
}


def test_a_restored_server_has_all_and_gives_no_old_fence(fresh: Make, tmp_path: Path) -> None:
    one, other, at = fresh(), fresh(), tmp_path / "backup"
    one.start()
    (one.place / "mine").mkdir()
    (one.place / "mine" / "a.csv").write_text("1,2\n")
    one.json("data", "create", "-n", "mine", "--version", "1", "--path", str(one.place / "mine"))
    one.json("quota", "update", "--family", "local", "--limit", "1")
    one.post({**LEAVES, "name": "ended"})
    one.wait("ended", "Completed")
    assert one.run("backup", str(at)).status == 0
    one.post({**counting(600), "name": "runs"})
    one.post({**HELLO, "name": "waits"})
    one.wait_log("runs", "line 2\n")
    made = one.json("backup", str(at))
    assert len(list(at.glob("rows-*"))) == 1 and (at / "backup.json").stat().st_mode & 0o077 == 0
    one.kill_server()

    said = other.run("restore", str(at))
    assert said.status == 0, said.err
    assert other.run("restore", str(at)).status == 2, "it holds a store now"
    other.start()
    for file in (other.folder / "servers").glob("*.json"):  # the old agents find the new server
        shutil.copy(file, one.folder / "servers")
    job = other.wait("runs", "Failed")
    assert job["error"]["code"] == "NodeLost", job
    until(lambda: not one.processes())  # what still ran was told to end
    other.wait("waits", "Completed")
    assert other.log("ended") == "hello\n" and numbered(600).startswith(other.log("runs"))
    assert other.run("job", "download", "-n", "ended", "--all", "-p", str(tmp_path / "got")).status == 0
    assert (tmp_path / "got" / "artifacts" / "outputs" / "model").read_text() == "kept\n"
    other.post(
        {**HELLO, "name": "reads", "command": "cat ${{inputs.d}}/b.csv", "inputs": {"d": {"path": "azureml:made:1"}}}
    )
    other.wait("reads", "Completed")
    assert other.log("reads") == "1,2\n"
    limits = {row["family"]: row["limit"] for row in other.call("GET", "/usage") if row["tier"] == "Standard"}
    assert limits["local"] == 1
    until(lambda: not other.problems())
    again = other.json("backup", str(tmp_path / "second"))
    assert again["epoch"] > made["epoch"]


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server with one job that has ended."""
    place = tmp_path_factory.mktemp("kept")
    one = Embedded(place / "home")
    one.start()
    one.post({**HELLO, "name": "ended"})
    one.wait("ended", "Completed")
    one.json("backup", str(place / "backup"))
    one.finish()
    return place / "backup"


@pytest.mark.parametrize("kind", drawn("restore into", kinds()))
def test_a_restore_that_died_is_begun_again(
    fresh: Make, databases: Databases, backup: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "empty").mkdir()

    def restored(point: str = "") -> tuple[Embedded, int]:
        url = databases.empty(kind, tmp_path / "empty") if kind == "postgresql" else ""
        one = fresh(database=url)
        where = {"MAYFLY_KILL_AT": point} if point else {"MAYFLY_KILL_TRACE": str(tmp_path / "points")}
        return one, one.run("restore", str(backup), **where).status

    assert restored()[1] == 0
    points = sorted(set((tmp_path / "points").read_text().splitlines()))
    assert any(point.startswith("store:dump.take_in") for point in points)
    for point in drawn("restore", points):
        one, status = restored(point)
        assert status != 0, f"nobody died at {point}"
        again = one.run("restore", str(backup))
        assert again.status == 0 or "InUse]" in again.err, (point, again.err)  # it had been whole
        one.start()
        assert one.job("ended")["status"] == "Completed", point
        assert one.log("ended") == "hello\n", point
        one.post({**HELLO, "name": "next"})
        one.wait("next", "Completed")
        made = one.json("backup", str(tmp_path / "next"))
        assert made["epoch"] > json.loads((backup / "backup.json").read_text())["epoch"], point
        one.call("POST", "/mayfly/v1/server/down", {"mode": "cancel-jobs"})
        until(lambda one=one: not one.processes())


def test_what_cannot_be_backed_up_or_restored_is_told(fresh: Make, tmp_path: Path) -> None:
    one = fresh()
    said = one.run("backup", str(tmp_path / "none"))
    assert said.status == 4 and "[NothingToBackUp]" in said.err
    one.start()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("x")
    assert "[BackupPlaceInUse]" in one.run("backup", str(tmp_path / "mine")).err
    assert "[BackupNotFound]" in one.run("restore", str(tmp_path / "mine")).err
    assert one.run("backup", str(tmp_path / "good")).status == 0
    assert "[ServerRunning]" in one.run("restore", str(tmp_path / "good")).err
    about = json.loads((tmp_path / "good" / "backup.json").read_text())
    other = fresh()
    (tmp_path / "good" / "backup.json").write_text(json.dumps({**about, "schema": "9999"}))
    assert "[StoreTooNew]" in other.run("restore", str(tmp_path / "good")).err
    (tmp_path / "good" / "backup.json").write_text(json.dumps(about))
    assert other.run("restore", str(tmp_path / "good")).status == 0
