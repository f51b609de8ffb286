"""The cells that a merge brings: behind those that a study has already, and of the same networks alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, cast, func, insert, select, update

from ablate.result.elsewhere import ELSEWHERE, is_elsewhere, told_of
from ablate.store import schema
from ablate.store.progress.status import StudyKey
from ablate.store.statements import chunks
from ablate.store.transfer.apart import key_of, told_apart
from ablate.store.transfer.merge_runs import check
from ablate.study.own_code import sources_in
from ablate.system.messages.text import plural

Measured = tuple[str, frozenset[tuple[str, str]]]
"""The fingerprint of a network, and the hashes of the user's functions that trained and measured it."""


def add_cells(
    source: Connection, target: Connection, apart: Mapping[StudyKey, str]
) -> tuple[set[StudyKey], list[str]]:
    """Add the cells that are new, behind those of the same study; returns where others were before, and a
    line for each study that is `apart`, or some of whose variants are other networks here, or have other
    functions of the user's: a mean of both would be of neither.
    """
    cells, runs = schema.cells, schema.runs
    key, place = (cells.c.study, cells.c.run_key), _place(cells)
    known = {tuple(row) for row in target.execute(select(*key))}
    counts = select(*place, func.max(cells.c.ordinal) + 1).group_by(*place)
    behind = {tuple(row[:3]): row[3] for row in target.execute(counts)}
    studies = schema.studies
    # The same images under another name: they get the name that they have here.
    named = target.execute(select(*_place(studies), studies.c.dataset))
    labels = {tuple(row[:3]): row[3] for row in named}
    networks, others = _networks(target), defaultdict[StudyKey, list[str]](list)
    rows, joined, beside = [], set(), Counter[StudyKey]()
    query = select(cells, runs.c.fingerprint, runs.c.recipe).join(runs).order_by(cells.c.ordinal)
    for found in map(dict, source.execute(query).mappings()):
        measured = found.pop("fingerprint"), _own_code(found.pop("recipe"))
        if (found["study"], found["run_key"]) in known:
            continue
        check(cells, found)
        where = key_of(found)
        if where in apart:
            beside[where] += 1
            continue
        here = networks.get((*where, found["variant"]), {measured})
        if measured not in here:
            others[where].append(found["variant"])
            continue
        joined |= {where} & behind.keys()
        ordinal = found["ordinal"] + behind.get(where, 0)
        rows.append({**found, "ordinal": ordinal, "dataset": labels.get(where, found["dataset"])})
    for chunk in chunks(rows):
        target.execute(insert(cells), chunk)
    told = [told_apart(where[0], apart[where], number) for where, number in beside.items()]
    return joined, told + [_other_networks(where[0], names) for where, names in others.items()]


def _own_code(recipe: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(sources_in(recipe).items())


def _networks(target: Connection) -> dict[tuple[str, ...], set[Measured]]:
    """The fingerprints of each variant of each study, each with the hashes of the user's functions of its
    runs.
    """
    cells, runs = schema.cells, schema.runs
    recipe = cast(runs.c.recipe, Text)
    query = select(*_place(cells), cells.c.variant, runs.c.fingerprint, recipe).join(runs)
    found = defaultdict[tuple[str, ...], set[Measured]](set)
    for *place, fingerprint, text in target.execute(query.distinct()):
        found[tuple(place)].add((fingerprint, _own_code(json.loads(text))))
    return found


def _other_networks(study: str, variants: Sequence[str]) -> str:
    names = list(dict.fromkeys(variants))
    more = f" and {plural(len(names) - 1, 'other variant')}" if len(names) > 1 else ""
    return (
        f"{study}: {names[0]}{more} are other networks there, of other code or libraries, or trained or "
        f"measured by other code: their {plural(len(variants), 'run')} came along, but not into this study; "
        "`ablate run` with that network finds them"
    )


def join_definitions(source: Connection, target: Connection, joined: Iterable[StudyKey]) -> None:
    """Add studies that are new, and name in the others the variants that came with new cells."""
    studies, cells = schema.studies, schema.cells
    place = _place(studies)
    here = {tuple(row[:3]): row[3] for row in target.execute(select(*place, studies.c.definition))}
    used = select(*_place(cells)).distinct()
    filled = {tuple(row) for row in target.execute(used)}
    for found in source.execute(select(studies)).mappings():
        where = (found["study"], found["dataset_hash"], found["setting"])
        if where not in here and where in filled:
            target.execute(insert(studies), dict(found))
        elif where in here and where in set(joined):
            definition = _union(here[where], found["definition"])
            mine = [column == value for column, value in zip(place, where, strict=True)]
            target.execute(update(studies).where(*mine).values(definition=definition))


def _place(table: Table) -> tuple[Column[str], Column[str], Column[str]]:
    """What a row's study is known by."""
    return table.c.study, table.c.dataset_hash, table.c.setting


def _union(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    def both(key: str) -> list[Any]:
        mine = list(ours.get(key) or [])
        return mine + [value for value in theirs.get(key) or [] if value not in mine]

    def most(key: str) -> int | None:
        return max((n for n in (ours.get(key), theirs.get(key)) if n is not None), default=None)

    aliases = {**(theirs.get("aliases") or {}), **(ours.get("aliases") or {})}
    if is_elsewhere(ours) and is_elsewhere(theirs):
        ours = {**ours, ELSEWHERE: _joined(told_of(ours), told_of(theirs))}
    counted = {key: theirs[key] for key in ("validation_images",) if key in theirs}
    return {
        **counted,
        **ours,
        "variants": both("variants"),
        "grid": both("grid"),
        "aliases": aliases,
        "seeds": most("seeds"),
        "baseline_seeds": most("baseline_seeds"),
    }


def _joined(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of runs from elsewhere; they are paired where both are said to be."""
    known = {each["sha256"] for each in ours["files"]}
    return {
        **ours,
        "paired": ours["paired"] and theirs["paired"],
        "images": ours.get("images") or theirs.get("images"),
        "epochs": sorted({*ours["epochs"], *theirs["epochs"]}),
        "files": [*ours["files"], *(f for f in theirs["files"] if f["sha256"] not in known)],
    }
