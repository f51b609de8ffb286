"""Alembic's entry: always on a connection that the store has opened and locked."""

from __future__ import annotations

from alembic import context

from ablate.store.connection.revisions import VERSION_TABLE
from ablate.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
