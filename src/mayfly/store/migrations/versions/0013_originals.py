"""Who did a step's work is found directly, however many have its results since."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_jobs_reuse", "jobs")
    op.create_index("ix_jobs_reuse", "jobs", ["workspace", "reuse_key", "reused", "sequence"])
