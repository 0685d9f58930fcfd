"""Environments that were asked for by themselves, how often they were tried, and when they were last used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(length=12), server_default="packages", nullable=False))
        batch_op.add_column(sa.Column("asked", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("used_at", sa.BigInteger(), server_default="0", nullable=False))
