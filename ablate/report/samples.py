"""What verdicts are made from: each network's scores by the study's metric, and what lies behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from ablate.result.metrics import Split
from ablate.stats.fresh import Kinds, Seeds
from ablate.stats.looks import FinishedRun, fresh_of
from ablate.stats.sample import PackedBits, Predicted, Sample
from ablate.study.metrics import ACCURACY, metric_named
from ablate.study.own_metrics import stored_name

if TYPE_CHECKING:
    from ablate.store.reading.frames import Frames


def read_samples(
    names: Sequence[str],
    finished: pd.DataFrame,
    frames: Frames,
    aliases: Mapping[str, str],
    metric: str,
) -> dict[str, Sample]:
    """The scores of every network by seed. Accuracy has the bits that it is the mean of; a metric of
    predictions has those. A run of which the metric is not known is not there.
    """
    scores = _of_split(finished, frames, metric, "test").to_dict()
    each = dict(list(finished.groupby("variant", sort=False)))
    found: dict[str, Sample] = {}
    for name in (name for name in names if name not in aliases):
        rows = each.get(name, finished.iloc[:0]).sort_values("seed")
        pairs = zip(rows["seed"], rows["run_key"], strict=True)
        keys = {int(seed): str(key) for seed, key in pairs if key in scores}
        values = {seed: float(scores[key]) for seed, key in keys.items()}
        sample = _sample(values, keys, frames, metric)
        found[name] = replace(sample, paired=frames.paired, bounds=metric_named(metric).bounds)
    return found


def count_lacking(finished: pd.DataFrame, frames: Frames, metric: str) -> int:
    """How many finished runs have no value of the metric on test images: nothing is judged by them."""
    known = _of_split(finished, frames, metric, "test").dropna()
    return int((~finished["run_key"].isin(known.index)).sum())


def validation_scores(finished: pd.DataFrame, frames: Frames, metric: str) -> dict[str, float]:
    """The metric of the validation images by run key, of the runs that have it."""
    found = _of_split(finished, frames, metric, "validation").dropna()
    return {str(key): float(value) for key, value in found.items()}


def _of_split(finished: pd.DataFrame, frames: Frames, metric: str, split: Split) -> pd.Series:
    if metric == ACCURACY:
        column = {"test": "test_accuracy", "validation": "val_accuracy"}[split]
        return finished.set_index("run_key")[column]
    table = frames.metrics
    if table.empty:
        return pd.Series(dtype=float)
    mine = table[(table["metric"] == stored_name(metric)) & (table["split"] == split)]
    return mine.set_index("run_key")["value"]


def _sample(
    values: Mapping[int, float], keys: Mapping[int, str], frames: Frames, metric: str
) -> Sample:
    images = frames.images
    if metric == ACCURACY:
        correct = images.correct
        packed = {seed: correct.packed(key) for seed, key in keys.items() if key in correct}
        bits = PackedBits(packed, images.images)
        return Sample(values, bits, images.images or None, folds=frames.folds)
    if not metric_named(metric).of_predictions or images.labels is None:
        return Sample(values, folds=frames.folds)
    said = {seed: images.said[key].predicted for seed, key in keys.items() if key in images.said}
    return Sample(values, predicted=Predicted(metric, images.labels, said), folds=frames.folds)


def judged_runs(
    finished: pd.DataFrame, kinds: Kinds, last: int, planned: Collection[str]
) -> list[FinishedRun]:
    """Finished runs that verdicts stand on: those by which a variant is judged, and the fresh seeds of
    `planned` ones, which have a verdict of their own.
    """
    rows = finished.loc[finished["finished_at"].notna(), ["variant", "seed", "finished_at"]]
    runs = list[FinishedRun]()
    for name, seed, at in rows.itertuples(index=False, name=None):
        if seed > last:
            counted = fresh_of(name) if name in planned else str(name)
            runs.append(FinishedRun(counted, int(seed), str(at), last))
        elif kinds.of.get(name) is not Seeds.FRESH:
            runs.append(FinishedRun(str(name), int(seed), str(at)))
    return runs
