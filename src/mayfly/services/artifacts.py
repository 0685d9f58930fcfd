"""What a run keeps, as content: `runs:/<run id or job>/<path>` for inputs of jobs and for models."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote

from mayfly.domain.tracking import TrackedRun
from mayfly.kit.errors import Invalid, NotFound, Unavailable
from mayfly.kit.ids import Digest
from mayfly.services.places import tracking_name
from mayfly.services.world import World
from mayfly.store import jobs, results
from mayfly.store.jobs import JobRow
from mayfly.store.workspaces import Workspace
from mayfly.transfer import trees
from mayfly.wire.agent import Tree, TreeEntry

_RUN = re.compile(r"[0-9a-f]{32}\Z")
FILES = "/api/2.0/mlflow-artifacts/artifacts"
PROXIED = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True)
class RunContent:
    """A tree in the content store, durable."""

    tree: Digest
    is_file: bool
    """The address names a single file: the tree has that one entry."""
    files: int
    bytes: int
    job: str
    """The id of the job whose run it is."""


def resolve(world: World, workspace: Workspace, address: str) -> RunContent:
    """The artifact at `runs:/<run id or job name>/<path>`: what the run logged there (a model by its name too), else
    what the job left at that path of its default output (`outputs/…`, `logs/…`, or below `outputs`). Raises Invalid
    `AddressInvalid`, NotFound `RunNotFound`, `ArtifactNotFound`, Unavailable `TrackingUnavailable`."""
    name, path = _parse(address)
    row, run = _find(world, workspace, name)
    found = _logged(world, tracking_name(workspace), run, path) if run is not None else None
    found = found or _left(world, row, path)
    if found is None:
        raise NotFound(
            "ArtifactNotFound",
            f"Run '{name}' of job '{row.name}' has nothing at '{path or '/'}'.",
            remedy="'mayfly job show' lists what the job left; the run's page shows its artifacts.",
        )
    entries, is_file = found
    tree = Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path)))
    trees.check(tree)
    digest = trees.digest_of(tree)
    world.content.put(digest, [trees.canonical(tree)])
    return RunContent(digest, is_file, len(entries), sum(entry.size for entry in entries), row.job.id)


def logged_content(world: World, workspace: Workspace, uri: str, job: str) -> RunContent | None:
    """The tree of an MLflow artifact folder (`mlflow-artifacts:/…`); None when nothing is there."""
    found = _folder(world, tracking_name(workspace), uri)
    if not found:
        return None
    tree = Tree(entries=tuple(sorted(found, key=lambda entry: entry.path)))
    digest = trees.digest_of(tree)
    world.content.put(digest, [trees.canonical(tree)])
    return RunContent(digest, False, len(found), sum(entry.size for entry in found), job)


def size_of(world: World, space: str, uri: str) -> int:
    """Bytes below an MLflow artifact folder."""
    total = 0
    for file in _listed(world, space, uri):
        below = _below(uri, str(file["path"]).rpartition("/")[2])
        total += size_of(world, space, below) if file.get("is_dir") else int(file.get("file_size") or 0)
    return total


def _parse(address: str) -> tuple[str, str]:
    rest = address.removeprefix("runs:/").strip("/")
    name, _, path = rest.partition("/")
    parts = [part for part in path.split("/") if part]
    if not address.startswith("runs:/") or not name or ".." in parts or "." in parts or "\\" in path:
        raise Invalid("AddressInvalid", f"'{address}' is not of the form runs:/<run id or job name>/<path>.")
    return name, "/".join(parts)


def _find(world: World, workspace: Workspace, name: str) -> tuple[JobRow, TrackedRun | None]:
    def look(connection) -> tuple[JobRow | None, TrackedRun | None]:
        row = jobs.by_name(connection, workspace.id, name)
        if row is not None:
            own = results.find_runs(connection, [row.run])
            return row, own[0] if own else None
        if not _RUN.match(name):
            return None, None
        found = results.find_runs(connection, [name])
        row = jobs.by_id(connection, found[0].job) if found else jobs.by_run(connection, name)
        return row, found[0] if found else None

    row, run = world.store.read(look)
    if row is None or row.workspace != workspace.id:
        raise NotFound(
            "RunNotFound",
            f"There is no run or job '{name}' in this workspace.",
            remedy="'mayfly job list' shows the jobs there are.",
        )
    return row, run


def _logged(world: World, space: str, run: TrackedRun, path: str) -> tuple[list[TreeEntry], bool] | None:
    info = world.mlflow.ask(space, "GET", "runs/get", {"run_id": run.mlflow_run}).get("run", {}).get("info", {})
    root = str(info.get("artifact_uri", ""))
    if not root.startswith(PROXIED):
        return None
    direct = _at(world, space, root, path)
    if direct is not None or not path:
        return direct
    name, _, rest = path.partition("/")
    asked = {
        "experiment_ids": [info["experiment_id"]],
        "filter": f"source_run_id = '{run.mlflow_run}'",
        "order_by": [{"field_name": "creation_time", "ascending": False}],
    }
    for model in world.mlflow.ask(space, "POST", "logged-models/search", asked).get("models", ()):
        if model.get("info", {}).get("name") == name:
            return _at(world, space, str(model["info"].get("artifact_uri", "")), rest)
    return None


def _at(world: World, space: str, root: str, path: str) -> tuple[list[TreeEntry], bool] | None:
    """What lies at a path below an artifact folder, and whether it is a single file."""
    parent, _, name = path.rpartition("/")
    if path:
        here = {file["path"].rpartition("/")[2]: file for file in _listed(world, space, _below(root, parent))}
        if name not in here:
            return None
        if not here[name].get("is_dir"):
            return [_kept(world, space, _below(root, path), name)], True
    found = _folder(world, space, _below(root, path))
    return (found, False) if found else None


def _folder(world: World, space: str, uri: str, prefix: str = "") -> list[TreeEntry]:
    found: list[TreeEntry] = []
    for file in _listed(world, space, uri):
        name = str(file["path"]).rpartition("/")[2]
        if file.get("is_dir"):
            found += _folder(world, space, _below(uri, name), f"{prefix}{name}/")
        else:
            found.append(_kept(world, space, _below(uri, name), prefix + name))
    return found


def _below(uri: str, path: str) -> str:
    return f"{uri.rstrip('/')}/{path}" if path else uri


def _listed(world: World, space: str, uri: str) -> list[dict]:
    path = uri.removeprefix(PROXIED).strip("/")
    answer = world.mlflow.tell(space, "GET", FILES, {"path": path})
    return list(answer[1].get("files", ()))


def _kept(world: World, space: str, uri: str, path: str) -> TreeEntry:
    """Fetch one file into the content store."""
    where = f"{FILES}/{quote(uri.removeprefix(PROXIED).strip('/'))}"
    answer = world.mlflow.send(space, "GET", where)
    if answer.status != 200:
        words = b"".join(answer.body)[:200].decode(errors="replace")
        raise Unavailable("TrackingUnavailable", f"MLflow did not give '{path}' ({answer.status}): {words}")
    found, size = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as file:
        for chunk in answer.body:
            found.update(chunk)
            size += len(chunk)
            file.write(chunk)
        digest = Digest(found.hexdigest())
        if world.content.missing([digest]):
            file.seek(0)
            world.content.put(digest, _chunks(file))
    return TreeEntry(path=path, digest=digest, size=size)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk


def _left(world: World, row: JobRow, path: str) -> tuple[list[TreeEntry], bool] | None:
    """What the job's default output has there; `model` also stands for `outputs/model`."""
    outputs = world.store.read(lambda connection: results.outputs_of(connection, row.job.id, row.job.attempt))
    for output in outputs:
        if output.name != "default":
            continue
        entries = trees.decode(b"".join(world.content.open(Digest(output.tree)))).entries
        for wanted in (path, f"outputs/{path}") if path else ("",):
            single = [entry for entry in entries if entry.path == wanted]
            if single:
                name = wanted.rpartition("/")[2]
                return [
                    TreeEntry(path=name, digest=e.digest, size=e.size, executable=e.executable) for e in single
                ], True
            start = f"{wanted}/" if wanted else ""
            inside = [entry for entry in entries if entry.path.startswith(start)]
            if inside:
                cut = len(start)
                moved = [
                    TreeEntry(path=e.path[cut:], digest=e.digest, size=e.size, executable=e.executable) for e in inside
                ]
                return moved, False
    return None
