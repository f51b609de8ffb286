"""What statements on any table need: keys that exist already, many keys at once, texts that are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    bindparam,
    cast,
    func,
    or_,
)
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from ablate.study.own_code import Sources


def add_missing(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are new; the others stay as they are."""
    listed = list(rows)
    if listed:
        connection.execute(_upsert(connection, table).on_conflict_do_nothing(), listed)


def put(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows of the same columns, each in place of one with the same key."""
    listed = [dict(row) for row in rows]
    if listed:
        statement = _upsert(connection, table)
        keys = [column.name for column in table.primary_key]
        rest = {name: statement.excluded[name] for name in listed[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), listed)


def _upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say what happens to keys that exist; each kind of database has its own."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)


def chunks(keys: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """Pieces that fit into one statement's list of parameters."""
    return (keys[i : i + size] for i in range(0, len(keys), size))


def listed_keys(dialect: str) -> Any:
    """The parameter `keys` as a table of (key, value): place and run."""
    keys = bindparam("keys", type_=JSON)
    if dialect == "postgresql":
        listed = func.json_array_elements_text(keys)
        return listed.table_valued("value", with_ordinality="key").render_derived()
    return func.json_each(keys).table_valued("key", "value")


def of_other_code(recipe: Column[Any], sources: Sources) -> ColumnElement[bool]:
    """Whether runs with this recipe were trained or measured by other functions of the user's than those of
    these hashes, or by some where there are none now: they are no runs of that study.
    """
    from ablate.study.own_code import SOURCES

    text = cast(recipe, Text)
    return or_(
        *(
            ~text.contains(sources[key])
            if key in sources
            else text.contains(f'"{key}"', autoescape=True)
            for key in SOURCES
        )
    )


def storable(text: str | None) -> str | None:
    """A text that every database takes: no lone surrogates, and no NUL, which PostgreSQL refuses."""
    if text is None:
        return None
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
