"""A database as files for other programs: the views, and the tables that `ablate import` needs."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, column, inspect, select, table

from ablate.errors import DatabaseError, OutputError
from ablate.store.connection.address import shown
from ablate.store.connection.revisions import HEAD
from ablate.store.transfer.contexts import COLUMN, Contexts, contexts_in, placed, with_contexts
from ablate.store.transfer.copies import private_copy
from ablate.store.transfer.formats import FORMATS, ROWS_AT_ONCE
from ablate.store.transfer.manifest import (
    EXPORTED_VIEWS,
    MANIFEST,
    TABLES,
    FileEntry,
    Manifest,
    describe_file,
    file_of_table,
    file_of_view,
    is_export,
)
from ablate.store.transfer.values import Row, Sheet, sheet_of_table, sheet_of_view
from ablate.store.views import ORDER
from ablate.system.files.all_or_none import made_folder
from ablate.system.files.atomic import follow_umask
from ablate.system.process.clock import now

NOTES = {
    "csv": [
        "An empty cell is NULL. Text that starts with = + - @ ' a tab or a line break has a ' before "
        "it, and empty text is a lone '. Binary is base64.",
    ],
    "jsonl": ["One object in each line. Binary is base64, infinity the text inf."],
    "parquet": ["JSON is text."],
}
AT_REST = "Runs that were under way are stopped. Weights, traces and checkpoints stay behind."

WITHOUT = "Predictions were left out (--no-predictions); which images a run got right is there."


def export_database(
    url: str,
    folder: Path,
    format: str,
    provenance: Mapping[str, Any],
    study: str | None = None,
    *,
    predictions: bool = True,
) -> dict[str, FileEntry]:
    """Write a database, or one study of it, into a folder of its own; returns its files. Without
    `predictions` what runs said of each image is left out; which of them they got right stays.

    The folder is made whole or not at all; an earlier export in it is replaced.

    Raises:
        DatabaseError: it cannot be read, or there is no such study.
        OutputError: the folder cannot be written, or has something else in it.
    """
    folder = folder.resolve()
    _refuse_others(folder)
    with (
        private_copy(url, study, predictions=predictions) as connection,
        _replacing(folder) as made,
    ):
        try:
            files = _write_all(connection, made, format)
        except ValueError as error:
            raise DatabaseError(f"{shown(url)}: cannot be exported: {error}") from None
        manifest = Manifest(
            kind="ablate-export",
            version=1,
            format=format,  # type: ignore[arg-type]
            revision=HEAD,
            study=study,
            exported_at=now(),
            database=shown(url).rpartition("/")[2],
            provenance=dict(provenance),
            notes=[*NOTES[format], AT_REST, *([] if predictions else [WITHOUT])],
            files=files,
        )
        (made / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return files


def _write_all(connection: Connection, folder: Path, format: str) -> dict[str, FileEntry]:
    (folder / "tables").mkdir()
    inspector = inspect(connection)
    files, contexts = {}, contexts_in(connection)
    for view in EXPORTED_VIEWS:
        sheet = sheet_of_view(view, [found["name"] for found in inspector.get_columns(view)])
        name = file_of_view(view, format)
        files[name] = _write(connection, sheet, folder / name, format, ORDER[view], contexts)
    for each in TABLES:
        name = file_of_table(each.name, format)
        order = [key.name for key in each.primary_key.columns]
        files[name] = _write(connection, sheet_of_table(each), folder / name, format, order)
    return files


def _write(
    connection: Connection, sheet: Sheet, path: Path, format: str, order: Sequence[str],
    contexts: Contexts = MappingProxyType({}),
) -> FileEntry:  # fmt: skip
    """Write a sheet's rows, of a view with their contexts; without types, so that they are what the file of
    the database has.
    """
    written = with_contexts(sheet, contexts)
    named = table(sheet.name, *map(column, sheet.columns))
    query = select(named).order_by(*map(column, order))
    found = connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}).mappings()
    rows = 0

    def batches() -> Iterator[list[Row]]:
        nonlocal rows
        for batch in found.partitions():
            rows += len(batch)
            yield [*placed(batch, contexts)] if COLUMN in written.columns else [*map(dict, batch)]

    FORMATS[format].write(path, written, batches())
    return describe_file(path, rows)


def _refuse_others(folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()) and not is_export(folder):
            raise OutputError(
                f"{folder}: there is something else than an earlier export in it: "
                "give another folder with --out"
            )
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the other's place when everything in it is on the disk.

    Raises:
        OutputError: it cannot be written; what was there before still is.
    """
    try:
        with made_folder(folder.parent), _beside(folder) as made:
            yield made
            for file in (file for file in made.rglob("*") if file.is_file()):
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            follow_umask(made)
            _take_place(made, folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, unless it has got another name."""
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _take_place(made: Path, folder: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    earlier = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    folder.rename(earlier)
    try:
        made.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
