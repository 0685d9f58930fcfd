"""The doors of `/mayfly/v1` as plain calls: JSON in, JSON out, in the shapes of `wire.mayfly`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mayfly.kit.ids import Digest
from mayfly.transfer import packs
from mayfly.transfer.http import Session

View = dict[str, Any]
"""One of the shapes of `wire.mayfly`, as read from JSON."""
ENDED = ("Completed", "Failed", "Canceled")
"""What a job is called that will not change any more."""


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace by its names."""

    subscription: str = "local"
    group: str = "local"
    workspace: str = "default"

    @property
    def path(self) -> str:
        return (
            f"/mayfly/v1/subscriptions/{_part(self.subscription)}/resourceGroups/{_part(self.group)}"
            f"/workspaces/{_part(self.workspace)}"
        )


class Doors:
    """One server, one workspace. Raises what `transfer.http.Session` raises: the server's own errors, `Unavailable`."""

    def __init__(self, session: Session, place: Place, *, remote: bool = False) -> None:
        self.session = session
        self.place = place
        self.remote = remote
        """Whether the server may be on another machine, so that `compute: local` has no meaning."""

    # --- the server

    def server(self) -> View:
        return self.session.get("/mayfly/v1/server")

    def down(self, mode: str) -> View:
        return self.session.post("/mayfly/v1/server/down", {"mode": mode}, repeatable=True)

    def gc(self, *, dry_run: bool) -> View:
        return self.session.post("/mayfly/v1/gc", {"dry_run": dry_run}, repeatable=True)

    def workspaces(self) -> list[View]:
        return self.session.get("/mayfly/v1/workspaces")

    def workspace(self) -> View:
        """This one."""
        return self.session.get(self.place.path)

    def make_workspace(self) -> View:
        return self.session.put(self.place.path, {})

    # --- jobs

    def submit(self, submission: View) -> View:
        """Repeated when the connection fails only if the job has a name: the same name is the same job."""
        return self.session.post(f"{self.place.path}/jobs", submission, repeatable=_named(submission))

    def submit_all(self, submissions: Sequence[View]) -> View:
        """All of them or none. Repeated as `submit`, if each has a name."""
        named = all(map(_named, submissions))
        return self.session.post(f"{self.place.path}/jobs:batch", {"jobs": list(submissions)}, repeatable=named)

    def validate(self, submission: View) -> View:
        return self.session.post(f"{self.place.path}/jobs:validate", submission, repeatable=True)

    def plan(self, submission: View) -> View:
        return self.session.post(f"{self.place.path}/jobs:plan", submission, repeatable=True)

    def jobs(
        self, *, limit: int | None = None, state: str | None = None, which: str = "active", parent: str | None = None
    ) -> Iterator[View]:
        """Newest first, page by page, at most `limit`; the steps of the pipeline `parent`, else jobs that are no steps."""
        after, left = None, limit
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            page = self.session.get(
                f"{self.place.path}/jobs",
                {"limit": size, "after": after, "state": state, "which": which, "parent": parent},
            )
            jobs = page["jobs"]
            yield from jobs
            left = None if left is None else left - len(jobs)
            if not jobs or not page.get("more"):
                return
            after = jobs[-1]["name"]

    def job(self, name: str) -> View:
        return self.session.get(self._job(name))

    def web(self, name: str) -> str:
        """A link to the job's page in MLflow: it works once."""
        return self.session.post(f"{self._job(name)}/web", {}, repeatable=True)["url"]

    def explanation(self, name: str) -> View:
        return self.session.get(f"{self._job(name)}/explanation")

    def cancel(self, name: str, reason: str = "") -> View:
        return self.session.post(f"{self._job(name)}/cancel", {"reason": reason}, repeatable=True)

    def retry(self, name: str, called: str) -> View:
        """The job that tries again, which is `called` so."""
        return self.session.post(f"{self._job(name)}/retry", {"name": called}, repeatable=True)

    def archive_job(self, name: str, *, restore: bool = False) -> View:
        return self.session.post(f"{self._job(name)}/{'restore' if restore else 'archive'}", {}, repeatable=True)

    def update_job(self, name: str, change: View) -> View:
        return self.session.patch(self._job(name), change)

    def stream(self, name: str, offsets: Mapping[str, int]) -> Iterator[tuple[str, View]]:
        """One connection's events; `client.following` comes back after a break."""
        return self.session.events(f"{self._job(name)}/stream", {"offsets": json.dumps(dict(offsets))})

    # --- what a job leaves

    def logs(self, name: str) -> list[View]:
        return self.session.get(f"{self._job(name)}/logs")["logs"]

    @contextmanager
    def log(self, name: str, file: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        path = f"{self._job(name)}/logs/{quote(file, safe='/')}"
        with self.session.download(path, params={"offset": offset}) as chunks:
            yield chunks

    def outputs(self, name: str) -> list[View]:
        return self.session.get(f"{self._job(name)}/outputs")

    # --- assets

    def register(self, kind: str, asset: View) -> View:
        """Shapes of `wire.assets`; `kind` is data, model, environment or component. Repeated when the connection fails
        only if it has a version: the same version is the same asset."""
        return self.session.post(f"{self._assets(kind)}", asset, repeatable=bool(asset.get("version")))

    def assets(
        self, kind: str, name: str | None = None, *, limit: int | None = None, which: str = "active"
    ) -> Iterator[View]:
        """The newest version of each name, or the versions of one, page by page, at most `limit`."""
        path = self._assets(kind) if name is None else f"{self._assets(kind)}/{_part(name)}"
        after, left = None, limit
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            page = self.session.get(path, {"limit": size, "after": after, "which": which})
            found = page["assets"]
            yield from found
            left = None if left is None else left - len(found)
            if not found or not page.get("more"):
                return
            after = found[-1]["name" if name is None else "version"]

    def create_component(self, submission: View) -> View:
        """The component stands under `component` in the definition."""
        body = submission["definition"]["component"]
        return self.session.post(f"{self.place.path}/components", submission, repeatable=bool(body.get("version")))

    def asset(self, kind: str, name: str, *, version: str | None = None, label: str = "latest") -> View:
        tail = f"versions/{_part(version)}" if version is not None else f"labels/{_part(label)}"
        return self.session.get(f"{self._assets(kind)}/{_part(name)}/{tail}")

    def archive(self, kind: str, name: str, version: str | None = None, *, restore: bool = False) -> list[View]:
        verb = "restore" if restore else "archive"
        return self.session.post(f"{self._assets(kind)}/{_part(name)}/{verb}", {"version": version}, repeatable=True)

    # --- datastores and lineage

    def datastores(self) -> list[View]:
        return self.session.get(f"{self.place.path}/datastores")

    def datastore(self, name: str) -> View:
        return self.session.get(f"{self.place.path}/datastores/{_part(name)}")

    def put_datastore(self, definition: View) -> View:
        return self.session.post(f"{self.place.path}/datastores", {"definition": definition}, repeatable=True)

    def delete_datastore(self, name: str) -> None:
        self.session.send("DELETE", f"{self.place.path}/datastores/{_part(name)}")

    def lineage(self, name: str) -> list[View]:
        """Of a job."""
        return self.session.get(f"{self._job(name)}/lineage")

    def asset_lineage(self, kind: str, name: str, version: str | None = None) -> list[View]:
        return self.session.get(f"{self._assets(kind)}/{_part(name)}/lineage", {"version": version})

    # --- environments

    def build_environment(self, ask: View) -> View:
        return self.session.post(f"{self.place.path}/environments/builds", ask, repeatable=True)

    def prune_environments(self, *, days: float, dry_run: bool) -> View:
        ask = {"days": days, "dry_run": dry_run}
        return self.session.post("/mayfly/v1/environments/prune", ask, repeatable=True)

    def environment_build(self, digest: str, offset: int) -> View:
        return self.session.get(f"{self.place.path}/environments/builds/{_part(digest)}", {"offset": offset})

    # --- sizes and quota

    def sizes(self) -> list[View]:
        return self.session.get(f"{self.place.path}/sizes")

    def quotas(self) -> list[View]:
        return self.session.get(f"{self.place.path}/quotas")

    def update_quota(self, family: str, limit: int, tier: str, scope: str) -> list[View]:
        return self.session.put(
            f"{self.place.path}/quotas", {"family": family, "limit": limit, "tier": tier, "scope": scope}
        )

    def usage(self) -> list[View]:
        return self.session.get(f"{self.place.path}/usage")

    # --- content

    def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Which of these contents the server lacks."""
        answer = self.session.post(f"{self.place.path}/content/missing", {"digests": list(digests)}, repeatable=True)
        return [Digest(digest) for digest in answer["missing"]]

    def store(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]]) -> int:
        """Send contents; how many were stored. Not repeated here: ask `missing` again and send what is left."""
        path = f"{self.place.path}/content/blobs"
        return self.session.upload("POST", path, packs.write(items), media_type=packs.MEDIA_TYPE)["stored"]

    def fetch(self, digests: Sequence[Digest]) -> Iterator[tuple[Digest, int, Iterator[bytes]]]:
        path = f"{self.place.path}/content/fetch"
        with self.session.download(path, method="POST", body={"digests": list(digests)}) as chunks:
            yield from packs.read(chunks)

    def put_tree(self, digest: Digest, canonical: bytes) -> None:
        """`canonical`: the tree's bytes as `transfer.trees.canonical` gives them. Its contents must be there already."""
        self.session.send("PUT", f"{self.place.path}/content/trees/{digest}", canonical)

    def tree(self, digest: str) -> bytes:
        return self.session.send("GET", f"{self.place.path}/content/trees/{_part(digest)}")

    def _assets(self, kind: str) -> str:
        return f"{self.place.path}/assets/{_part(kind)}"

    def _job(self, name: str) -> str:
        return f"{self.place.path}/jobs/{_part(name)}"


def _named(submission: View) -> bool:
    return bool(submission.get("name") or submission.get("definition", {}).get("name"))


def _part(text: str) -> str:
    """One part of a path: a name with a slash, or one of dots only, must not become two."""
    return quote(text, safe="").replace(".", "%2E") if text.strip(".") == "" else quote(text, safe="")
