"""The rows. Every table is keyed by workspace id where users own it; names of subscriptions and groups stand only in
`workspaces`. What differs between databases is in `store.dialect`; how a table came to be, in `store/migrations`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Sequence = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only on INTEGER PRIMARY KEY."""

Letters = String(1024).with_variant(String(1024, collation="C"), "postgresql")
"""Ordered by its letters alone, in every database."""

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscription", String(255), nullable=False),
    Column("resource_group", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("subscription", "resource_group", "name"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("workspace", String(40), ForeignKey("workspaces.id"), nullable=False),
    Column("subscription", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(32), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("description", Text),
    Column("experiment", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("archived", Boolean, nullable=False, default=False),
    Column("submitter", String(255), nullable=False),
    Column("definition_digest", String(64), nullable=False),
    Column("body", Text, nullable=False),  # the submission, verbatim
    Column("spec", Text, nullable=False),  # the normalised definition
    Column("work", Text, nullable=False),  # what a rank will be told: commands, inputs, outputs, distribution
    Column("notes", Text, nullable=False),
    Column("request", Text, nullable=False),  # domain.ResourceRequest
    Column("class_key", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("environment", String(64), nullable=False),  # environments.digest
    Column("run", String(32), nullable=False, unique=True),
    # what `domain.life.step` decides
    Column("state", String(20), nullable=False),
    Column("phase", String(20), nullable=False),
    Column("phase_since", BigInteger, nullable=False),
    Column("phases", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("ranks", Text, nullable=False),
    Column("node_count", Integer, nullable=False),
    Column("retries_left", Integer, nullable=False),
    Column("cause", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("suspected_since", BigInteger),
    Column("explanation", Text),  # why this size and here, once placed
    Column("revision", Integer, nullable=False, default=0),
    Column("tidy", Boolean, nullable=False, default=False),  # what follows its end has been done
    Column("parent", String(40)),  # the job whose child it is
    Column("root", String(40)),  # the outermost of its parents
    Column("step", String(255)),  # what its parent calls it
    Column("reuse_key", String(64)),  # who has the same does the same
    Column("reuse_parts", Text),  # what the key is made of
    Column("reused", String(40)),  # the job whose results it has
    UniqueConstraint("workspace", "name"),
    Index("ix_jobs_queue", "state", "class_key", "sequence"),
    Index("ix_jobs_page", "workspace", "sequence"),
    Index("ix_jobs_type", "type", "state"),
    Index("ix_jobs_state", "workspace", "state", "sequence"),
)
QUEUED = jobs.c.state == literal_column("'Queued'")
"""Said in so many words, so that the database finds the index of these rows alone."""
UNTIDY = and_(jobs.c.ended_at.is_not(None), jobs.c.tidy.is_(False))


def _of_some(name: str, *columns: Column, where: ColumnElement[bool]) -> None:
    """An index of the rows that it is for: to all others it is no write."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


_of_some("ix_jobs_waiting", jobs.c.class_key, jobs.c.phase, jobs.c.state, where=QUEUED)
_of_some("ix_jobs_untidy", jobs.c.tidy, jobs.c.ended_at, where=UNTIDY)
_of_some("ix_jobs_ended", jobs.c.ended_at, where=jobs.c.ended_at.is_not(None))
_of_some("ix_jobs_parent", jobs.c.parent, jobs.c.step, where=jobs.c.parent.is_not(None))
_of_some(
    "ix_jobs_reuse",
    jobs.c.workspace,
    jobs.c.reuse_key,
    jobs.c.reused,
    jobs.c.sequence,
    where=jobs.c.reuse_key.is_not(None),
)

class_waits = Table(  # why a class waits, written anew only when the reason changes
    "class_waits",
    metadata,
    Column("class_key", Text, primary_key=True),
    Column("explanation", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", String(40), ForeignKey("jobs.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("placement", Text, nullable=False),
    Column("state", String(12), nullable=False),  # live, fenced, released
    Column("go", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("released_at", BigInteger),
    PrimaryKeyConstraint("job", "attempt"),
    Index("ix_attempts_state", "state"),
)

ranks = Table(
    "ranks",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("node", String(40), nullable=False),
    Column("released", Boolean, nullable=False, default=False),
    Column("address", String(255)),
    Column("ports", Text),
    Column("isolation", String(32)),
    Column("limits", Text),
    Column("exits", Text),
    Column("sample", Text),
    Column("late", Text),  # evidence that came after a terminal state: it revises nothing
    PrimaryKeyConstraint("job", "attempt", "rank"),
    Index("ix_ranks_node", "node", "released"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("group_id", String(40), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("instance_type", String(64), nullable=False),
    Column("amount", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("state_since", BigInteger, nullable=False),
    Column("idle_since", BigInteger),
    Column("hello", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Index("ix_nodes_state", "state"),
)

ledgers = Table(
    "ledgers",
    metadata,
    Column("scope", String(300), nullable=False),
    Column("family", String(64), nullable=False),
    Column("tier", String(12), nullable=False),
    Column("limit", BigInteger),  # NULL: no limit of its own; what is held is counted all the same
    Column("held", BigInteger, nullable=False),
    Column("set_by_user", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("scope", "family", "tier"),
)

capacity = Table(
    "capacity",
    metadata,
    Column("provider", String(32), primary_key=True),
    Column("cores", BigInteger, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("cores_held", BigInteger, nullable=False),
    Column("memory_held", BigInteger, nullable=False),
)

gpus = Table(
    "gpus",
    metadata,
    Column("provider", String(32), nullable=False),
    Column("uuid", String(80), nullable=False),
    Column("job", String(40)),
    Column("attempt", Integer),
    PrimaryKeyConstraint("provider", "uuid"),
)

holds = Table(  # what each attempt holds of which ledger; a ledger's `held` is the sum of its rows here (promise 6)
    "holds",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("scope", String(300), nullable=False),  # 'capacity:<provider>' for real cores
    Column("family", String(64), nullable=False),
    Column("tier", String(12), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("memory_mib", BigInteger, nullable=False, default=0),
    PrimaryKeyConstraint("job", "attempt", "scope", "family", "tier"),
)

environments = Table(
    "environments",
    metadata,
    Column("digest", String(64), primary_key=True),  # of the definition and the platform
    Column("definition", Text, nullable=False),
    Column(
        "state", String(12), nullable=False
    ),  # wanted, ready, failed, dropped (nobody waits for it), stale (its lock)
    Column("plan", Text),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("kind", String(12), nullable=False, server_default="packages"),  # packages, image, build
    Column("asked", Boolean, nullable=False, server_default=false()),  # for itself, not by a job that waits
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("used_at", BigInteger, nullable=False, server_default="0"),
    Column("owner", Text),  # whose quota its build holds
    Column("placement", Text),  # what its build holds now
)

outputs = Table(
    "outputs",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("name", String(255), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("job", "attempt", "rank", "name"),
)

checkpoints = Table(  # what a running attempt has in its outputs; the next one begins with it
    "checkpoints",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("name", String(255), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("job", "attempt", "rank", "name"),
)

logs = Table(
    "logs",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("node", String(40), nullable=False),
    Column("file", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sealed", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("job", "attempt", "rank", "file"),
)

runs = Table(  # our run id and the MLflow server's; they differ only for a job's own run
    "runs",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("mlflow_run", String(32), nullable=False, unique=True),
    Column("job", String(40), nullable=False),
    Column("role", String(12), nullable=False),
    Index("ix_runs_job", "job"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", String(255), nullable=False),
    Column("value", Float),  # NULL is not-a-number
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Index("ix_metrics_job", "job", "key", "sequence"),
    Index("ix_metrics_page", "job", "sequence"),
    # as in MLflow, these name a point: what is told twice is one (but for NULLs, which differ from each other)
    Index("ix_metrics_point", "job", "key", "step", "timestamp", "value", unique=True),
)

journals = Table(  # how far the journal of a rank's tracking calls is kept
    "journals",
    metadata,
    Column("job", String(40), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("job", "attempt", "rank"),
)

feed = Table(  # what MLflow has still to be told, in order
    "feed",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("job", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_feed_job", "job", "sequence"),
)

labels = Table(  # params and tags of a job's run
    "labels",
    metadata,
    Column("job", String(40), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("key", String(255), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("job", "kind", "key"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("workspace", String(40)),
    Column("thing", String(40), nullable=False),
    Column("type", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("ix_events_thing", "thing", "sequence"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", BigInteger, nullable=False),
)

assets = Table(  # one version of a data, model, environment or component asset
    "assets",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("workspace", String(40), ForeignKey("workspaces.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("version", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("digest", String(64), nullable=False),  # of the definition: the same version registered again is the same
    Column("body", Text, nullable=False),  # description, tags, properties, and what its kind has of its own
    Column("place", Text),  # where its content lies, as an address that jobs can be given
    Column("tree", String(64)),  # its content, where Mayfly holds it
    Column("is_file", Boolean, nullable=False, default=False),
    Column("job", String(40)),  # the job that made it
    Column("archived", Boolean, nullable=False, default=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("workspace", "kind", "name", "version"),
    Index("ix_assets_latest", "workspace", "kind", "name", "sequence"),
)

asset_names = Table(  # what all versions of an asset share
    "asset_names",
    metadata,
    Column("workspace", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("next_version", BigInteger, nullable=False),
    Column("archived", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("workspace", "kind", "name"),
)

datastores = Table(
    "datastores",
    metadata,
    Column("workspace", String(40), ForeignKey("workspaces.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("secret", Text),  # its credentials, encrypted
    Column("is_default", Boolean, nullable=False, default=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "name"),
)

placements = (
    Table(  # what lies in a datastore of Mayfly's own: a path and the tree there; a newer row hides an older one
        "placements",
        metadata,
        Column("sequence", Sequence, primary_key=True, autoincrement=True),
        Column("workspace", String(40), nullable=False),
        Column("datastore", String(255), nullable=False),
        Column("path", String(1024), nullable=False),  # without slashes at its ends
        Column("tree", String(64), nullable=False),
        Column("is_file", Boolean, nullable=False, default=False),  # the tree's one file lies at `path` itself
        Column("job", String(40)),
        Column("attempt", Integer),
        Column("created_at", BigInteger, nullable=False),
        Index("ix_placements_path", "workspace", "datastore", "path"),
        Index("ix_placements_job", "job"),
    )
)

blobs = Table(  # what was written to or removed from a datastore of Mayfly's own one by one
    "blobs",
    metadata,
    Column("workspace", String(40), nullable=False),
    Column("datastore", String(255), nullable=False),
    Column("path", Letters, nullable=False),
    Column("digest", String(64)),  # NULL: removed, where a placement still has it
    Column("size", BigInteger, nullable=False),
    Column("after", BigInteger, nullable=False),  # the newest placement over its path then; a newer one hides the row
    Column("etag", String(64), nullable=False),
    Column("headers", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("blocks", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "datastore", "path"),
)

codes = Table(  # code that the SDK's users sent, as a version of a name; never changed
    "codes",
    metadata,
    Column("workspace", String(40), nullable=False),
    Column("name", String(255), nullable=False),
    Column("version", String(64), nullable=False),
    Column("hash", String(64), nullable=False),  # as the SDK makes it of a folder, found out here
    Column("tree", String(64), nullable=False),
    Column("datastore", String(255), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("body", Text, nullable=False),  # what was said of it, verbatim
    Column("created_by", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "name", "version"),
    Index("ix_codes_hash", "workspace", "hash"),
)

lineage = Table(  # what a job read and wrote
    "lineage",
    metadata,
    Column("workspace", String(40), nullable=False),
    Column("job", String(40), nullable=False),
    Column("direction", String(8), nullable=False),  # input, output
    Column("name", String(255), nullable=False),
    Column("kind", String(16)),  # of the asset, where it is one
    Column("asset", String(255)),
    Column("version", String(64)),
    Column("reference", Text, nullable=False),
    Column("tree", String(64)),
    PrimaryKeyConstraint("job", "direction", "name"),
    Index("ix_lineage_asset", "workspace", "kind", "asset", "version"),
)

azure_bodies = Table(  # what Azure's doors were told of a thing, verbatim; of some things it is all there is
    "azure_bodies",
    metadata,
    Column("workspace", String(40), nullable=False),
    Column("collection", String(16), nullable=False),  # as in the address: jobs, environments, schedules, …
    Column("name", String(255), nullable=False),
    Column("version", String(64), nullable=False),  # '' where there are none
    Column("body", Text, nullable=False),
    Column("deleted", Boolean, nullable=False, default=False),  # a job's name stays taken
    Column("created_by", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "collection", "name", "version"),
)
