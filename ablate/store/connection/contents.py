"""Whether the rows of an SQLite file are what ablate stores: sound, of their column's type, with our keys.

SQLite takes any value in any column, so a file from somebody else may hold text where a number belongs. To
read all of a large file takes seconds. So it is done before rows are taken over (`merge`, `import`,
`export`), before a file is brought up to date, by `ablate doctor`, and when a command fails in a way that
nobody foresaw: then it tells a foreign file from a mistake of ours. No SQLAlchemy.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ablate.errors import DatabaseError
from ablate.result.elsewhere import is_elsewhere, told_of
from ablate.result.status import RunStatus
from ablate.store.connection.ask_file import Ask, asking_file, open_file
from ablate.store.connection.revisions import HEAD, VERSION_TABLE
from ablate.store.connection.sqlite_file import opened_files

TYPES = {
    "INTEGER": ("integer",),
    "FLOAT": ("real", "integer"),
    "VARCHAR": ("text",),
    "TEXT": ("text",),
    "BLOB": ("blob",),
    # A bare number in JSON becomes one in SQLite too.
    "JSON": ("text", "integer", "real"),
}
"""What SQLite may say that a value is, by the declared type of its column."""

SHAPES: dict[tuple[str, str], type] = {
    ("environments", "content"): dict,
    ("studies", "definition"): dict,
    ("architectures", "layers"): list,
    ("runs", "recipe"): dict,
    ("runs", "path"): dict,
    ("cells", "options"): dict,
    ("trials", "run_keys"): list,
    ("trials", "trained"): list,
    ("test_sets", "classes"): list,
    ("looks", "n"): dict,
    ("looks", "planned"): dict,
    ("datasets", "passed_over"): dict,
}
"""What the JSON in a column is."""

NULLABLE = {("runs", "path"), ("test_sets", "classes")}
"""Of these also JSON's null, which some imports of earlier versions wrote."""

DEFINITION = {"backbone": str, "image_size": int, "recipe": dict}
OF_ELSEWHERE = {"trainer": str, "paired": bool, "epochs": list, "files": list}
"""What the definition of a study has whose runs were trained elsewhere; its recipe is not known."""
RECIPE = {"epochs": int, "batch_size": int, "learning_rate": (int, float), "split": str}
"""What every study's definition has, and its recipe."""

IMAGE_COUNTS = (
    *("classes", "train_images", "test_images", "smallest_class_images", "largest_class_images"),
    *(
        "turned_images",
        "tested_in_training",
        "in_two_classes",
        "plain_images",
        "transparent_images",
        "folds",
        "smallest_fold_images",
        "largest_fold_images",
    ),
)

_HEX = "length({0}) = 16 AND {0} NOT GLOB '*[^0-9a-f]*'"
_NAME = "length({0}) <= 64 AND {0} GLOB '[a-z0-9]*' AND {0} NOT GLOB '*[^a-z0-9_-]*'"
_STATUSES = f"{{0}} IN ({', '.join(repr(status.value) for status in RunStatus)})"
RULES = {
    ("runs", "run_key"): _HEX,
    ("runs", "status"): _STATUSES,
    ("runs", "fold"): "{0} BETWEEN 1 AND 100",
    (
        "runs",
        "test_first",
    ): "{0} IS NULL OR ({0} BETWEEN 0 AND 100000000 AND test_images IS NOT NULL)",
    ("runs", "test_images"): "{0} BETWEEN 0 AND 100000000 AND length(test_correct) = ({0} + 7) / 8",
    ("architectures", "fingerprint"): _HEX,
    ("environments", "environment_id"): _HEX,
    **{(table, "setting"): _HEX for table in ("studies", "cells", "trials", "looks")},
    **{(table, "study"): _NAME for table in ("studies", "cells", "trials", "looks")},
    ("test_sets", "images"): "{0} BETWEEN 0 AND 100000000",
    ("test_sets", "labels"): "length({0}) = 2 * images",
    ("test_pictures", "image_size"): "{0} BETWEEN 8 AND 1024",
    # A picture of that many pixels that does not shrink at all, and what is around it.
    ("test_pictures", "content"): "length({0}) <= 4 * image_size * image_size + 65536 "
    "AND hex(substr({0}, 1, 8)) = '89504E470D0A1A0A'",
    **{("datasets", name): "{0} BETWEEN 0 AND 1000000000" for name in IMAGE_COUNTS},
    ("datasets", "majority_share"): "{0} BETWEEN 0 AND 1",
    ("datasets", "turned"): "{0} IN (0, 1)",
    ("datasets", "compared"): "{0} = 'files' OR {0} LIKE 'pixels at %'",
}
"""What holds for values of the newest revision; the rest follows by foreign keys."""


def problem_in(path: Path) -> str | None:
    """What is wrong with the rows of a file whose schema is ours, in a clause; None if nothing is."""
    try:
        with closing(open_file(path)) as connection:

            def ask(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
                return connection.execute(sql, values).fetchall()

            return next(problems(ask), None)
    except sqlite3.Error as error:
        return str(error)


def refuse_other_contents(path: Path, name: str) -> None:
    """Read all of a file whose schema is ours.

    Raises:
        DatabaseError: its rows are not what ablate stores; `name` is what the file is called.
    """
    if problem := problem_in(path):
        raise DatabaseError(
            f"{name}: holds what ablate does not store: {problem}: it is damaged or was made by "
            "something else: take a copy of the file as ablate left it"
        )


def why_not_ours() -> str | None:
    """Why a database that this process opened is none that ablate made, as a line; None if all are."""
    for path in opened_files():
        try:
            with asking_file(path):
                pass
            refuse_other_contents(path, str(path))
        except DatabaseError as error:
            return str(error)
    return None


def problems(ask: Ask) -> Iterator[str]:
    """What is wrong with the rows of an SQLite database that has our schema, a clause each."""
    for (line,) in ask("PRAGMA integrity_check(1)"):
        if line != "ok":
            yield str(line)
    for table, *_ in ask("PRAGMA foreign_key_check"):
        yield f"a row of {table} refers to a row that is missing"
    tables = [name for (name,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [(t, c, kind) for t in tables for _, c, kind, *_ in ask(f"PRAGMA table_info({t})")]
    newest = ask(f"SELECT version_num FROM {VERSION_TABLE}") == [(HEAD,)]  # noqa: S608
    for table, column, declared in columns:
        yield from _of_type(ask, table, column, declared.partition("(")[0])
    for table, column, declared in columns:
        if declared == "JSON":
            yield from _of_shape(ask, table, column)
        if newest and (rule := RULES.get((table, column))):
            yield from _by_rule(ask, table, column, rule)


def _of_type(ask: Ask, table: str, column: str, declared: str) -> Iterator[str]:
    kinds = ", ".join(f"'{kind}'" for kind in ("null", *TYPES.get(declared, ())))
    if declared in TYPES:
        wrong = (
            f"SELECT typeof({column}) FROM {table} WHERE typeof({column}) NOT IN ({kinds}) LIMIT 1"  # noqa: S608
        )
        yield from (f"{table}.{column} is {kind} somewhere" for (kind,) in ask(wrong))


def _of_shape(ask: Ask, table: str, column: str) -> Iterator[str]:
    for (text,) in ask(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"):  # noqa: S608
        try:
            value = json.loads(text) if isinstance(text, str) else text
        except (ValueError, RecursionError):
            yield f"{table}.{column} is no JSON somewhere"
        else:
            yield from _of_value(table, column, value)


def _of_value(table: str, column: str, value: Any) -> Iterator[str]:
    where = f"{table}.{column}"
    shape = SHAPES.get((table, column))
    if value is None and (table, column) in NULLABLE:
        return
    if shape is not None and not isinstance(value, shape):
        yield f"{where} is no {'object' if shape is dict else 'list'} somewhere"
    elif column == "definition":
        if is_elsewhere(value):
            yield from _lacks(where, value, {"backbone": str, "recipe": dict})
            yield from _lacks(where, told_of(value), OF_ELSEWHERE)
            return
        yield from _lacks(where, value, DEFINITION)
        yield from _lacks(where, value.get("recipe"), RECIPE)
        later = {"validation_images": 0, "context": {}, **value}
        yield from _lacks(where, later, {"validation_images": int, "context": dict})
    elif column == "passed_over" and not all(isinstance(n, int) for n in value.values()):
        yield f"{where} counts nothing somewhere"
    elif column == "layers" and not all(isinstance(each, dict) for each in value):
        yield f"{where} is no list of objects somewhere"


def _lacks(where: str, value: Any, keys: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, dict):
        wrong = (key for key, kind in keys.items() if not isinstance(value.get(key), kind))
        yield from (f"{where} has no {key} that ablate writes somewhere" for key in wrong)


def _by_rule(ask: Ask, table: str, column: str, rule: str) -> Iterator[str]:
    wrong = f"SELECT {column} FROM {table} WHERE NOT ({rule.format(column)}) LIMIT 1"  # noqa: S608
    yield from (f"{table}.{column} {str(value)[:40]!r} is none of ours" for (value,) in ask(wrong))
