"""MLflow's own pages for people, signed in by a link that works once: they show the runs of one workspace, and change
nothing. A cookie names the user and the workspace; it is good for the pages below that workspace's path alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mayfly.domain import tracking
from mayfly.domain.tracking import TrackedRun
from mayfly.kit.errors import Denied, Forbidden, MayflyError, NotFound
from mayfly.kit.ids import WorkspaceId
from mayfly.ports.tracking import Response, TrackingRows
from mayfly.services import histories
from mayfly.services.artifacts import FILES, PROXIED
from mayfly.services.attempts import speaker
from mayfly.services.feeding import Feeder
from mayfly.services.jobs import find
from mayfly.services.offers import Offers, concerns
from mayfly.services.places import Place, tracking_name
from mayfly.services.relaying import Bytes, alone, answered_headers, kept_headers, mapped, theirs
from mayfly.services.runs import Runs
from mayfly.services.tokens import Principal
from mayfly.services.visits import Visits
from mayfly.services.world import World
from mayfly.store import jobs, results, workspaces

PREFIX = "/tracking"
COOKIE = "mayfly_pages"
LINK_MS = 600_000
"""How long a link works that nobody has used."""
SESSION_MS = 12 * 3_600_000
_MOST_LINKS = 1000
_OPEN = ("static-files/", "get-artifact", "model-versions/get-artifact", "version")
_AJAX = "ajax-api/2.0/mlflow/"
_FILES = ("get-artifact", "mlflow-artifacts/artifacts/", "/artifacts/files")
_QUIET = (
    "ajax-api/3.0/mlflow/server-info",
    "ajax-api/3.0/mlflow/ui-telemetry",
    "ajax-api/3.0/mlflow/scorers/list",
    "ajax-api/2.0/mlflow/users/current",
    "ajax-api/2.0/mlflow/gateway-proxy",
)
_FIRST_VISIT = b"""<head><script>
for (const [key, value] of [["mlflow.workflowType_v1", '"machine_learning"'],
                            ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"]])
    if (localStorage.getItem(key) === null) localStorage.setItem(key, value)
</script>"""
"""The pages begin with what training jobs need, and without an assistant that is not there."""


class Pages:
    """Safe for many threads. Links live in this process: after a restart one asks for another."""

    def __init__(self, world: World, rows: TrackingRows, runs: Runs, feeder: Feeder, offers: Offers) -> None:
        self._world = world
        self._rows = rows
        self._runs = runs
        self._feeder = feeder
        self._offers = offers
        self.visits = Visits(world, rows, runs, feeder, offers)
        """For scripts, by a key of their own."""
        self._links: dict[str, tuple[str, str, str, int]] = {}
        self._lock = threading.Lock()

    def link(self, user: str, place: Place, name: str) -> str:
        """The path of a link that opens the pages of the job's run, once. Raises NotFound `JobNotTracked`."""
        row = find(self._world, place, name)
        attempt = speaker(self._world, row.job.id)
        if attempt is not None:
            self._feeder.catch_up(attempt)  # the page shows what there is now
        own = self._world.store.read(lambda connection: results.find_runs(connection, [row.run]))
        if attempt is None or not own:
            raise NotFound(
                "JobNotTracked",
                f"The job '{name}' has logged nothing to MLflow, so there is no page to show.",
                remedy="mlflow.log_metric in its script is enough; no set-up is needed.",
            )
        asked = {"run_id": own[0].mlflow_run}
        info = self._world.mlflow.ask(attempt.workspace, "GET", "runs/get", asked).get("run", {}).get("info", {})
        target = f"{PREFIX}/{row.workspace}/#/experiments/{info.get('experiment_id', '0')}/runs/{row.run}/model-metrics"
        ticket, now = self._world.ids.secret(), self._world.clock.now()
        with self._lock:
            alive = [(one, link) for one, link in self._links.items() if link[3] > now]
            self._links = dict(alive[-_MOST_LINKS:])
            self._links[ticket] = (user, row.workspace, target, now + LINK_MS)
        return f"{PREFIX}/open/{ticket}"

    def enter(self, ticket: str) -> tuple[str, str, str]:
        """Use a link up: the cookie's value, the path it is for, and where to go. Raises Denied `LinkUsed`."""
        with self._lock:
            user, workspace, target, until = self._links.pop(ticket, ("", "", "", 0))
        now = self._world.clock.now()
        if until < now:
            raise Denied(
                "LinkUsed", "This link was used already, or is too old.", remedy="'mayfly job show NAME --web'."
            )
        token = self._world.tokens.issue(Principal("pages", f"{now + SESSION_MS}/{workspace}/{user}"))
        return token, f"{PREFIX}/{workspace}/", target

    def ask(
        self,
        who: Principal,
        workspace: str,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Response:
        """One request of a page; `path` is what follows the workspace. Raises Denied `SessionOver`, Forbidden
        `PagesReadOnly`, Unavailable `TrackingUnavailable`."""
        self._admit(who, workspace)
        path = quote(unquote(path), safe="/:@!$&'()*+,;=~-._")
        _check(method, path, body)
        space = self._world.store.read(lambda connection: tracking_name(workspaces.get(connection, workspace)))  # pyright: ignore
        query = urlencode(parse_qsl(query, keep_blank_values=True), safe="/")
        runs = self._runs.known(tracking.ids_in(b" ".join((path.encode(), query.encode(), body))))
        history = self._history(workspace, path, query, runs)
        if history is not None:
            return history
        if concerns(path.removeprefix(_AJAX)):
            self._offers.offer(WorkspaceId(workspace))
        sent = theirs(body.decode("latin-1"), runs).encode("latin-1")
        where, asked = "/" + theirs(path, runs), theirs(query, runs)
        if path == "get-artifact":
            where, asked = self._streamed(space, asked) or (where, asked)
        answer = self._world.mlflow.send(space, method, where, asked, kept_headers(headers), sent)
        if not path and answer.status == 200:
            return _begun(answer)
        if path.endswith("/server-info"):
            return alone(answer)
        kept = answered_headers(answer.headers)
        if any(mark in path for mark in _FILES):  # made by a job: it may be looked at, and does nothing
            kept = (*kept, ("content-security-policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"))
            return Response(answer.status, kept, answer.body)
        kinds = [value for name, value in answer.headers if name.lower() == "content-type"]
        if path.startswith(("ajax-api", "graphql")) and kinds and kinds[0].startswith("application/json"):
            return mapped(answer, self._runs, {})
        return Response(answer.status, kept, answer.body)

    def _streamed(self, space: str, query: str) -> tuple[str, str] | None:
        """Where MLflow streams the file that it would else hold in memory for a browser that reads slowly."""
        asked = dict(parse_qsl(query))
        path = asked.get("path", "")
        told = self._world.mlflow.ask(
            space, "GET", "runs/get", {"run_id": asked.get("run_uuid") or asked.get("run_id")}
        )
        root = str(told.get("run", {}).get("info", {}).get("artifact_uri", ""))
        if not path or ".." in path.split("/") or not root.startswith(PROXIED):
            return None
        return f"{FILES}/{quote(root.removeprefix(PROXIED).strip('/'))}/{quote(path)}", ""

    def _history(self, workspace: str, path: str, query: str, runs: Mapping[str, TrackedRun]) -> Response | None:
        def here(run: TrackedRun) -> bool:
            row = self._world.store.read(lambda connection: jobs.by_id(connection, run.job))
            return row is not None and row.workspace == workspace

        if not path.startswith(_AJAX):
            return None
        return histories.answer(
            self._rows, path.removeprefix(_AJAX), query, {one: run for one, run in runs.items() if here(run)}
        )

    def _admit(self, who: Principal, workspace: str) -> None:
        until, _, rest = who.subject.partition("/")
        allowed, _, _user = rest.partition("/")
        if not until.isdigit() or int(until) < self._world.clock.now() or allowed != workspace:
            raise Denied(
                "SessionOver", "You are not signed in here.", remedy="'mayfly job show NAME --web' signs you in."
            )


def _begun(answer: Response) -> Response:
    content = b"".join(answer.body).replace(b"<head>", _FIRST_VISIT, 1)
    kept = [(name, value) for name, value in answered_headers(answer.headers) if name.lower() != "content-length"]
    return Response(200, (*kept, ("content-length", str(len(content)))), Bytes(content))


def _check(method: str, path: str, body: bytes) -> None:
    """Only what reads. Raises Forbidden `PagesReadOnly`."""
    if ".." in path.split("/") or "\\" in path:
        raise Forbidden("TrackingRefused", "A path may not leave its folder.")
    if method in ("GET", "HEAD") and (not path or path.startswith((*_OPEN, *_QUIET))):
        return
    if path == "graphql" and method == "POST" and b"mutation" not in body[:2000].split(b"{", 2)[-1][:40]:
        return
    if path.startswith("ajax-api/"):
        try:
            asked = tracking.route(method, "/" + path.removeprefix("ajax-"))
        except MayflyError as error:
            raise Forbidden("PagesReadOnly", "These pages do not show that.") from error
        if not asked.writes:
            return
    raise Forbidden("PagesReadOnly", "These pages show what jobs logged, and change nothing.")
