"""Alembic's environment: the connection is handed in by `quaestor.doors.postgres.migrate`."""

from alembic import context

from quaestor.doors.postgres.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, include_schemas=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
