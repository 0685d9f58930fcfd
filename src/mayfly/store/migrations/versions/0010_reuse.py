"""Jobs whose results others may have"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reuse_key", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("reuse_parts", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("reused", sa.String(length=40), nullable=True))
    op.create_index("ix_jobs_reuse", "jobs", ["workspace", "reuse_key"])
