"""What the runs of a study give to its statistics: scores and bits by variant and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from ablate.result import RunStatus
from ablate.result.image_results import unpack_bits
from ablate.stats.sample import Bits, Sample
from ablate.store import schema
from ablate.store.connect import database_exists
from ablate.store.read import reading
from ablate.store.status import StudyKey


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
    done = tuple(row.run_key for row in rows if row.status is RunStatus.FINISHED)
    return Standing(samples, {name: frozenset(each) for name, each in failed.items()}, done)


def similar_samples(
    url: str, dataset_hash: str, backbone: str, recipe: dict[str, Any]
) -> dict[str, Sample]:
    """What was trained on these images with this backbone, by network: under this recipe if two runs of
    one network are there, else under the one that most runs have; nothing where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    runs, networks = schema.runs, schema.architectures
    query = (
        select(runs.c.fingerprint, runs.c.seed, runs.c.status, runs.c.recipe, *_RESULT)
        .join(networks, networks.c.fingerprint == runs.c.fingerprint)
        .where(runs.c.dataset_hash == dataset_hash, networks.c.backbone == backbone)
        .where(runs.c.status == RunStatus.FINISHED, runs.c.test_correct.is_not(None))
        .order_by(runs.c.run_key)
    )
    groups: dict[str, list[Any]] = defaultdict(list)
    with reading(url) as connection:
        for row in connection.execute(query):
            groups[str(sorted(row.recipe.items()))].append(row)
        if not groups:
            return {}
        same = groups.get(str(sorted(recipe.items())), [])
        repeated = len({row.fingerprint for row in same}) < len(same)
        chosen = same if repeated else max(groups.values(), key=len)
        return _samples(connection, [(row.fingerprint, row) for row in chosen])


_RESULT = (
    *(schema.runs.c.run_key, schema.runs.c.dataset_hash),
    *(schema.runs.c.test_accuracy, schema.runs.c.test_correct),
)


def _samples(connection: Connection, rows: Sequence[tuple[str, Any]]) -> dict[str, Sample]:
    """Samples by the given names, in the order in which these come up; empty without a finished run."""
    sets = schema.test_sets
    images = {row.dataset_hash: row.images for row in connection.execute(select(sets))}
    scores: dict[str, dict[int, float]] = {name: {} for name, _ in rows}
    bits: dict[str, dict[int, Bits]] = {name: {} for name, _ in rows}
    for name, row in rows:
        if row.status is not RunStatus.FINISHED or row.test_accuracy is None:
            continue
        scores[name][row.seed] = row.test_accuracy
        size = images.get(row.dataset_hash)
        if size is not None and len(row.test_correct or b"") == (size + 7) // 8:
            bits[name][row.seed] = unpack_bits(row.test_correct, size)
    return {name: Sample(scores[name], bits[name]) for name in scores}
