"""Creates the schema, or brings an older one up to date: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from ablate.store.address import is_sqlite, shown
from ablate.store.postgres import take_turns
from ablate.store.revisions import (
    HEAD,
    VERSION_TABLE,
    refuse_newer,
    refuse_older,
    refuse_others,
)
from ablate.store.sqlite import WRITE, back_up
from ablate.store.views import create_views, drop_views


def check_and_migrate(engine: Engine, *, create: bool) -> None:
    """Refuse what is not ours; with `create` make the schema, or upgrade an older one.

    An SQLite file is copied first. The upgrade is one transaction, whose end is its only visible
    moment: wherever it is cut off, the database is as it was before.

    Raises:
        DatabaseError: not ours, newer, or older and `create` is not set. It is left as it was.
    """
    name = shown(engine.url)
    with engine.connect() as connection:
        revision = _revision(connection, name)
    if revision == HEAD:
        return
    if not create:
        refuse_older(name, revision)
    with engine.execution_options(**{WRITE: True}).begin() as connection:
        take_turns(connection)
        revision = _revision(connection, name)
        if revision == HEAD:
            return  # somebody else was faster
        if revision is not None and is_sqlite(engine.url):
            path = Path(str(engine.url.database))
            back_up(path, backup_path(path))
        upgrade(connection)


def backup_path(path: Path) -> Path:
    """Where an SQLite file is copied to before it is upgraded to this version's schema."""
    return path.with_name(f"{path.name}.before-{HEAD}.bak")


def table_names(engine: Engine) -> set[str]:
    """The tables that are there, whoever made them."""
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def _revision(connection: Connection, name: str) -> str | None:
    """The database's revision, None for an empty one.

    Raises:
        DatabaseError: somebody else's tables, or a revision that this version does not know.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    refuse_others(name, tables)
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    refuse_newer(name, revision)
    return revision


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision, in the transaction of the connection.

    Views are those of this version, so only the newest revision has them.
    """
    # Here, not above: alembic takes a while to import and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    drop_views(connection)
    command.upgrade(config, revision)
    if revision == "head":
        create_views(connection)
