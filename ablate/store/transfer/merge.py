"""Several databases into one: every run once, and a finished result wins over everything else."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Table, insert, select, update

from ablate.errors import DatabaseError
from ablate.store import schema
from ablate.store.connection.address import is_sqlite, shown
from ablate.store.connection.engine import (
    WRITE,
    clear_errors,
    database_exists,
    open_engine,
    parse_url,
)
from ablate.store.connection.searching import without_search
from ablate.store.files.checkpoints import sweep
from ablate.store.progress.status import StudyKey
from ablate.store.statements import add_missing, chunks
from ablate.store.transfer.apart import key_of, leave_out_doubles, studies_apart
from ablate.store.transfer.copies import portable_columns, private_copy
from ablate.store.transfer.images_elsewhere import align_images
from ablate.store.transfer.merge_cells import add_cells, join_definitions
from ablate.store.transfer.merge_runs import check, choose, take
from ablate.store.transfer.weights import WeightFiles

SPECIAL = ("studies", "profiles")
"""Tables that are not merged by adding the rows whose keys are new; nor are those that have runs."""


@dataclass
class Merged:
    """What was done. `complaints` are conflicts and weights that could not be copied, a line each."""

    added: int = 0
    replaced: int = 0
    complaints: list[str] = field(default_factory=list)


def merge_databases(into: str, sources: Sequence[str]) -> Merged:
    """Bring the runs of other databases into the first, all of them or, on an error, none.

    The others are only read. Of two finished results the first database's is kept, and it is a
    conflict if their numbers differ. Runs that are under way elsewhere arrive as stopped.

    Raises:
        DatabaseError: one of them is missing, not ours, newer or named twice, or a search is under way on the
            first; nothing was written.
        OutputError: a search is under way beside the first; nothing was written.
    """
    _refuse_twice([into, *sources])
    if not database_exists(into):
        raise DatabaseError(f"{shown(into)}: there is no such database")
    merged, weights = Merged(), WeightFiles(into)
    with ExitStack() as stack:
        copies = [(url, stack.enter_context(private_copy(url))) for url in sources]
        engine = open_engine(into, create=True)
        stack.callback(engine.dispose)
        replaced: list[str] = []
        try:
            with (
                clear_errors(shown(into), "written"),
                engine.execution_options(**WRITE).begin() as target,
            ):
                stack.enter_context(without_search(into))
                for url, source in copies:
                    replaced += _merge(source, target, url, weights, merged)
        except BaseException:
            weights.undo()
            raise
        with engine.connect() as connection:
            for run_key in replaced:
                sweep(connection, into, run_key)
    return merged


def _merge(
    source: Connection, target: Connection, url: str, weights: WeightFiles, merged: Merged
) -> list[str]:
    """Merge one database; returns the keys of runs that another result replaced."""
    align_images(source, target, shown(url), shown(weights.url))
    apart = studies_apart(source, target)
    for table in schema.metadata.sorted_tables:
        if "run_key" not in table.columns and table.name not in SPECIAL:
            _add_new(source, target, table, apart)
    _add_labels(source, target)
    selection = choose(source, target)
    for conflict in selection.conflicts:
        merged.complaints.append(f"{shown(weights.url)}, {shown(url)}: {conflict}")
    take(source, target, selection)
    joined, others = add_cells(source, target, apart)
    join_definitions(source, target, joined)
    others += leave_out_doubles(target)
    merged.complaints += [f"{shown(weights.url)}, {shown(url)}: {line}" for line in others]
    _add_profiles(source, target)
    for file, sha256 in selection.weights.items():
        if complaint := weights.copy(url, file, sha256):
            merged.complaints.append(complaint)
    merged.added += len(selection.added)
    merged.replaced += len(selection.replaced)
    return selection.replaced


def _add_new(
    source: Connection, target: Connection, table: Table, apart: Container[StudyKey]
) -> None:
    """Add the rows whose keys are new; trials and looks of studies that are kept apart stay behind."""
    found = map(dict, source.execute(select(*portable_columns(table))).mappings())
    of_studies = "setting" in table.columns
    rows = [row for row in found if not (of_studies and key_of(row) in apart)]
    for row in rows:
        check(table, row)
    for chunk in chunks(rows):
        add_missing(target, table, chunk)


def _add_labels(source: Connection, target: Connection) -> None:
    """Labels of test images that are known there, and only by number here."""
    sets = schema.test_sets
    known = select(sets).where(sets.c.labels.is_not(None))
    for row in source.execute(known).mappings():
        here = sets.c.dataset_hash == row["dataset_hash"], sets.c.images == row["images"]
        labels = {"labels": row["labels"], "classes": row["classes"]}
        target.execute(update(sets).where(*here, sets.c.labels.is_(None)).values(labels))


def _add_profiles(source: Connection, target: Connection) -> None:
    """Profiles of networks, devices and paths that have none yet."""
    table = schema.profiles
    key = (table.c.fingerprint, table.c.device, table.c.path)
    known = {tuple(row) for row in target.execute(select(*key).distinct())}
    for found in source.execute(select(*key).distinct()).all():
        if tuple(found) not in known:
            mine = [column == value for column, value in zip(key, found, strict=True)]
            rows = select(*portable_columns(table)).where(*mine).order_by(table.c.id)
            target.execute(insert(table), [dict(row) for row in source.execute(rows).mappings()])


def _refuse_twice(urls: Sequence[str]) -> None:
    seen: set[str] = set()
    for url in urls:
        parsed = parse_url(url)
        file = is_sqlite(parsed)
        name = str(Path(str(parsed.database)).resolve()) if file else str(parsed)
        if name in seen:
            raise DatabaseError(f"{shown(url)}: is named twice: a database is merged with others")
        seen.add(name)
