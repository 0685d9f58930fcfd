"""Models that came to Mayfly otherwise than through MLflow (outputs of jobs, `mayfly model create`), offered to MLflow's
registry under their names and numbers. MLflow keeps where they lie; the bytes are read from Mayfly's own store."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import json
from sqlalchemy import Connection

from mayfly.domain.references import AssetKind
from mayfly.kit.ids import Digest, WorkspaceId
from mayfly.ports.tracking import Response
from mayfly.services import models
from mayfly.services.models import OFFERED
from mayfly.services.places import tracking_name
from mayfly.services.relaying import Bytes
from mayfly.services.runs import AttemptContext
from mayfly.services.world import World
from mayfly.store import assets, jobs, results, workspaces
from mayfly.store.assets import AssetRow
from mayfly.store.turns import Turns
from mayfly.transfer import trees
from mayfly.wire.agent import TreeEntry

ROOT = "mayfly-models"
"""The folder below which clients read them."""
SHOWN = f"mlflow-artifacts:/{ROOT}/"
"""Stands for OFFERED in what clients see: MLflow itself takes only runs' own folders there."""
_AREAS = ("registered-models", "model-versions")
_WIDEST_GAP = 100
"""Numbers that are left out before a version: MLflow counts by itself, so each is made there and deleted again."""

log = structlog.get_logger()


class Registry(Protocol):
    """What stands between jobs and MLflow's model registry."""

    def before(self, attempt: AttemptContext, operation: str) -> None:
        """Comes before each call of the registry. Raises Unavailable `TrackingUnavailable`."""
        ...

    def content(self, attempt: AttemptContext, path: str, *, listed: bool) -> Response | None:
        """A file (or what is in a folder) of an offered model; None when the path is none of ours."""
        ...

    def registered(self, attempt: AttemptContext, version: Mapping[str, Any]) -> None:
        """Comes after each version that a job has registered, as MLflow tells it."""
        ...


class Offers:
    """Implements Registry. Safe for many threads and servers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offered: dict[WorkspaceId, set[int]] = {}
        self._turns = Turns(world.store)

    def before(self, attempt: AttemptContext, operation: str) -> None:
        if concerns(operation):
            self.offer(self._workspace(attempt))

    def offer(self, workspace: WorkspaceId) -> None:
        """When it returns, MLflow has the models that the workspace had before the call. Left out are versions that are
        archived, are no numbers or lie elsewhere. Raises Unavailable `TrackingUnavailable`."""
        with self._turns.take(f"offers:{workspace}"):
            offered = self._offered.get(workspace, set())
            fresh = self._world.store.read(lambda connection: _fresh(connection, workspace, offered))
            if not fresh:
                return
            space = self._space(workspace)
            there = self._there(space, fresh, at_first=not offered)
            for row in sorted(fresh, key=lambda row: (row.name, len(row.version), row.version)):
                if row.tree is not None and _is_number(row.version) and (row.name, row.version) not in there:
                    self._offer(space, row)
            self._offered[workspace] = offered | {row.sequence for row in fresh}

    def content(self, attempt: AttemptContext, path: str, *, listed: bool) -> Response | None:
        return self.file(self._workspace(attempt), path, listed=listed) if _offered(path) else None

    def file(self, workspace: WorkspaceId, path: str, *, listed: bool) -> Response | None:
        """As `content`, for who reads a workspace."""
        if not _offered(path):
            return None
        number, _, below = path.strip("/").partition("/")[2].partition("/")
        row = models.offered(self._world, workspace, f"{OFFERED}{number}")
        entries: Sequence[TreeEntry] = ()
        if row is not None and row.tree is not None:
            entries = trees.decode(b"".join(self._world.content.open(Digest(row.tree)))).entries
        if listed:
            return _answer(200, {"files": _inside(entries, below)})
        for entry in entries:
            if entry.path == below:
                headers = (("content-type", "application/octet-stream"), ("content-length", str(entry.size)))
                return Response(200, headers, _Chunks(self._world, Digest(entry.digest)))
        return _answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"No such file of a model: {below}"})

    def registered(self, attempt: AttemptContext, version: Mapping[str, Any]) -> None:
        models.adopt(self._world, attempt, version)

    def _workspace(self, attempt: AttemptContext) -> WorkspaceId:
        row = self._world.store.read(lambda connection: jobs.by_id(connection, attempt.job))
        assert row is not None, "a job that speaks is there"
        return row.workspace

    def _space(self, workspace: WorkspaceId) -> str:
        found = self._world.store.read(lambda connection: workspaces.get(connection, workspace))
        assert found is not None, "whoever asks is in it"
        return tracking_name(found)

    def _there(self, space: str, rows: Sequence[AssetRow], *, at_first: bool) -> set[tuple[str, str]]:
        """Those of these versions that MLflow has. At first they are many, and all that it has are looked through."""
        found: set[tuple[str, str]] = set()
        if not at_first:
            for one in ({"name": row.name, "version": row.version} for row in rows):
                if self._world.mlflow.ask(space, "GET", "model-versions/get", one):
                    found.add((one["name"], one["version"]))
            return found
        token = ""
        while True:
            asked = {"max_results": 10_000} | ({"page_token": token} if token else {})
            page = self._world.mlflow.ask(space, "GET", "model-versions/search", asked)
            told = page.get("model_versions", ())
            found |= {(one["name"], str(one["version"])) for one in told}
            token = page.get("next_page_token", "")
            if not token:
                return found

    def _offer(self, space: str, row: AssetRow) -> None:
        self._world.mlflow.ask(space, "POST", "registered-models/create", {"name": row.name})
        made, words = self._make(space, row)
        last = made + _WIDEST_GAP
        while made and made != int(row.version):
            gone = {"name": row.name, "version": str(made)}
            self._world.mlflow.ask(space, "DELETE", "model-versions/delete", gone)
            if not made < int(row.version) <= last:
                made, words = 0, f"its next number is {made}"
                break
            made, words = self._make(space, row)
        if not made:
            log.warning("MLflow has no place for a model", model=row.name, version=row.version, words=words)

    def _make(self, space: str, row: AssetRow) -> tuple[int, str]:
        """The number that MLflow gave, 0 with its words when it refused."""
        asked: dict[str, Any] = {"name": row.name, "source": f"{OFFERED}{row.sequence}"}
        if row.job is not None:
            job = row.job
            runs = self._world.store.read(lambda connection: results.runs_of(connection, job))
            asked |= {"run_id": runs[0].mlflow_run} if runs else {}
        told = [{"key": key, "value": value} for key, value in row.tags.items()]
        described = asked | {"description": row.description or "", "tags": told}
        words, answer = self._world.mlflow.tell(space, "POST", "model-versions/create", described)
        if words:  # what is said of it may be more than MLflow takes
            words, answer = self._world.mlflow.tell(space, "POST", "model-versions/create", asked)
        return int(answer.get("model_version", {}).get("version", 0)), words


class _Chunks:
    def __init__(self, world: World, digest: Digest) -> None:
        self._chunks = world.content.open(digest)

    def __iter__(self):
        return iter(self._chunks)

    def close(self) -> None:
        if isinstance(self._chunks, Generator):
            self._chunks.close()


def _fresh(connection: Connection, workspace: WorkspaceId, offered: set[int]) -> list[AssetRow]:
    numbers = assets.active(connection, workspace, AssetKind.MODEL) - offered
    return [row for number in sorted(numbers) if (row := assets.at(connection, number)) is not None]


def _offered(path: str) -> bool:
    return path.strip("/").partition("/")[0] == ROOT


def concerns(operation: str) -> bool:
    return operation.startswith(_AREAS)


def kept(body: bytes) -> bytes:
    """A request of the registry as MLflow gets it."""
    return body.replace(SHOWN.encode(), OFFERED.encode())


def shown(answer: Response) -> Response:
    """An answer of the registry as clients get it."""
    content = b"".join(answer.body).replace(OFFERED.encode(), SHOWN.encode())
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    return Response(answer.status, (*headers, ("content-length", str(len(content)))), Bytes(content))


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal() and not version.startswith("0")


def _inside(entries: Sequence[TreeEntry], folder: str) -> list[dict[str, object]]:
    """What lies in a folder, by the last part of its path, as MLflow tells it."""
    start = f"{folder}/" if folder else ""
    found: dict[str, dict[str, object]] = {}
    for entry in entries:
        if entry.path.startswith(start):
            name, below, _ = entry.path.removeprefix(start).partition("/")
            found[name] = {"path": name, "is_dir": True} if below else {
                "path": name, "is_dir": False, "file_size": entry.size
            }  # fmt: skip
    return [found[name] for name in sorted(found)]


def _answer(status: int, content: Mapping[str, object]) -> Response:
    body = json.encode(content)
    return Response(status, (("content-type", "application/json"), ("content-length", str(len(body)))), Bytes(body))
