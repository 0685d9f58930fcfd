"""Jobs that are children of others"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent", sa.String(length=40), nullable=True))
    op.add_column("jobs", sa.Column("root", sa.String(length=40), nullable=True))
    op.add_column("jobs", sa.Column("step", sa.String(length=255), nullable=True))
    op.create_index("ix_jobs_parent", "jobs", ["parent", "step"])
    op.create_index("ix_jobs_type", "jobs", ["type", "state"])
