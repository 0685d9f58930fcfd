"""The newest jobs of a state, and the jobs that wait in another phase than their class, without a look at all the others."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_state", "jobs", ["workspace", "state", "sequence"])
    waiting = sa.text("state = 'Queued'")
    op.create_index(
        "ix_jobs_waiting", "jobs", ["class_key", "phase", "state"], sqlite_where=waiting, postgresql_where=waiting
    )
