"""`ablate export`, `ablate import` and `ablate merge`: databases on the move."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ablate.store.connection.engine import shown
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.manifest import EXPORTED_VIEWS, file_of_view
from ablate.store.transfer.merge import merge_databases
from ablate.system.messages.command_line import without_password
from ablate.system.messages.console import say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural, printable
from ablate.system.software.environment import describe_environment


def export_results(
    study: str | None, format: str, folder: Path, url: str, *, predictions: bool = True
) -> None:
    """Write a database, or one study of it, as files, and say what was written.

    Raises:
        DatabaseError: it cannot be read, or there is no such study.
        OutputError: the folder cannot be written, or has something else in it.
    """
    PULSE.step("exporting")
    environment = describe_environment()
    files = export_database(url, folder, format, environment, study, predictions=predictions)
    for view in EXPORTED_VIEWS:
        name = file_of_view(view, format)
        _print(f"{folder / name}: {plural(files[name].rows, 'row')}")
    _print(f"{folder / 'tables'}: what `ablate import` needs")
    _print(
        f"next: ablate import {shlex.quote(str(folder))} --db FILE, where the results are wanted"
    )


def import_results(folder: Path, url: str) -> bool:
    """Fill an empty database from an export, and say what came; False if there is something to look at.

    Raises:
        DataError: the folder is no export, or damaged; nothing was written.
        DatabaseError: the database is not empty or cannot be written; nothing was written.
    """
    PULSE.step("importing")
    complaints: list[str] = []
    counts = import_folder(folder, url, complaints)
    for complaint in complaints:
        _print(complaint)
    _print(
        f"{plural(counts['runs'], 'run')} and {plural(counts['epochs'], 'epoch')} of "
        f"{plural(counts['studies'], 'study', 'studies')} imported into {shown(url)}"
    )
    _print(f"next: ablate status --db {shlex.quote(without_password(url))}")
    return not complaints


def merge_results(into: str, sources: Sequence[str]) -> bool:
    """Merge databases into the first; False if there is something to look at.

    Raises:
        DatabaseError: one of them cannot be used; nothing was written.
    """
    PULSE.step("merging")
    merged = merge_databases(into, sources)
    for complaint in merged.complaints:
        _print(complaint)
    _print(
        f"{plural(merged.added, 'run')} added to {shown(into)}, {merged.replaced:,} that had not finished "
        "here replaced"
    )
    _print(f"next: ablate status --db {shlex.quote(without_password(into))}")
    return not merged.complaints


def _print(text: str) -> None:
    say(printable(text))
