"""What a study that was taken out of a database leaves behind: files beside it, and space inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Engine, text

from ablate.errors import DatabaseError
from ablate.store import schema
from ablate.store.connection.address import files_folder, shown
from ablate.store.connection.engine import clear_errors, open_engine
from ablate.store.files.beside import Files, FolderFiles
from ablate.store.files.checkpoints import checkpoint_files
from ablate.store.files.histograms import histogram_folder
from ablate.store.files.weights import checked_weights, weights_files
from ablate.store.maintenance.removal import Removal
from ablate.system.files.inside import inside


def remove_files(url: str, removal: Removal) -> tuple[int, int]:
    """Delete the weights, checkpoints, histograms and traces of runs that are gone; returns how many files
    and bytes.

    Raises:
        DatabaseError: a name that ablate does not give, a link in the place of a file, or a file that cannot
            be deleted; the others may be gone.
    """
    sizes: list[int] = []
    for place, delete in _files(url, removal):
        try:
            size = delete()
        except OSError as error:
            raise DatabaseError(f"{place}: cannot be deleted: {error.strerror or error}") from None
        sizes += [] if size is None else [size]
    for key in removal.runs:
        folder = histogram_folder(url, key)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return len(sizes), sum(sizes)


def _files(url: str, removal: Removal) -> Iterator[tuple[str, Callable[[], int | None]]]:
    """Each file, as it is named to people, and what deletes it."""
    weights, checkpoints = weights_files(url), checkpoint_files(url)
    traces = FolderFiles(inside(files_folder(url), "traces"))
    named: list[tuple[Files, str]] = [(weights, checked_weights(file)) for file in removal.weights]
    named += [(checkpoints, file) for file in removal.checkpoints]
    named += [(traces, file) for file in removal.traces]
    for key in removal.runs:
        folder = histogram_folder(url, key)
        named += [(FolderFiles(folder), path.name) for path in sorted(folder.glob("*.npz"))]
    for files, name in named:
        yield files.place(name), partial(files.delete, name)


def give_back_space(url: str) -> tuple[int, str | None]:
    """Let the database shrink to what it holds (`VACUUM`); returns by how many bytes, and if it could not
    be done now, why: then what is free in it is used by what comes next.

    Raises:
        DatabaseError: it cannot be opened.
    """
    engine = open_engine(url, create=False)
    try:
        before = _size(engine)
        _vacuum(engine)
        return max(0, before - _size(engine)), None
    except DatabaseError as error:
        return 0, str(error)
    finally:
        engine.dispose()


def _vacuum(engine: Engine) -> None:
    """Outside of every transaction, which is why the driver itself is asked."""
    with clear_errors(shown(engine.url), "made smaller"):
        connection = engine.raw_connection()
        try:
            driver = connection.driver_connection
            if driver is None:
                return
            if engine.dialect.name == "sqlite":
                driver.execute("VACUUM")
                return
            driver.autocommit = True
            driver.execute("SET statement_timeout = 0")
            for table in schema.metadata.sorted_tables:
                driver.execute(f'VACUUM "{table.name}"')
        except engine.dialect.loaded_dbapi.Error as error:
            raise DatabaseError(f"{shown(engine.url)}: {' '.join(str(error).split())}") from None
        finally:
            connection.invalidate()  # with what was set on it
            connection.close()


def _size(engine: Engine) -> int:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages = connection.scalar(text("PRAGMA page_count")) or 0
            return int(pages) * int(connection.scalar(text("PRAGMA page_size")) or 0)
        return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
