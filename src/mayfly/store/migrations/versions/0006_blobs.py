"""Blobs of Mayfly's own datastores, one by one"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    letters = sa.String(length=1024).with_variant(postgresql.VARCHAR(1024, collation="C"), "postgresql")
    op.create_table(
        "blobs",
        sa.Column("workspace", sa.String(length=40), nullable=False),
        sa.Column("datastore", sa.String(length=255), nullable=False),
        sa.Column("path", letters, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "datastore", "path", name=op.f("pk_blobs")),
    )
