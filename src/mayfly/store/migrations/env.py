"""Runs migrations on the connection that `store.schema.upgrade` hands in."""

from alembic import context

from mayfly.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
