"""Whose quota an environment's build holds, and what it was placed with while it does."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("owner", sa.Text()))
        batch_op.add_column(sa.Column("placement", sa.Text()))
