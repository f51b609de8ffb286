"""A study's images are known by their content: two sets of one name are two data sets. A run has the path
that it was begun with, and names the attention that training never moved.

`dataset` stays what people call them. What is here is written out and not imported, because this
revision must do the same when the code has moved on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

UNKNOWN = ""
"""The hash where nothing of a study was ever planned: nobody will ask for it."""

Row = dict[str, Any]
Study = tuple[str, str, str]


def upgrade() -> None:
    op.add_column("runs", sa.Column("path", sa.JSON))
    op.add_column("runs", sa.Column("unmoved_attention", sa.Text))
    _know_datasets_by_content()


def _know_datasets_by_content() -> None:
    bind = op.get_bind()
    runs = _table("runs")
    content_of = dict(
        tuple(row) for row in bind.execute(sa.select(runs.c.run_key, runs.c.dataset_hash))
    )
    _add_to_cells(bind)
    contents = _contents(bind)
    trials = _trials(_rows(bind, "trials"), content_of, contents)
    studies = _studies(_rows(bind, "studies"), trials, contents)
    _make_anew(bind, "studies", _columns_of_studies(), studies)
    _make_anew(bind, "trials", _columns_of_trials(), trials)


def _table(name: str) -> sa.Table:
    """A table as it is in this database."""
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _rows(bind: sa.Connection, name: str) -> list[Row]:
    return [dict(row) for row in bind.execute(sa.select(_table(name))).mappings()]


def _study_of(row: Mapping[str, Any]) -> Study:
    return row["study"], row["dataset"], row["setting"]


def _add_to_cells(bind: sa.Connection) -> None:
    op.add_column("cells", sa.Column("dataset_hash", sa.String(64)))
    cells, runs = _table("cells"), _table("runs")
    mine = sa.select(runs.c.dataset_hash).where(runs.c.run_key == cells.c.run_key).scalar_subquery()
    bind.execute(sa.update(cells).values(dataset_hash=mine))
    op.drop_index("cells_in_order", "cells")
    op.create_index("cells_in_order", "cells", ["study", "dataset_hash", "setting", "ordinal"])


def _contents(bind: sa.Connection) -> dict[Study, list[str]]:
    """The hashes of the images that a study was planned on under one name, in the order of its cells."""
    cells = _table("cells")
    names = ("study", "dataset", "setting", "dataset_hash")
    query = sa.select(*(cells.c[name] for name in names)).order_by(cells.c.ordinal)
    found: dict[Study, dict[str, None]] = defaultdict(dict)
    for row in bind.execute(query).mappings():
        found[_study_of(dict(row))][row["dataset_hash"]] = None
    return {place: list(hashes) for place, hashes in found.items()}


def _trials(
    rows: Iterable[Row], content_of: Mapping[str, str], contents: Mapping[Study, Sequence[str]]
) -> list[Row]:
    """Trials with the content of their runs, or of the trial before where none was trained; of a search
    that went on with other images under the same name both parts are numbered from 0.
    """
    made: list[Row] = []
    last: dict[tuple[Any, ...], str] = {}
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in sorted(rows, key=lambda row: (row["asked_at"], row["number"])):
        search = (*_study_of(row), row["search"])
        known = [content_of[key] for key in row["run_keys"] if key in content_of]
        usual = last.get(search) or next(iter(contents.get(_study_of(row), ())), UNKNOWN)
        content = last[search] = known[0] if known else usual
        # Without the name: the same images may have had two.
        same = (row["study"], row["setting"], row["search"], content)
        made.append({**row, "number": counts[same], "dataset_hash": content})
        counts[same] += 1
    return made


def _studies(
    rows: Iterable[Row], trials: Iterable[Row], contents: Mapping[Study, Sequence[str]]
) -> list[Row]:
    """A row for each content that a study has cells of under this name; a label that was met with several
    contents, as by a merge, has one for each.
    """
    searched = {_study_of(row): row["dataset_hash"] for row in trials}
    made: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["updated_at"]):
        place = _study_of(row)
        for content in contents.get(place) or [searched.get(place, UNKNOWN)]:
            made[row["study"], content, row["setting"]] = {**row, "dataset_hash": content}
    return list(made.values())


def _make_anew(
    bind: sa.Connection, name: str, columns: Sequence[sa.Column[Any]], rows: Sequence[Row]
) -> None:
    """A table with another primary key: SQLite cannot change one. No table refers to these."""
    op.drop_table(name)
    table = op.create_table(name, *columns)
    if rows:
        bind.execute(sa.insert(table), list(rows))


def _columns_of_studies() -> list[sa.Column[Any]]:
    return [
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column("setting", sa.String(16), primary_key=True),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
    ]


def _columns_of_trials() -> list[sa.Column[Any]]:
    return [
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column("setting", sa.String(16), primary_key=True),
        sa.Column("search", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("point", sa.JSON, nullable=False),
        sa.Column("sampler_state", sa.JSON, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column(
            "fingerprint", sa.String(16), sa.ForeignKey("architectures.fingerprint"), nullable=False
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run_keys", sa.JSON, nullable=False),
        sa.Column("trained", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("asked_at", sa.String(32), nullable=False),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
    ]
