"""In which context of its study a row of an export is: the views say it by the setting's hash alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from ablate.store.schema import studies
from ablate.store.transfer.values import Row, Sheet
from ablate.system.messages.context import context_name

COLUMN = "context"
WHICH = ("study", "dataset_hash", "setting")
"""Together they are one context of a study."""

Contexts = Mapping[tuple[Any, ...], str]


def contexts_in(connection: Connection) -> Contexts:
    """The name of each context, as reports have it; empty where no study has several."""
    rows = connection.execute(select(*(studies.c[name] for name in WHICH), studies.c.definition))
    named = {tuple(which): definition.get("context") for *which, definition in rows}
    return {which: context_name(tuple(found.items())) for which, found in named.items() if found}


def with_contexts(sheet: Sheet, contexts: Contexts) -> Sheet:
    """A view with that column behind its own, where there are contexts and it says of which its rows are."""
    if not contexts or not set(WHICH) <= sheet.columns.keys():
        return sheet
    return Sheet(sheet.name, {**sheet.columns, COLUMN: "text"})


def placed(rows: Iterable[RowMapping], contexts: Contexts) -> Iterator[Row]:
    """Rows with their context; NULL in a study that has one alone."""
    for row in rows:
        yield {**row, COLUMN: contexts.get(tuple(row[name] for name in WHICH))}
