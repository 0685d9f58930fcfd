"""The agent protocol, versions N and N-1. msgspec, because a node installs light and starts fast.

The server tells a node what it *wishes* (level-triggered: the whole of it, every time, under a rising `version`), the
agent reports *facts* that are already on its disk. Both may be repeated, late or reordered without harm: a report
names its fence (store epoch, attempt) and the server applies it through `domain.life.step`, which ignores what is stale.

Doors (all with `Authorization: Bearer <node token>`, below `/agent/v1`):
  POST /hello    Hello      -> Welcome
  POST /wishes   WishesAsk  -> Wishes   long poll; answers at once when its version is newer than `seen`
  POST /reports  Reports    -> Wishes   applied in order in one unit of work; durable when answered
  POST /logs?job&attempt&epoch&rank&file&offset   raw bytes -> LogAck   file: 'user_logs/std_log.txt', …
  POST /tracking?job&attempt&epoch&rank&offset    lines of JSON, each a wire.journal.Entry -> JournalAck
  GET  /content/trees/{digest} -> Tree (JSON)          the file list of a snapshot or input
  POST /content/missing {"digests": […]} -> {"missing": […]}
  POST /content/fetch   {"digests": […]} -> packed blobs (transfer.packs)
  POST /content/blobs   packed blobs -> {"stored": n}
  PUT  /content/trees/{digest}  Tree
  POST /data/list       DataAsk -> DataListing         what lies behind an input that Mayfly does not hold itself
  GET  /data/read?job&attempt&epoch&input&path&offset&length&version[&address]   raw bytes; 409 when it has changed
  POST /outputs/publish Publish -> {}                  put a collected output where it belongs outside; repeatable
  GET  /identity?resource[&client_id]  with `Mayfly-Attempt: <job>/<attempt>`  an access token of the job's identity
  ANY  /mlflow/…  with `Mayfly-Attempt: <job>/<attempt>`  the tracking door behind the gateway
"""

from __future__ import annotations

import msgspec

from mayfly.wire.learning import learn

PROTOCOL = 1
SUPPORTED = (1,)


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Unknown fields are ignored, missing ones take their default: that is how N-1 is spoken."""


class Fence(Struct, frozen=True, kw_only=True):
    job: str
    attempt: int
    epoch: int


class Hello(Struct, frozen=True, kw_only=True):
    node: str
    protocols: tuple[int, ...]
    version: str
    boot_id: str
    address: str
    """Where other nodes of a gang reach this one."""
    isolation: str
    """'namespaces', 'bubblewrap', 'uid' or 'none': what a job of this node would get."""
    limits: tuple[str, ...] = ()
    """Which limits hold here: 'cpu', 'memory', 'pids', 'kill'."""
    attempts: tuple[Fence, ...] = ()
    """What the agent has found on its disk."""


class Welcome(Struct, frozen=True, kw_only=True):
    protocol: int
    epoch: int
    heartbeat_s: float
    """How often at least the agent must call."""
    orphan_s: float | None
    """End yourself after this long without contact; None: never while a job's process lives."""


class WishesAsk(Struct, frozen=True, kw_only=True):
    node: str
    seen: int = -1
    wait_s: float = 2.0


class Image(Struct, frozen=True, kw_only=True):
    """A container image on the node's machine, whose files a job sees in place of the machine's own system."""

    id: str
    """SHA-256 (hex) of its configuration."""
    engine: str
    """The program that has it: 'podman' or 'docker'."""


class EnvironmentPlan(Struct, frozen=True, kw_only=True):
    """What to materialise. A node caches by its hash, which covers exactly `python`, `lock` and `variables`, or is the id
    of the image."""

    digest: str
    """'' when the job needs nothing but an interpreter."""
    name: str
    """For people: 'sklearn-1.5', 'library/python:latest', 'inline'."""
    python: str
    """Path of the interpreter on nodes that share the server's machine."""
    python_version: str
    lock: str | None = None
    """A uv requirements lock with hashes; None: no packages beyond the interpreter's own."""
    variables: dict[str, str] = {}
    note: str = ""
    image: Image | None = None
    """Then there is neither an interpreter nor a lock."""


class DataInput(Struct, frozen=True, kw_only=True):
    name: str
    tree: str = ""
    """Digest of its tree where Mayfly holds the content; a single file is a tree with one entry. '' when it lies
    elsewhere: then `/data/list` and `/data/read` give it."""
    is_file: bool = False
    mode: str = "ro_mount"
    type: str = "uri_folder"
    address: str = ""
    """Where it lies, as people name it; in mode `direct` this is all that the command gets."""


class DataAsk(Struct, frozen=True, kw_only=True):
    fence: Fence
    input: str
    address: str = ""
    """A place that the input's MLTable names, when it lies outside the input itself; '' is the input's own."""


class DataEntry(Struct, frozen=True, kw_only=True):
    path: str
    """Relative, '/'-separated; the file's own name where the input is a single file."""
    size: int
    version: str
    """Changes with the bytes (an ETag, or size and time)."""


class DataListing(Struct, frozen=True, kw_only=True):
    entries: tuple[DataEntry, ...]
    """Sorted by path."""


class NamedOutput(Struct, frozen=True, kw_only=True):
    name: str
    is_file: bool = False
    mode: str = "rw_mount"
    type: str = "uri_folder"
    file_name: str = ""
    """A single file's own name; '' is the output's name."""
    address: str = ""
    """Where it will lie, as people name it; in mode `direct` this is all that the command gets."""
    outside: bool = False
    """It belongs in storage that is not Mayfly's: `/outputs/publish` puts it there before Collected is reported."""


class Publish(Struct, frozen=True, kw_only=True):
    fence: Fence
    rank: int
    name: str
    tree: str


class Distribution(Struct, frozen=True, kw_only=True):
    kind: str = "none"
    """none, pytorch, tensorflow."""
    processes: int = 1
    """Processes on each node (pytorch)."""
    workers: int = 0
    parameter_servers: int = 0


class Limits(Struct, frozen=True, kw_only=True):
    cores: int
    memory_mib: int
    gpus: tuple[str, ...] = ()
    timeout_s: float | None = None
    """limits.timeout: the whole run of the command, then the job is canceled (semantics §9)."""
    shm_mib: int = 2048
    log_mib: int = 10240
    pids: int = 4096


class Tracking(Struct, frozen=True, kw_only=True):
    run: str
    experiment: str
    experiment_id: str = "0"


class Assignment(Struct, frozen=True, kw_only=True):
    """Everything a rank needs; it never changes for one fence."""

    fence: Fence
    token: str
    """Opens only this attempt."""
    name: str
    rank: int
    node_count: int
    instance_type: str
    command: str
    """A template: `${{inputs.x}}` and `${{outputs.x}}` are filled in by the node, which knows the paths."""
    code: str | None
    """Digest of the code tree; None: an empty folder."""
    environment: EnvironmentPlan
    literals: dict[str, str] = {}
    """Literal inputs as Azure renders them (semantics §1.10)."""
    inputs: tuple[DataInput, ...] = ()
    outputs: tuple[NamedOutput, ...] = ()
    variables: dict[str, str] = {}
    distribution: Distribution = Distribution()
    limits: Limits
    tracking: Tracking
    workspace: dict[str, str] = {}
    """subscription, resource_group, workspace: names for AZUREML_ARM_*."""
    restore: dict[str, str] = {}
    """Output name ('default' is ./outputs and ./logs) → the tree that the last attempt had left, to begin with."""


class Peer(Struct, frozen=True, kw_only=True):
    address: str
    ports: tuple[int, ...] = ()


class Go(Struct, frozen=True, kw_only=True):
    """The granted start: all ranks are ready. Given once, the same for every rank."""

    peers: tuple[Peer, ...]


class Wish(Struct, frozen=True, kw_only=True):
    """What should be true of one attempt on this node.

    `prepare`: materialise, then report Ready. `run`: start with `go` (once). `stop`: kill the tree, report the exit,
    collect, ship the log. `discard`: the fence is dead or all is settled: kill, delete everything, report Released.
    """

    fence: Fence
    action: str
    assignment: Assignment | None = None
    """None in `discard`."""
    go: Go | None = None
    stop_reason: str = ""
    """'cancel', 'timeout', 'peer' (another rank failed)."""


class Wishes(Struct, frozen=True, kw_only=True):
    version: int
    node: str = "keep"
    """keep; drain: take nothing new and end when empty; end: end now (only when it holds nothing)."""
    attempts: tuple[Wish, ...] = ()
    unknown: bool = False
    """The server does not know this node: end everything it has, then itself."""


class Report(Struct, frozen=True, tag_field="fact"):
    fence: Fence
    rank: int
    at: int
    """Milliseconds since 1970 by the node's clock, for people only."""


class PhaseEntered(Report, tag="phase", frozen=True, kw_only=True):
    phase: str
    """environment | inputs | start"""
    detail: str = ""


class Ready(Report, tag="ready", frozen=True, kw_only=True):
    address: str
    ports: tuple[int, ...] = ()
    """Free ports of this node: the first is the rendezvous, one more for each worker or parameter server."""
    note: str = ""
    """What a person should know of how it was prepared."""


class Started(Report, tag="started", frozen=True, kw_only=True):
    pids: tuple[int, ...]
    isolation: str
    limits: tuple[str, ...] = ()
    note: str = ""
    """Whether its start was prepared, where there is something to say of it."""


class ProcessExit(Struct, frozen=True, kw_only=True):
    process: int
    code: int
    """Exit status; 128 + n for signal n."""
    oom: bool = False


class Exited(Report, tag="exited", frozen=True, kw_only=True):
    exits: tuple[ProcessExit, ...]
    before_stop: bool = True
    """The records are older than the agent's receipt of a stop."""
    timed_out: bool = False
    lost: str = ""
    """Not empty: a supervisor died without leaving a record; the exit status is unknown and this says why."""
    lost_code: str = ""
    """A code of its own for `lost`: 'SandboxFailed' when the command never ran, 'NodeFault' when the agent failed, 'NodeLost'
    when the node ended it because it had no contact to the server for too long."""


class PreparationFailed(Report, tag="unprepared", frozen=True, kw_only=True):
    code: str
    message: str
    remedy: str = ""


class OutputManifest(Struct, frozen=True, kw_only=True):
    name: str
    """'default' is the artifact root (outputs/, logs/, user_logs/)."""
    tree: str
    files: int
    bytes: int


class Checkpointed(Report, tag="checkpointed", frozen=True, kw_only=True):
    """What lies in the outputs of an attempt that still runs; the next attempt begins with it if this one is lost."""

    outputs: tuple[OutputManifest, ...]


class Collected(Report, tag="collected", frozen=True, kw_only=True):
    """Sent after every byte of the logs and of the journal was acknowledged."""

    outputs: tuple[OutputManifest, ...] = ()
    logs: dict[str, int] = {}
    """Log file name → its size in bytes."""
    code: str = ""
    """Not empty: collecting failed; then `message` says what is missing."""
    message: str = ""


class Released(Report, tag="released", frozen=True, kw_only=True):
    pass


class Sample(Report, tag="sample", frozen=True, kw_only=True):
    """Use since the last sample; the newest of an attempt is its total."""

    cpu_s: float
    memory_mib: float
    memory_peak_mib: float
    disk_mib: float
    wall_s: float


AnyReport = PhaseEntered | Ready | Started | Exited | PreparationFailed | Checkpointed | Collected | Released | Sample


class Reports(Struct, frozen=True, kw_only=True):
    node: str
    reports: tuple[AnyReport, ...]
    seen: int = -1


class LogAck(Struct, frozen=True, kw_only=True):
    offset: int
    """Bytes the server has; the agent sends on from here."""


class JournalAck(Struct, frozen=True, kw_only=True):
    offset: int
    """Bytes of the rank's journal that the server has published; the agent sends on from here."""


class TreeEntry(Struct, frozen=True, kw_only=True, gc=False):
    path: str
    """Relative, '/'-separated, no '..', sorted by code point in a tree."""
    digest: str
    size: int
    executable: bool = False


class Tree(Struct, frozen=True, kw_only=True):
    """A folder by content. Its digest is SHA-256 over its canonical JSON (transfer.trees)."""

    entries: tuple[TreeEntry, ...]


learn(*(one for one in list(vars().values()) if isinstance(one, type) and issubclass(one, Struct)))
