"""Runs of one seed over folds become one: each image is tested once, by the run of its fold.

Whatever is compared, counted over images or shown of a seed is made from all of its folds or not at all.
Accuracy, balanced accuracy, macro F1 and recalls are those of all images together. Metrics that take more
than the predicted class, and all of validation images, are means over folds by their images: one fold's
probabilities are not on another one's scale.

Source: Forman and Scholz, SIGKDD Explorations 12 (2010), "Apples-to-apples in cross-validation studies".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.result import RunStatus
from ablate.result.image_results import Bits, ImageResults, Said, unpack_bits
from ablate.stats.metrics import OF_PREDICTIONS, count

UNDER_WAY = (RunStatus.FAILED, RunStatus.RUNNING, RunStatus.STOPPED)
"""What a seed is as soon as one of its folds is that, the first of these."""


@dataclass(frozen=True)
class Dealt:
    """The bits of one run: `first` and `images` say which of all test images they are of."""

    first: int
    images: int
    correct: bytes


def join_bits(parts: Sequence[Dealt], images: int) -> NDArray[np.bool_] | None:
    """Whether each of all images was classified correctly, (images,); None unless the parts are of each image
    once.
    """
    ordered = sorted(parts, key=lambda part: part.first)
    ends = [0, *(part.first + part.images for part in ordered)]
    if [part.first for part in ordered] != ends[:-1] or ends[-1] != images:
        return None
    return np.concatenate([unpack_bits(part.correct, part.images) for part in ordered])


@dataclass(frozen=True)
class Seeds:
    """What a study's seeds are, where it has `folds`: a row of `runs` for each variant and seed under the key
    of its first fold, which `key_of` tells of each run.
    """

    runs: pd.DataFrame
    key_of: Mapping[str, str]
    members: Mapping[str, Sequence[str]]

    def means(self, frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
        """The mean over the folds of each seed, of the rows of runs by these columns."""
        if frame.empty:
            return frame
        named = frame.assign(run_key=frame["run_key"].map(self.key_of)).dropna(subset=["run_key"])
        return named.groupby(["run_key", *by], as_index=False, sort=False).mean(numeric_only=True)


def join_runs(runs: pd.DataFrame, folds: int) -> Seeds:
    """A row for each seed: finished where all folds are. Of a seed that is not, nothing is a result."""
    groups = runs.groupby(["variant", "seed"], sort=False)
    rows, members = [], {}
    for _, found in groups:
        ordered = found.sort_values("fold")
        key = str(ordered["run_key"].iloc[0])
        rows.append(_row(ordered, folds))
        members[key] = [str(each) for each in ordered["run_key"]]
    joined = pd.DataFrame(rows, columns=[*runs.columns, "folds_finished"])
    return Seeds(joined, {run: key for key, mine in members.items() for run in mine}, members)


def join_images(found: ImageResults, seeds: Seeds, tested: Mapping[str, Dealt]) -> ImageResults:
    """The bits and predictions of whole seeds, each image once, by the keys of the seeds; `found` has the
    predictions of the folds.
    """
    correct: dict[str, bytes] = {}
    said: dict[str, bytes] = {}
    packed = found.said.packed
    for key, runs in seeds.members.items():
        bits = join_bits([tested[run] for run in runs if run in tested], found.images)
        if bits is None:
            continue
        correct[key] = np.packbits(bits).tobytes()
        ordered = sorted((run for run in runs if run in tested), key=lambda run: tested[run].first)
        if all(len(packed.get(run, b"")) == 4 * tested[run].images for run in ordered):
            said[key] = b"".join(packed[run] for run in ordered)
    return replace(found, correct=Bits(correct, found.images), said=Said(said))


def join_metrics(
    metrics: pd.DataFrame, seeds: Seeds, images: ImageResults, tested: Mapping[str, Dealt]
) -> pd.DataFrame:
    """The metrics of whole seeds. One that a fold lacks is lacking."""
    if metrics.empty:
        return metrics
    weight = {run: float(each.images) for run, each in tested.items()}
    there = metrics[metrics["run_key"].isin(weight)]
    weights = there["run_key"].map(weight)
    named = there.assign(
        run_key=there["run_key"].map(seeds.key_of), weight=weights, value=there["value"] * weights
    )
    found = named.groupby(["run_key", "split", "metric"], as_index=False).agg(
        value=("value", "sum"), weight=("weight", "sum"), folds=("weight", "count")
    )
    whole = found["folds"] == found["run_key"].map({k: len(v) for k, v in seeds.members.items()})
    found = found[whole & found["run_key"].isin(list(images.correct))]
    found = found.assign(value=found["value"] / found["weight"], **{"class": None})
    together = _of_all_images(images)
    found["value"] = [
        together.get((key, metric), value) if split == "test" else value
        for key, split, metric, value in zip(
            *(found[name] for name in ("run_key", "split", "metric", "value")), strict=True
        )
    ]
    return found[list(metrics.columns)].reset_index(drop=True)


def _of_all_images(images: ImageResults) -> dict[tuple[str, str], float]:
    """The metrics that predictions are enough for, by the key of a seed and their names."""
    if images.labels is None:
        return {}
    found: dict[tuple[str, str], float] = {}
    for key in images.said:
        counts = count(images.labels, images.said[key].predicted)
        found |= {(key, name): float(of(counts)) for name, of in OF_PREDICTIONS.items()}
    return found


def _row(folds: pd.DataFrame, of: int) -> dict[str, Any]:
    """One row for the runs of a seed."""
    row = {str(name): value for name, value in folds.iloc[0].items()}
    finished = folds["status"] == RunStatus.FINISHED
    row |= {name: how(folds[name]) for name, how in _TOGETHER.items() if name in folds}
    row |= {"status": _status(folds["status"], of), "folds_finished": int(finished.sum())}
    failed = folds[folds["status"] == RunStatus.FAILED]
    if len(failed):
        row |= {name: failed[name].iloc[0] for name in ("failure", "error") if name in folds}
    if row["status"] != RunStatus.FINISHED:
        return row | dict.fromkeys(("test_accuracy", "val_accuracy", "finished_at"))
    row["val_accuracy"] = folds["val_accuracy"].astype(float).mean()
    weights = folds["test_images"].astype(float)
    row["test_accuracy"] = float((folds["test_accuracy"] * weights).sum() / weights.sum())
    return row


def _status(statuses: Iterable[str], of: int) -> str:
    """Of a seed with so many folds: that of its folds where all are alike, and all there."""
    there = [RunStatus(each) for each in statuses]
    if len(there) == of and len(set(there)) == 1:
        return str(there[0])
    begun = [each for each in UNDER_WAY if each in there]
    waiting = RunStatus.STOPPED if RunStatus.FINISHED in there else RunStatus.PLANNED
    return str(begun[0] if begun else waiting)


def _listed(values: pd.Series) -> str | None:
    """All that differ, one beside the other."""
    there = dict.fromkeys(str(value) for value in values.dropna() if value != "")
    return " and ".join(there) if there else None


def _unmoved(values: pd.Series) -> str | None:
    if values.isna().all():
        return None
    names = (name for value in values.dropna() for name in str(value).split(", ") if name)
    return ", ".join(dict.fromkeys(names))


def _sum(values: pd.Series) -> float | None:
    return None if values.isna().all() else float(values.astype(float).sum())


_TOGETHER: dict[str, Callable[[pd.Series], Any]] = {
    "attempts": _sum,
    "epochs": _sum,
    "seconds": _sum,
    "train_images_per_second": lambda values: values.astype(float).mean(),
    "device": _listed,
    "precision": _listed,
    "started_at": lambda values: values.dropna().min() if values.notna().any() else None,
    "finished_at": lambda values: values.dropna().max() if values.notna().any() else None,
    "unmoved_attention": _unmoved,
}
"""How columns of `v_runs` are joined; the others are those of the first fold."""
