"""Indexes of jobs that have ended, are children or may be reused hold those alone: accepting any other writes four pages less."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("tidy", "ended", "parent", "reuse"):
        op.drop_index(f"ix_jobs_{name}", "jobs")
    _of_some("ix_jobs_untidy", ["tidy", "ended_at"], "ended_at IS NOT NULL AND tidy IS {no}")
    _of_some("ix_jobs_ended", ["ended_at"], "ended_at IS NOT NULL")
    _of_some("ix_jobs_parent", ["parent", "step"], "parent IS NOT NULL")
    _of_some("ix_jobs_reuse", ["workspace", "reuse_key", "reused", "sequence"], "reuse_key IS NOT NULL")


def _of_some(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        "jobs",
        columns,
        sqlite_where=sa.text(where.format(no="0")),
        postgresql_where=sa.text(where.format(no="false")),
    )
