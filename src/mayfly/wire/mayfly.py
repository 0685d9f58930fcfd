"""Mayfly's own doors, `/mayfly/v1`. Pydantic models: the server's OpenAPI is made from them; clients read plain JSON.

Every door needs `Authorization: Bearer <token>`. WS below stands for
`/mayfly/v1/subscriptions/{subscription}/resourceGroups/{group}/workspaces/{workspace}`.

  GET  /mayfly/v1/server                       ServerView
  POST /mayfly/v1/server/down                  DownAsk -> DownView
  POST /mayfly/v1/gc                           GarbageAsk -> GarbageView
  POST /mayfly/v1/environments/prune           PruneAsk -> PruneView
  GET  /mayfly/v1/workspaces                   list of WorkspaceView
  PUT  WS                                      -> WorkspaceView; made when it is not there
  GET  WS                                      WorkspaceView
  POST WS/jobs                                 Submission -> JobView (201; 200 when the same job was there)
  POST WS/jobs:validate                        Submission -> ValidationView
  POST WS/jobs:plan                            Submission -> PlanView
  POST WS/components                           Submission whose definition is {component: …} -> wire.assets.AssetView
  GET  WS/jobs?limit&after&state&which&parent       JobPage, newest first; `after` is the last name of the page before;
                                               `parent`: the steps of that pipeline, else jobs that are no steps
  GET  WS/jobs/{name}                          JobView
  GET  WS/jobs/{name}/explanation              ExplanationView
  POST WS/jobs/{name}/cancel                   CancelAsk -> JobView
  POST WS/jobs/{name}/retry                    RetryAsk -> JobView of another job (201)
  POST WS/jobs/{name}/archive|restore          JobView
  PATCH WS/jobs/{name}                         JobUpdate -> JobView
  GET  WS/jobs/{name}/stream?offsets           server-sent events, see below
  GET  WS/jobs/{name}/logs                     LogPage
  GET  WS/jobs/{name}/logs/{file}?offset       raw bytes of one log file (`file` may hold slashes)
  GET  WS/jobs/{name}/outputs                  list of OutputView
  POST WS/jobs/{name}/web                      -> WebLink
  GET  WS/jobs/{name}/metrics?after&limit&key  list of MetricView, in the order of arrival; page on after the last one
  GET  WS/sizes                                list of SizeView
  GET  WS/quotas                               list of QuotaView
  PUT  WS/quotas                               QuotaUpdate -> list of QuotaView
  GET  WS/usage                                list of UsageView
  POST WS/environments/builds                  EnvironmentBuild -> BuildView: make it now, also after a failure
  GET  WS/environments/builds/{digest}?offset  BuildView; the first eight letters of the hash are enough
  POST WS/content/missing                      {"digests": […]} -> {"missing": […]}
  POST WS/content/blobs                        packed blobs (transfer.packs) -> {"stored": n}
  POST WS/content/fetch                        {"digests": […]} -> packed blobs
  PUT/GET WS/content/trees/{digest}            Tree (JSON of wire.agent.Tree)

The stream's events (each `data:` is JSON):
  log    {"file": "user_logs/std_log.txt", "offset": 120, "next": 131, "text": "…"}   bytes that are not UTF-8 become
         U+FFFD; `next` is the offset after the text, for `text` cannot tell how many bytes it stands for
  job    JobView    whenever its status or phase changes, and first of all
  end    JobView    once it is terminal and every log byte was sent; the stream then closes
A client that comes back sends `offsets` (JSON object file → bytes it has) and misses nothing.

Every failure is a problem document: {"error": {"code", "message", "target", "remedy", "details": [the same, …]}};
`target` is a JSON pointer into the job file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool


class Shape(BaseModel):
    model_config = ConfigDict(extra="ignore")


FRESH = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,254})?$")
"""A name that who asks has made up; without one, the server makes it."""


class GitState(Shape):
    """Where the code came from, without credentials."""

    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    dirty: bool = False


class Submission(Shape):
    """A job file as a person wrote it, after `--set`, with what it points to already uploaded."""

    definition: dict[str, Any]
    uploads: dict[str, str] = Field(default_factory=dict)
    """JSON pointer into the definition (`/code`, `/inputs/data/path`) → digest of the uploaded tree."""
    files: list[str] = Field(default_factory=list)
    """Those pointers of `uploads` that name a single file rather than a folder."""
    source_name: str = ""
    """The job file's name, for people."""
    working_folder_name: str = "Default"
    """The default experiment (semantics §1.12)."""
    git: GitState | None = None
    only: str = ""
    """A step of the pipeline ('train', 'outer/train') that is to be run by itself."""
    inputs_from: str = ""
    """With `only`: the pipeline job whose steps made what the step reads of others."""
    name: str = FRESH
    """What the job is called where its definition has no name. Who sends it makes it up, so that the same request sent
    once more, because its answer was lost, is the same job."""


class RetryAsk(Shape):
    name: str = FRESH
    """The new job's, as a submission's."""


class Batch(Shape):
    """Many jobs in one call: all of them are accepted, or none."""

    jobs: list[Submission] = Field(min_length=1, max_length=10_000)


class BatchView(Shape):
    names: list[str]
    """Of the jobs, in the order of the submissions."""
    created: int
    """How many were not there before."""


class EnvironmentBuild(Shape):
    """One of the two: an environment as a job names it, or the hash of one that was wanted before."""

    environment: str | dict[str, Any] = ""
    digest: str = ""
    uploads: dict[str, str] = Field(default_factory=dict)
    """As in a submission: `/environment/build/path`."""


class BuildView(Shape):
    digest: str
    name: str
    state: str
    """wanted, ready, failed, dropped."""
    note: str = ""
    packages: list[str] = Field(default_factory=list)
    """What is in it, 'numpy==1.26.4'; empty for an image."""
    error: ProblemView | None = None
    text: str = ""
    """What was said, from the offset that was asked for."""
    next: int = 0
    waits: str = ""
    """Why it is not there yet, of an image that has to be built."""


class ServerView(Shape):
    version: str
    started_at: int
    state_folder: str
    database: str
    automatic: bool
    """Started by a command rather than by `up`; ends by itself when idle."""
    jobs: dict[str, int]
    """Status → count, terminal ones left out."""
    nodes: int
    isolation: str
    isolation_note: str = ""
    others: list[str] = []
    """Where the other servers of the same database are found."""


class DownAsk(Shape):
    mode: Literal["stop", "drain", "cancel-jobs"] = "stop"


class DownView(Shape):
    continuing: list[str]
    """Jobs whose processes go on without the server."""
    until: str
    """In words: for how long they may."""
    waits: bool = False
    """The server ends when these have ended."""
    taken_over: bool = False
    """Another server has the same database."""


class GarbageAsk(Shape):
    dry_run: StrictBool = False


class GarbageView(Shape):
    """What was given up, or (`dry_run`) what would be, without the content that only the jobs counted in `jobs` have."""

    dry_run: bool
    retention_days: int | None = None
    jobs: int = 0
    """Jobs whose outputs and logs are past `retention_days`."""
    log_bytes: int = 0
    files: int = 0
    """Contents that nothing names."""
    bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0


class PruneAsk(Shape):
    days: float = Field(default=30, ge=0, le=36_500)
    dry_run: StrictBool = False


class PruneView(Shape):
    """What was given up, or (`dry_run`) what would be."""

    dry_run: bool
    days: float
    locks: int = 0
    """Environments whose packages will be looked for anew when they are next named."""
    lock_bytes: int = 0
    kept_locks: int = 0
    environments: int = 0
    """Made environments in the caches of nodes."""
    trees: int = 0
    """Code and inputs in the caches of nodes."""
    bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0


class WorkspaceView(Shape):
    subscription: str
    resource_group: str
    name: str
    id: str
    created_at: int
    jobs: dict[str, int] = Field(default_factory=dict)
    """Status → count."""
    assets: dict[str, int] = Field(default_factory=dict)
    """Kind → how many names."""


class PhaseView(Shape):
    phase: str
    milliseconds: int
    open: bool = False
    cause: str = ""


class ProblemView(Shape):
    code: str
    message: str
    target: str | None = None
    remedy: str | None = None


class UseView(Shape):
    """What the job used of what it was given, over all ranks."""

    cpu_seconds: float
    cpu_percent: float
    """Of the cores it was given, while the command ran."""
    memory_peak_mib: float
    memory_given_mib: int
    disk_mib: float


class JobView(Shape):
    name: str
    id: str
    type: str = "command"
    display_name: str
    description: str | None = None
    experiment_name: str
    status: str
    """NotResponding when its node is silent; see `not_responding_since`."""
    status_reason: str = ""
    """Why it waits, runs here or ended, in one sentence."""
    phase: str
    phase_detail: str = ""
    """How far the phase is, in its node's words, while it prepares: 'data: 3 of 10 files, 1.2 GB of 4 GB'."""
    phases: list[PhaseView]
    error: ProblemView | None = None
    not_responding_since: int | None = None
    submitter: str
    created_at: int
    started_at: int | None = None
    ended_at: int | None = None
    compute: str
    instance_type: str | None = None
    instance_count: int = 1
    job_tier: str = "Standard"
    emulated: bool = False
    price_per_hour: float | None = None
    """Dollars, all nodes; 0 on this machine."""
    list_price_per_hour: float | None = None
    environment: str = ""
    environment_note: str = ""
    isolation: str = ""
    limits_enforced: list[str] = Field(default_factory=list)
    attempt: int = 0
    exit_codes: list[int] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    """Said at submit: unknown compute mapped to serverless, emulation, not yet enforced keys."""
    use: UseView | None = None
    outputs: list[OutputView] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)
    """Last value of each metric."""
    params: dict[str, str] = Field(default_factory=dict)
    run_id: str = ""
    archived: bool = False
    parent_job_name: str | None = None
    """The pipeline whose step it is."""
    step: str | None = None
    steps: list[StepView] = Field(default_factory=list)
    """Of a pipeline."""
    definition: dict[str, Any] = Field(default_factory=dict)


class StepView(Shape):
    """A step of a pipeline: a job once it has begun."""

    name: str
    status: str
    """As a job's; NotStarted before it, Skipped when it never will."""
    type: str = ""
    job: str | None = None
    needs: list[str] = Field(default_factory=list)
    """The steps it waits for."""
    phase: str = ""
    phase_detail: str = ""
    reason: str = ""
    """Why it ended, where it is not Completed."""
    milliseconds: int = 0
    reused: bool = False
    """It has the results of a job that did the same."""
    steps: list[StepView] = Field(default_factory=list)


class OutputView(Shape):
    name: str
    tree: str
    files: int
    bytes: int
    path: str = ""
    """Where it lies in the default datastore, as an azureml:// URI."""


class JobPage(Shape):
    jobs: list[JobView]
    more: bool


class ValidationView(Shape):
    notes: list[str]
    """What is accepted but not yet enforced, and what was mapped."""


class CandidateView(Shape):
    instance_type: str
    chosen: bool = False
    score: float | None = None
    factors: dict[str, float] = Field(default_factory=dict)
    reason: str | None = None
    """Why it was not chosen."""


class LedgerView(Shape):
    scope: str
    family: str
    tier: str
    limit: int
    held: int
    needed: int


class AdviceView(Shape):
    """The smallest change that would start the job now."""

    change: str
    """'node_count', 'instance_type', 'job_tier', 'quota', or 'none'."""
    sentence: str
    set: dict[str, Any] = Field(default_factory=dict)
    """As `--set` would take it, e.g. {"resources.instance_count": 1}."""


class PlanView(Shape):
    starts_now: bool
    sentence: str
    instance_type: str | None
    instance_count: int
    job_tier: str
    emulated: bool
    price_per_hour: float | None
    list_price_per_hour: float | None
    candidates: list[CandidateView]
    quota: list[LedgerView]
    capacity_total: int
    capacity_held: int
    capacity_needed: int
    place_in_queue: int
    advice: AdviceView | None = None
    notes: list[str] = Field(default_factory=list)


class ExplanationView(Shape):
    name: str
    status: str
    sentence: str
    """Why it waits, or why it was placed as it is."""
    error: ProblemView | None = None
    """Why it ended as it did, when not Completed."""
    missing: str | None = None
    candidates: list[CandidateView]
    phases: list[PhaseView]
    quota: list[LedgerView] = Field(default_factory=list)
    capacity_total: int = 0
    capacity_held: int = 0
    place_in_queue: int | None = None
    advice: AdviceView | None = None
    events: list[EventView] = Field(default_factory=list)


class EventView(Shape):
    sequence: int
    at: int
    type: str
    text: str


class CancelAsk(Shape):
    reason: str = ""


class JobUpdate(Shape):
    """Labels; None leaves them as they are, and takes a tag or a property away."""

    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    properties: dict[str, str | None] = Field(default_factory=dict)


class LogView(Shape):
    file: str
    size: int
    sealed: bool


class LogPage(Shape):
    logs: list[LogView]


class MetricView(Shape):
    key: str
    value: float
    step: int
    timestamp: int
    sequence: int
    """Rises with arrival: what to ask `after`."""


class WebLink(Shape):
    url: str
    """Opens the job's page in MLflow, signed in: once, and for ten minutes."""


class SizeView(Shape):
    name: str
    family: str
    vcpus: int
    memory_gib: float
    disk_gib: float
    gpus: int
    gpu_model: str | None
    standard_usd_per_hour: float | None
    spot_usd_per_hour: float | None
    price_source: str
    own: bool
    retired: bool
    available: bool
    """Whether quota and fleet would take one node of it now or when others end."""
    note: str = ""


class QuotaView(Shape):
    scope: str
    family: str
    tier: str
    limit: int
    held: int
    default: bool


class QuotaUpdate(Shape):
    family: str
    limit: int = Field(ge=0)
    tier: Literal["Standard", "Spot"] = "Standard"
    scope: Literal["subscription", "workspace"] = "subscription"


class UsageView(Shape):
    name: str
    """'Serverless', with the family beside it (semantics §7)."""
    family: str
    tier: str
    held: int
    limit: int
    jobs: int


JobView.model_rebuild()
StepView.model_rebuild()
ExplanationView.model_rebuild()
