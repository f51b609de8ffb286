"""What the runs of a study give to its statistics: scores and bits by variant and seed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, func, select

from ablate.result import RunStatus
from ablate.result.image_results import unpack_bits
from ablate.stats.sample import Bits, Sample
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading
from ablate.store.progress.status import StudyKey
from ablate.store.reading.folds import Dealt, join_bits

ENOUGH_RUNS, ENOUGH_SEEDS = 2_000, 4
"""How many runs, and seeds of each network, say how much runs vary."""


@dataclass(frozen=True)
class Standing:
    """Where a study is: the samples of all its variants, those of a search included, the seeds at which
    runs have failed, and the keys of the finished runs.
    """

    samples: dict[str, Sample] = field(default_factory=dict)
    failed: dict[str, frozenset[int]] = field(default_factory=dict)
    finished: tuple[str, ...] = ()

    def over(self, variant: str) -> frozenset[int]:
        """The seeds with a result, or with none for ever."""
        sample = self.samples.get(variant)
        return (sample.seeds if sample else frozenset()) | self.failed.get(variant, frozenset())


def read_standing(connection: Connection, key: StudyKey) -> Standing:
    """Where a study is on these images under this setting."""
    cells, runs = schema.cells, schema.runs
    query = (
        select(cells.c.variant, runs.c.seed, runs.c.status, *_RESULT)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .where(cells.c.study == key[0], cells.c.dataset_hash == key[1], cells.c.setting == key[2])
        .order_by(cells.c.ordinal)
    )
    rows = connection.execute(query).all()
    failed: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if row.status is RunStatus.FAILED:
            failed[row.variant].add(row.seed)
    samples = _samples(connection, [(row.variant, row) for row in rows])
    done = tuple(_finished(rows, samples))
    return Standing(samples, {name: frozenset(each) for name, each in failed.items()}, done)


def _finished(rows: Sequence[Any], samples: Mapping[str, Sample]) -> Iterator[str]:
    """The keys of what has finished: of folds that of the first one of each whole seed, as in `frames`."""
    first: set[tuple[str, int]] = set()
    for row in sorted(rows, key=lambda row: row.fold or 0):
        if row.status is not RunStatus.FINISHED:
            continue
        if row.fold is None:
            yield row.run_key
        elif (row.variant, row.seed) not in first and row.seed in samples[row.variant].scores:
            first.add((row.variant, row.seed))
            yield row.run_key


def similar_samples(
    url: str, dataset_hash: str, backbone: str, recipe: dict[str, Any]
) -> dict[str, Sample]:
    """What was trained on these images with this backbone, by network: under this recipe if two runs of
    one network are there, else under the one that most runs have; nothing where there is no database. Of
    thousands of runs, those of the first seeds: they are asked how much runs vary, which more do not tell.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    runs, networks = schema.runs, schema.architectures
    known = (
        *(runs.c.dataset_hash == dataset_hash, networks.c.backbone == backbone),
        *(runs.c.status == RunStatus.FINISHED, runs.c.test_correct.is_not(None)),
    )
    with reading(url) as connection:
        texts, networks_of = _recipes(connection, known, recipe)
        query = (
            select(runs.c.fingerprint, runs.c.seed, runs.c.status, *_RESULT)
            .join(networks, networks.c.fingerprint == runs.c.fingerprint)
            .where(*known, cast(runs.c.recipe, Text).in_(texts))
            .order_by(runs.c.seed, runs.c.run_key)
            .limit(max(ENOUGH_RUNS, ENOUGH_SEEDS * networks_of))
        )
        found = connection.execute(query).all() if texts else []
        rows = sorted(found, key=lambda row: str(row.run_key))
        return _samples(connection, [(row.fingerprint, row) for row in rows])


def _recipes(
    connection: Connection, known: Sequence[ColumnElement[bool]], recipe: dict[str, Any]
) -> tuple[list[str], int]:
    """As which texts the recipe is stored that is chosen, and how many networks were trained under it.
    Counted by the database: of thousands of runs a few texts are left.
    """
    runs, networks = schema.runs, schema.architectures
    alike = runs.c.fingerprint, cast(runs.c.recipe, Text).label("recipe")
    joined = select(*alike, func.count()).join(
        networks, networks.c.fingerprint == runs.c.fingerprint
    )
    groups: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for fingerprint, text, number in connection.execute(joined.where(*known).group_by(*alike)):
        groups[str(sorted(json.loads(text).items()))].append((fingerprint, text, number))
    same = groups.get(str(sorted(recipe.items())), [])
    repeated = len({fingerprint for fingerprint, _, _ in same}) < sum(n for _, _, n in same)
    most = max(groups.values(), key=lambda rows: sum(n for _, _, n in rows), default=[])
    chosen = same if repeated else most
    return sorted({text for _, text, _ in chosen}), len({network for network, _, _ in chosen})


_RESULT = (
    *(schema.runs.c.run_key, schema.runs.c.dataset_hash),
    *(schema.runs.c.test_accuracy, schema.runs.c.test_correct),
    *(schema.runs.c.fold, schema.runs.c.test_first, schema.runs.c.test_images),
)


def _samples(connection: Connection, rows: Sequence[tuple[str, Any]]) -> dict[str, Sample]:
    """Samples by the given names, in the order in which these come up; empty without a finished run. With
    folds a seed is in them once all of its folds have finished.
    """
    sets = schema.test_sets
    images = {row.dataset_hash: row.images for row in connection.execute(select(sets))}
    scores: dict[str, dict[int, float]] = {name: {} for name, _ in rows}
    bits: dict[str, dict[int, Bits]] = {name: {} for name, _ in rows}
    dealt: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for name, row in rows:
        if row.status is not RunStatus.FINISHED or row.test_accuracy is None:
            continue
        if row.fold is not None:
            dealt[name, row.seed].append(row)
            continue
        scores[name][row.seed] = row.test_accuracy
        size = images.get(row.dataset_hash)
        if size is not None and len(row.test_correct or b"") == (size + 7) // 8:
            bits[name][row.seed] = unpack_bits(row.test_correct, size)
    folds = 1
    for (name, seed), runs in dealt.items():
        whole = join_bits(_parts(runs), images.get(runs[0].dataset_hash, 0))
        if whole is not None:
            bits[name][seed], scores[name][seed] = whole, float(whole.mean())
            folds = max(folds, len(runs))
    return {name: Sample(scores[name], bits[name], folds=folds) for name in scores}


def _parts(runs: Sequence[Any]) -> list[Dealt]:
    """Those of them of which it is known what they were tested on."""
    return [
        Dealt(row.test_first, row.test_images, row.test_correct)
        for row in runs
        if row.test_images is not None and row.test_correct is not None
    ]
