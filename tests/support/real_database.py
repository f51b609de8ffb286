"""A database with something in every table, and what its tables and views hold, for comparing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablate.store.files.weights import weights_file, write_weights
from ablate.store.views import VIEWS
from ablate.store.writing.store import Store

EARLIER = Path(__file__).parents[1] / "databases" / "0002.sql"
FINISHED, SECOND, THIRD, PLANNED = (
    "bc4751724cff0604",
    "e6feb2719c5cf6e5",
    "75a74283af5c972b",
    "c147416804890b9a",
)
"""The runs of the study `earlier`, in its order."""
WEIGHTS = b"the weights"


def real_database(path: Path) -> Path:
    """A database of real results, brought up to date, with weights of its first run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(results_alone())
    file = weights_file(FINISHED)
    sha256 = write_weights(f"sqlite:///{path}", file, WEIGHTS)
    kept = "UPDATE runs SET weights_file = ?, weights_sha256 = ? WHERE run_key = ?"
    change(path, kept, file, sha256, FINISHED)
    change(path, "INSERT INTO explanations VALUES (?, ?)", FINISHED, bytes(range(256)) * 10)
    fingerprint = rows(path, "runs")[0][1]
    change(
        path,
        "INSERT INTO traces VALUES (?, 'a device', 'eager', 'a.json.gz', NULL, 'now')",
        fingerprint,
    )
    change(
        path,
        "INSERT INTO looks SELECT study, dataset_hash, setting, '2026-01-01T00:00:00.000Z', ?, 'fixed', "
        "'report', '{\"none\": 2}', '{\"none\": 3}', 0.005, 1 FROM studies",
        FINISHED,
    )
    for key in (FINISHED, SECOND):
        change(path, "INSERT INTO metrics VALUES (?, 'test', 'macro_f1', '', 0.25)", key)
        change(path, "INSERT INTO metrics VALUES (?, 'test', 'recall', '=3', 0.1)", key)
    return path


@cache
def results_alone() -> bytes:
    """An SQLite file with the runs of the study `earlier`, and nothing made up."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "earlier.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(EARLIER.read_text())
        Store(f"sqlite:///{path}").close()
        return path.read_bytes()


def fill_with_oddities(path: Path) -> None:
    """Whatever text, numbers and bytes could come back different."""
    error = '=HYPERLINK("http://x")\r\n\'quoted\', "twice";\t\N{SNOWMAN} \\N \x00 end'
    change(path, "UPDATE runs SET status = 'failed', failure = 'error', error = ?"
           " WHERE run_key = ?", error, SECOND)  # fmt: skip
    for i, text in enumerate(
        ("", "'", "-1", "'=1", "\r", "\n@", "NULL", "None", "nan", "1e5", "  ")
    ):
        change(
            path,
            "INSERT INTO attempts VALUES (?, ?, ?, ?, 1, 'now', NULL, NULL, ?)",
            f"odd{i}", THIRD, i, f"host {i}", text,
        )  # fmt: skip
    change(path, "UPDATE epochs SET train_loss = 9e999, val_loss = -9e999, test_loss = 1e-300"
           " WHERE epoch = 2")  # fmt: skip
    change(path, "UPDATE epochs SET learning_rate = 0.1 + 0.2, seconds = 5e-324 WHERE epoch = 1")
    change(path, "UPDATE architectures SET macs = 9007199254740993")
    definition = {"text": "\N{SNOWMAN}\u2028\"'\n", "deep": [[[1.5, None, True]]]}
    old = json.loads(rows(path, "studies")[0][3])
    change(path, "UPDATE studies SET definition = ?", json.dumps({**old, "odd": definition}))


def change(path: Path, statement: str, *values: Any) -> None:
    """One statement, committed."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table or view."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    finally:
        connection.close()


def values(path: Path, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table with JSON parsed: how it was spaced is no content."""

    def parsed(value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value

    return sorted((tuple(map(parsed, row)) for row in rows(path, table)), key=repr)


def views(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What the promised views hold, in an order that does not depend on how it got there."""
    return {view: sorted(rows(path, view), key=repr) for view in VIEWS}
