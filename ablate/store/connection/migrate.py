"""Creates the schema, or brings an older one up to date: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text

from ablate.store.connection.address import is_sqlite, shown
from ablate.store.connection.contents import refuse_other_contents
from ablate.store.connection.known_schema import (
    ENTRIES,
    Entry,
    entries_of,
    refuse_other_schema,
    refuse_what_acts,
)
from ablate.store.connection.postgres import take_turns
from ablate.store.connection.revisions import (
    HEAD,
    VERSION_TABLE,
    refuse_newer,
    refuse_older,
    refuse_others,
)
from ablate.store.connection.sqlite import WRITE, back_up, trust
from ablate.store.views import VIEWS, create_views, drop_views


def check_and_migrate(engine: Engine, *, create: bool) -> None:
    """Refuse what is not ours; with `create` make the schema, or upgrade an older one.

    An SQLite file is copied first. The upgrade is one transaction, whose end is its only visible
    moment: wherever it is cut off, the database is as it was before.

    Raises:
        DatabaseError: not ours, newer, or older and `create` is not set. It is left as it was.
    """
    _check_and_migrate(engine, create=create)
    if is_sqlite(engine.url):
        trust(engine)


def _check_and_migrate(engine: Engine, *, create: bool) -> None:
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
            refuse_other_contents(path, name)
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
    entries = _entries(connection)
    if entries:
        refuse_what_acts(name, entries)
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    refuse_newer(name, revision)
    if entries:
        _refuse_others(name, entries, revision)
    return revision


def _entries(connection: Connection) -> dict[Entry, str]:
    """What an SQLite file is made of; nothing of a server, whose administrator sees to that."""
    if connection.dialect.name != "sqlite":
        return {}
    return entries_of(tuple(row) for row in connection.execute(text(ENTRIES)))


def _refuse_others(name: str, entries: dict[Entry, str], revision: str | None) -> None:
    """Views of an older revision, whose text this version does not know, are removed unread."""
    if revision is None or revision == HEAD:
        refuse_other_schema(name, entries)
        return
    known = {entry: sql for entry, sql in entries.items() if entry not in _VIEWS}
    refuse_other_schema(name, known, _older(revision))


_VIEWS = {("view", view) for view in VIEWS}


def _older(revision: str) -> dict[Entry, str]:
    """What the migrations make up to a revision."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection, revision)
        return _entries(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision, in the transaction of the connection.

    Views are those of this version, so only the newest revision has them.
    """
    # Here, not above: alembic takes a while to import and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.attributes["connection"] = connection
    drop_views(connection)
    command.upgrade(config, revision)
    if revision == "head":
        create_views(connection)
