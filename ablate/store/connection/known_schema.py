"""What an SQLite file may be made of: our tables, views and indices to the letter, and nothing that acts.

A file may come from somebody else. A trigger in it would change what is written, a view under the name of a
table would answer for it and may never end. So the text of everything in it is compared with `schema.sql`,
which a test keeps as the migrations make it. No SQLAlchemy: `ablate status` looks here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ablate.errors import DatabaseError
from ablate.store.connection.revisions import VERSION_TABLE

ENTRIES = "SELECT type, name, sql FROM sqlite_master"
"""What a file is made of: SQLite's own table, which no view can stand for."""

STATISTICS = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat4")
"""Tables of SQLite's own, which only make it faster."""

Entry = tuple[str, str]
"""A kind, as in `table`, and a name."""

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\w+|\S")
_QUOTED = re.compile(r"[\"`\[](\w+)[\"`\]]")


def ours() -> Mapping[Entry, str]:
    """The newest revision's tables, indices and views, with their text as `in_tokens` gives it."""
    return _read()


def entries_of(rows: Iterable[tuple[Any, ...]]) -> dict[Entry, str]:
    """What a database is made of, from the rows of `ENTRIES`, without what SQLite keeps for itself."""
    found = {}
    for kind, name, sql in rows:
        its_own = (kind == "index" and sql is None) or (kind == "table" and name in STATISTICS)
        if not its_own:
            found[str(kind), str(name)] = in_tokens(str(sql))
    return found


def refuse_what_acts(name: str, entries: Mapping[Entry, str]) -> None:
    """Refuse triggers, and a table of revisions that is none: nothing may be read before that.

    Raises:
        DatabaseError: names what is there.
    """
    for kind, entry in entries:
        if kind not in ("table", "index", "view"):
            raise _other(name, f"it has the {kind} {entry!r}, and ablate makes none")
    version = ("table", VERSION_TABLE)
    if entries.get(version) != ours()[version]:
        raise _other(name, f"its {VERSION_TABLE} is not as ablate makes it")


def refuse_other_schema(
    name: str, entries: Mapping[Entry, str], expected: Mapping[Entry, str] | None = None
) -> None:
    """Refuse what is not made of exactly our tables, views and indices; `expected` are those of an older
    revision.

    Raises:
        DatabaseError: names the first difference.
    """
    expected = ours() if expected is None else expected
    for entry in sorted({*entries, *expected}):
        if entries.get(entry) == expected.get(entry):
            continue
        kind, called = entry
        if entry not in expected:
            raise _other(name, f"it has the {kind} {called!r}, and ablate makes none of that name")
        missing = entry not in entries
        raise _other(
            name, f"its {kind} {called} is {'missing' if missing else 'another than ours'}"
        )


def in_tokens(sql: str) -> str:
    """SQL without what its writer is free in: white space, and quotes around plain names."""
    return " ".join(_QUOTED.sub(r"\1", token) for token in _TOKEN.findall(sql))


def _other(name: str, what: str) -> DatabaseError:
    return DatabaseError(
        f"{name}: is not made as ablate makes a database: {what}: remove that if it is yours, or give "
        "another one with --db"
    )


@cache
def _read() -> Mapping[Entry, str]:
    text = (Path(__file__).parents[1] / "schema.sql").read_text(encoding="utf-8")
    found = {}
    for statement in re.split(r";\n+", text):
        if words := re.match(r"CREATE (TABLE|INDEX|VIEW) (\w+)", statement):
            found[words[1].lower(), words[2]] = in_tokens(statement)
    return found
