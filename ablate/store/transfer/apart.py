"""Runs that a merge keeps out of a study, since those that are there began otherwise; none is there twice."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Text, cast, delete, func, select

from ablate.store import schema
from ablate.store.progress.status import StudyKey
from ablate.store.statements import chunks
from ablate.study.own_code import sources_in
from ablate.system.messages.text import plural, seed_and_fold

WEIGHTS = "weights_sha256"
"""The key of a study's definition that says which file of weights its networks began with."""
SHORT = 8

Place = tuple[StudyKey, str, int, int | None]
"""Study, variant, seed and fold: one run of them is a result."""


def studies_apart(source: Connection, target: Connection) -> dict[StudyKey, str]:
    """The studies of both whose runs do not go together, and why: their networks began with other weights,
    or a run is another one here though its network and the code around it are the same.
    """
    ours, theirs = _definitions(target), _definitions(source)
    both, found = ours.keys() & theirs.keys(), dict[StudyKey, str]()
    for where in both:
        begun = theirs[where].get(WEIGHTS), ours[where].get(WEIGHTS)
        if None not in begun and begun[0] != begun[1]:
            there, here = (str(each)[:SHORT] for each in begun)
            found[where] = f"began with other weights (SHA-256 {there}, here {here})"
    for where in both - found.keys():
        if why := _others_in_place(source, target, where):
            found[where] = why
    return found


def key_of(row: Mapping[str, Any]) -> StudyKey:
    """The study that a row of a table is of."""
    return row["study"], row["dataset_hash"], row["setting"]


def told_apart(study: str, why: str, runs: int) -> str:
    """The line about runs that came along."""
    return (
        f"{study}: its runs there {why}: their {plural(runs, 'run')} came along, but not into this study; "
        "`ablate run` finds them where it begins as they did"
    )


def leave_out_doubles(connection: Connection) -> list[str]:
    """Of runs that are one variant, seed and fold of a study the first stays in it; a line for each study."""
    cells, runs = schema.cells, schema.runs
    place = cells.c.study, cells.c.dataset_hash, cells.c.setting, cells.c.variant
    one = (*place, runs.c.seed, runs.c.fold)
    twice = select(*one).join(runs).group_by(*one).having(func.count() > 1)
    studies = {tuple(row[:3]) for row in connection.execute(twice)}
    return [_leave_out(connection, where) for where in sorted(studies)]


def _leave_out(connection: Connection, where: StudyKey) -> str:
    cells = schema.cells
    first, left = dict[Place, str](), list[tuple[Place, str]]()
    for place, row in _runs_by_place(connection, where):
        if place in first:
            left.append((place, row.run_key))
        first.setdefault(place, row.run_key)
    for keys in chunks([key for _, key in left]):
        mine = cells.c.study == where[0], cells.c.run_key.in_(keys)
        connection.execute(delete(cells).where(*mine))
    (_, variant, seed, fold), key = left[0]
    return (
        f"{where[0]}: {variant}, {seed_and_fold(seed, fold)} was there as {first[left[0][0]]} and {key}: "
        f"{plural(len(left), 'run')} that another one has the place of stayed in the database, but not in "
        "this study; `ablate run` of it keeps those of its own"
    )


def _definitions(connection: Connection) -> dict[StudyKey, Mapping[str, Any]]:
    table = schema.studies
    place = table.c.study, table.c.dataset_hash, table.c.setting
    found = connection.execute(select(*place, table.c.definition))
    return {(row[0], row[1], row[2]): row[3] for row in found}


def _others_in_place(source: Connection, target: Connection, where: StudyKey) -> str | None:
    """That a run of one network, trained and measured by the same code, has another key there."""
    here = defaultdict[Place, list[Any]](list)
    for place, row in _runs_by_place(target, where):
        here[place].append(row)
    for place, row in _runs_by_place(source, where):
        for own in here.get(place, ()):
            alike = own.fingerprint == row.fingerprint and _code(own.recipe) == _code(row.recipe)
            if alike and all(each.run_key != row.run_key for each in here[place]):
                which = f"{place[1]}, {seed_and_fold(place[2], place[3])}"
                return (
                    f"are others than those here, of the same networks ({which} is {row.run_key}, here "
                    f"{own.run_key}; they began with other weights, or were trained by another version)"
                )
    return None


def _runs_by_place(connection: Connection, where: StudyKey) -> list[tuple[Place, Any]]:
    """The runs of a study in its order."""
    cells, runs = schema.cells, schema.runs
    text = cast(runs.c.recipe, Text).label("recipe")
    columns = cells.c.run_key, cells.c.variant, runs.c.seed, runs.c.fold, runs.c.fingerprint, text
    mine = zip((cells.c.study, cells.c.dataset_hash, cells.c.setting), where, strict=True)
    query = select(*columns).select_from(cells).join(runs)
    rows = connection.execute(
        query.where(*(column == value for column, value in mine)).order_by(
            cells.c.ordinal, cells.c.run_key
        )
    )
    return [((where, row.variant, row.seed, row.fold), row) for row in rows]


@cache
def _code(recipe: str) -> frozenset[tuple[str, str]]:
    """The hashes of the user's functions; thousands of runs have few recipes."""
    return frozenset(sources_in(json.loads(recipe)).items())
