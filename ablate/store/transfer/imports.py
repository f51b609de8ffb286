"""What `ablate export` wrote, back into an empty database."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, select
from sqlalchemy.exc import DataError as SqlDataError
from sqlalchemy.exc import IntegrityError

from ablate.errors import DatabaseError, DataError
from ablate.store.connection.address import is_sqlite, shown
from ablate.store.connection.contents import problems
from ablate.store.connection.engine import (
    WRITE,
    clear_errors,
    database_exists,
    open_engine,
    parse_url,
)
from ablate.store.connection.migrate import upgrade
from ablate.store.connection.revisions import HEAD, VERSION_TABLE
from ablate.store.connection.searching import without_search
from ablate.store.connection.sqlite import make_engine
from ablate.store.transfer.apart import leave_out_doubles
from ablate.store.transfer.copies import copy_rows
from ablate.store.transfer.formats import FORMATS, ROWS_AT_ONCE
from ablate.store.transfer.manifest import TABLES, Manifest, file_of_table, read_manifest
from ablate.store.transfer.values import Row, check_identifiers, sheet_of_table


def import_folder(folder: Path, url: str, complaints: list[str] | None = None) -> dict[str, int]:
    """Fill an empty database from an export; returns how many rows each table got. `complaints` gets a line
    for each study in which runs had the place of others, as earlier versions merged them.

    Raises:
        DataError: the folder is no export, or damaged; nothing was written.
        DatabaseError: the database is not empty or cannot be written, or a search is under way on it; nothing
            was written.
        OutputError: a search is under way beside the database; nothing was written.
    """
    manifest = read_manifest(folder)
    parsed = parse_url(url)
    if not is_sqlite(parsed) or database_exists(url):
        with without_search(url):
            return _fill(url, folder, manifest, complaints)
    path = Path(str(parsed.database))
    with _new_file(path) as made:
        try:
            return _fill(f"sqlite:///{made}", folder, manifest, complaints)
        except DatabaseError as error:
            raise DatabaseError(str(error).replace(str(made), str(path))) from None


def _fill(
    url: str, folder: Path, manifest: Manifest, complaints: list[str] | None
) -> dict[str, int]:
    engine = open_engine(url, create=True)
    try:
        with (
            clear_errors(shown(url), "written"),
            engine.execution_options(**WRITE).begin() as connection,
        ):
            _refuse_filled(connection, url)
            if manifest.revision == HEAD:
                counts = _fill_tables(connection, TABLES, folder, manifest)
            else:
                with _brought_up_to_date(folder, manifest) as source:
                    for table in TABLES:
                        copy_rows(source, connection, table)
                counts = {t.name: _count(connection, t) for t in TABLES}
            _refuse_other_contents(connection, folder)
            twice = leave_out_doubles(connection)
            if complaints is not None:
                complaints += [f"{folder}: {line}" for line in twice]
            return counts
    finally:
        engine.dispose()


@contextmanager
def _brought_up_to_date(folder: Path, manifest: Manifest) -> Iterator[Connection]:
    """An export of an older revision, as a database of this one: filled as it was, then migrated."""
    with TemporaryDirectory(prefix="ablate-") as place:
        url = f"sqlite:///{Path(place) / 'older.db'}"
        engine = make_engine(parse_url(url))
        with engine.execution_options(**WRITE).begin() as connection:
            upgrade(connection, manifest.revision)
            older = MetaData()
            older.reflect(connection)
            tables = [t for t in older.sorted_tables if t.name != VERSION_TABLE]
            _fill_tables(connection, tables, folder, manifest)
        engine.dispose()
        engine = open_engine(url, create=True)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _refuse_other_contents(connection: Connection, folder: Path) -> None:
    """A server has its types and its foreign keys; of what JSON should say it knows nothing either."""
    if connection.dialect.name != "sqlite":
        return

    def ask(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(sql, tuple(values))]

    if problem := next(problems(ask), None):
        raise DataError(f"{folder}: holds what ablate does not store: {problem}: export it again")


def _refuse_filled(connection: Connection, url: str) -> None:
    for table in TABLES:
        if _count(connection, table):
            raise DatabaseError(
                f"{shown(url)}: is not empty: import into a new file with --db, and join the "
                "two with `ablate merge`"
            )


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _fill_tables(
    connection: Connection, tables: Sequence[Table], folder: Path, manifest: Manifest
) -> dict[str, int]:
    return {table.name: _fill_table(connection, table, folder, manifest) for table in tables}


def _fill_table(connection: Connection, table: Table, folder: Path, manifest: Manifest) -> int:
    name = file_of_table(table.name, manifest.format)
    if name not in manifest.files:  # exported before there was such a table
        return 0
    rows = _checked(FORMATS[manifest.format].read(folder / name, sheet_of_table(table)))
    count = 0
    try:
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            connection.execute(insert(table), batch)
            count += len(batch)
        if count != manifest.files[name].rows:
            raise ValueError(f"has {count} rows instead of {manifest.files[name].rows}")
    except (ValueError, OverflowError, RecursionError, csv.Error) as error:
        raise DataError(f"{folder / name}: cannot be imported: {_line(error)}") from None
    except (IntegrityError, SqlDataError) as error:
        raise DataError(f"{folder / name}: cannot be imported: {_line(error.orig)}") from None
    return count


def _checked(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        check_identifiers(row)
        yield row


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file to fill that gets its name when it is whole; on an error nothing is left behind.

    Raises:
        DatabaseError: the folder cannot be made, or somebody else made that file meanwhile.
    """
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield made
        _name(made, path)
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        made.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: there is our file in it now
            for folder in missing:
                folder.rmdir()


def _name(made: Path, path: Path) -> None:
    """A rename that replaces nothing."""
    try:
        os.link(made, path)
    except FileExistsError:
        raise DatabaseError(f"{path}: was made by somebody else meanwhile") from None
    except OSError:  # a filesystem without hard links
        made.rename(path)
