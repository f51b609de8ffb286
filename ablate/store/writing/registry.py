"""A plan becomes the cells of a study, and its new cells become runs that nobody has trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from ablate.errors import StudyError
from ablate.result import RunStatus
from ablate.stats.looks import ANYTIME
from ablate.store import schema
from ablate.store.connection.postgres import take_turns
from ablate.store.reading.elsewhere import read_elsewhere
from ablate.store.statements import add_missing, chunks, of_other_code, put
from ablate.store.writing.rows import (
    add_architectures,
    cell_row,
    put_dataset,
    run_row,
    variant_columns,
)
from ablate.study.began import began_so
from ablate.study.search import FRESH_SEEDS
from ablate.system.process.clock import now

if TYPE_CHECKING:
    from ablate.plan import Cell, Plan


def register(connection: Connection, plan: Plan) -> None:
    """Make the study's cells those of the plan; runs that exist already stay as they are.

    Raises:
        StudyError: the study of this name was trained elsewhere.
    """
    take_turns(connection)
    study, content = plan.study, str(plan.dataset.content_hash())
    if read_elsewhere(connection, study.name) is not None:
        raise StudyError(
            f"study {study.name}: the database has results under this name that were trained elsewhere, and "
            "runs are never put among them: give the study another name, or rename those"
        )
    mine = and_(
        schema.cells.c.study == study.name,
        schema.cells.c.dataset_hash == content,
        schema.cells.c.setting == study.setting,
    )
    add_architectures(connection, plan.variants.values())
    put_dataset(connection, plan, content)
    runs = [run_row(cell, plan, content) for cell in plan.cells]
    add_missing(connection, schema.runs, runs)
    keys = [str(cell.run_key) for cell in plan.cells]
    kept = _searched(connection, mine, plan, set(keys))
    kept += _until_decided(connection, mine, plan, {*keys, *(row["run_key"] for row in kept)})
    kept = _once(connection, kept, plan, content)
    connection.execute(delete(schema.cells).where(mine))
    _move_looks(connection, plan, content, keys)
    for chunk in chunks(keys):
        # A network that is written otherwise has another setting and the same runs: they move to it.
        connection.execute(
            delete(schema.cells).where(
                schema.cells.c.study == study.name, schema.cells.c.run_key.in_(chunk)
            )
        )
    # A renamed archive holds the same runs: all of them get the new label.
    label = plan.dataset.label
    cells = [cell_row(i, cell, plan, content) for i, cell in enumerate(plan.cells)]
    cells += [{**row, "ordinal": len(keys) + i, "dataset": label} for i, row in enumerate(kept)]
    connection.execute(insert(schema.cells), cells)
    row = {
        "study": study.name,
        "dataset": label,
        "setting": study.setting,
        "definition": plan.definition,
        "updated_at": now(),
        "dataset_hash": content,
    }
    put(connection, schema.studies, [row])
    connection.execute(delete(schema.studies).where(_without_cells()))


def add_cells(connection: Connection, plan: Plan, cells: Sequence[Cell]) -> None:
    """Make further cells of a study, behind those that are there."""
    content, table = str(plan.dataset.content_hash()), schema.cells
    mine = (
        table.c.study == plan.study.name,
        table.c.dataset_hash == content,
        table.c.setting == plan.study.setting,
    )
    architectures = {cell.architecture.fingerprint: cell.architecture for cell in cells}
    add_architectures(connection, architectures.values())
    add_missing(connection, schema.runs, [run_row(cell, plan, content) for cell in cells])
    last = connection.scalar(select(func.max(table.c.ordinal)).where(*mine))
    first = 0 if last is None else last + 1
    rows = [cell_row(first + i, cell, plan, content) for i, cell in enumerate(cells)]
    add_missing(connection, table, rows)


def _move_looks(connection: Connection, plan: Plan, content: str, keys: Sequence[str]) -> None:
    """Looks go along with runs that move to this setting: what was seen stays seen."""
    cells, looks, study = schema.cells, schema.looks, plan.study
    earlier = {
        setting
        for chunk in chunks(keys)
        for setting in connection.scalars(
            select(cells.c.setting).where(
                cells.c.study == study.name,
                cells.c.dataset_hash == content,
                cells.c.setting != study.setting,
                cells.c.run_key.in_(chunk),
            )
        )
    }
    theirs = and_(
        looks.c.study == study.name,
        looks.c.dataset_hash == content,
        looks.c.setting.in_(earlier),
    )
    connection.execute(update(looks).where(theirs).values(setting=study.setting))


def _until_decided(
    connection: Connection, mine: ColumnElement[bool], plan: Plan, keys: set[str]
) -> list[dict[str, Any]]:
    """The cells with seeds beyond the plan's that were added until a verdict was reached, which stands on
    them: those of the plan's networks, under its names for them.
    """
    cells, runs, looks = schema.cells, schema.runs, schema.looks
    names = {a.fingerprint: name for name, a in plan.variants.items()}
    looked = exists().where(
        looks.c.study == cells.c.study,
        looks.c.dataset_hash == cells.c.dataset_hash,
        looks.c.setting == cells.c.setting,
        looks.c.rule == ANYTIME,
    )
    query = (
        select(cells, runs.c.fingerprint)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .where(mine, looked, runs.c.status != RunStatus.PLANNED)
        .where(~of_other_code(runs.c.recipe, plan.sources))
        .order_by(cells.c.ordinal)
    )
    found = []
    for row in map(dict, connection.execute(query).mappings()):
        name = names.get(row.pop("fingerprint"))
        if name is not None and row["run_key"] not in keys:
            found.append({**row, "variant": name})
    return found


def _once(
    connection: Connection, kept: Sequence[dict[str, Any]], plan: Plan, content: str
) -> list[dict[str, Any]]:
    """Those cells that began with the weights that the plan's networks begin with, and that have the place of
    none of its own: no variant, seed and fold has two runs in a study.
    """
    runs, known = schema.runs, dict[str, Any]()
    columns = runs.c.run_key, runs.c.fingerprint, runs.c.seed, runs.c.fold, runs.c.recipe
    for chunk in chunks([row["run_key"] for row in kept]):
        found = connection.execute(select(*columns).where(runs.c.run_key.in_(chunk)))
        known |= {row.run_key: row for row in found}
    taken = {(cell.variant.name, cell.seed, cell.fold) for cell in plan.cells}
    stays = list[dict[str, Any]]()
    for row in kept:
        run = known[row["run_key"]]
        place = row["variant"], run.seed, run.fold
        begun = plan.weights_sha256 is None or began_so(
            run, plan.study, content, plan.weights_sha256
        )
        if begun and place not in taken:
            taken.add(place)
            stays.append(row)
    return stays


def _searched(
    connection: Connection, mine: ColumnElement[bool], plan: Plan, keys: set[str]
) -> list[dict[str, Any]]:
    """The study's cells that a search has asked and its grid does not have: they stay behind the grid,
    under the grid's name for their network where it has one.

    Those are the networks of its trials, and with fresh seeds the baseline that they are confirmed against.
    """
    cells, runs, trials = schema.cells, schema.runs, schema.trials
    search = exists().where(
        trials.c.study == cells.c.study,
        trials.c.dataset_hash == cells.c.dataset_hash,
        trials.c.setting == cells.c.setting,
    )
    asked = search.where(trials.c.fingerprint == runs.c.fingerprint)
    confirms = and_(search, runs.c.seed > FRESH_SEEDS)
    query = (
        select(cells, runs.c.fingerprint)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .where(mine, or_(asked, confirms))
        .where(~of_other_code(runs.c.recipe, plan.sources))
    )
    names = {cell.architecture.fingerprint: variant_columns(cell.variant) for cell in plan.cells}
    found = []
    for row in map(dict, connection.execute(query.order_by(cells.c.ordinal)).mappings()):
        called = names.get(row.pop("fingerprint"), {})
        if row["run_key"] not in keys:
            found.append({**row, **called})
    return found


def _without_cells() -> ColumnElement[bool]:
    """Studies whose cells have all moved to another setting."""
    studies, cells = schema.studies, schema.cells
    return ~exists().where(
        cells.c.study == studies.c.study,
        cells.c.dataset_hash == studies.c.dataset_hash,
        cells.c.setting == studies.c.setting,
    )
