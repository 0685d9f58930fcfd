"""Journals of tracking calls, and what MLflow has still to be told"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_feed")),
    )

    with op.batch_alter_table("feed", schema=None) as batch_op:
        batch_op.create_index("ix_feed_job", ["job", "sequence"], unique=False)

    op.create_table(
        "journals",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "attempt", "rank", name=op.f("pk_journals")),
    )
    op.execute(  # the same point twice
        "DELETE FROM metrics WHERE value IS NOT NULL AND sequence NOT IN"
        ' (SELECT min(sequence) FROM metrics GROUP BY job, "key", step, "timestamp", value)'
    )

    with op.batch_alter_table("metrics", schema=None) as batch_op:
        batch_op.create_index("ix_metrics_page", ["job", "sequence"], unique=False)
        batch_op.create_index("ix_metrics_point", ["job", "key", "step", "timestamp", "value"], unique=True)
