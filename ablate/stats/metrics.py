"""The metrics of a classifier, from its logits: what `ablate.study.metrics` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ablate.study.metrics import CALIBRATION_BINS, RECALL

Weights = NDArray[np.float64] | None
TOP = 5


@dataclass(frozen=True)
class Answers:
    """What a network said of images, beside what is right.

    Shape: logits (N, classes), labels (N,) of whole numbers from 0.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    @cached_property
    def log_probabilities(self) -> NDArray[np.float64]:
        """Shape: (N, classes)."""
        found: NDArray[np.float64] = log_softmax(self.logits.astype(np.float64), axis=1)
        return found

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Shape: (N,)."""
        found: NDArray[np.int64] = self.logits.argmax(axis=1)
        return found


def measure(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[tuple[str, int | None], float]:
    """Every metric that these answers have, by its name and None, and the recall of each class that has
    images, by its number.

    One that they do not have is left out: the top five of five classes, the AUROC of one class.

    Shape: logits (N, classes), labels (N,).
    """
    answers = Answers(logits, labels)
    counts = count(labels, answers.predicted)
    found: dict[str, float | None] = {
        **{name: float(of_counts(counts)) for name, of_counts in OF_PREDICTIONS.items()},
        **{name: of_logits(answers) for name, of_logits in OF_LOGITS.items()},
    }
    whole: dict[tuple[str, int | None], float] = {
        (name, None): value for name, value in found.items() if value is not None
    }
    recalls = recall_by_class(labels, answers.predicted)
    return whole | {(RECALL, each): value for each, value in recalls.items()}


@dataclass(frozen=True)
class Counts:
    """How many images of each class there are, were said to be, and were right to be said to be.

    Shape: (classes,), or (drawings, classes) where images count as often as they are drawn.
    """

    labelled: NDArray[np.float64]
    said: NDArray[np.float64]
    right: NDArray[np.float64]


def count(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: Weights = None
) -> Counts:
    """Shape: labels and predicted (N,), weights (drawings, N) or (N,); without them an image counts once."""
    classes = int(max(labels.max(), predicted.max())) + 1
    weights = np.ones(len(labels)) if weights is None else weights

    right = labels == predicted
    return Counts(
        _by_class(labels, weights, classes),
        _by_class(predicted, weights, classes),
        _by_class(labels[right], weights[..., right], classes),
    )


def _by_class(
    numbers: NDArray[np.int64], weights: NDArray[np.float64], classes: int
) -> NDArray[np.float64]:
    """The weights (…, images) summed over the images of each class, (…, classes)."""
    order = np.argsort(numbers, kind="stable")
    there, first = np.unique(numbers[order], return_index=True)
    found = np.zeros((*weights.shape[:-1], classes))
    if len(there):
        found[..., there] = np.add.reduceat(weights[..., order], first, axis=-1)
    return found


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """The share of images of which the right class was predicted."""
    share: NDArray[np.float64] = counts.right.sum(-1) / counts.labelled.sum(-1)
    return share


def balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    """The mean of the classes' recalls: a rare class counts as much as a frequent one."""
    return _mean_over_classes(counts.right, counts.labelled)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """The mean over classes of F1 = 2·TP / (2·TP + FP + FN), of those that have images or were said."""
    return _mean_over_classes(2 * counts.right, counts.labelled + counts.said)


def _mean_over_classes(
    parts: NDArray[np.float64], wholes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of those whose whole is not 0."""
    used = wholes > 0
    ratios = np.divide(parts, wholes, out=np.zeros_like(parts), where=used)
    mean: NDArray[np.float64] = ratios.sum(-1) / used.sum(-1)
    return mean


def recall_by_class(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[int, float]:
    """Of the images of each class, the share that was found; classes without images are left out."""
    counts = count(labels, predicted)
    there = np.flatnonzero(counts.labelled)
    return {int(each): float(counts.right[each] / counts.labelled[each]) for each in there}


def _top5_accuracy(answers: Answers) -> float | None:
    classes = answers.logits.shape[1]
    if classes <= TOP:
        return None
    first = np.argpartition(-answers.logits, TOP - 1, axis=1)[:, :TOP]
    return float((first == answers.labels[:, None]).any(axis=1).mean())


def _auroc(answers: Answers) -> float | None:
    """Fawcett 2006, "An introduction to ROC analysis": by ranks, one class against the rest."""
    counts = np.bincount(answers.labels)
    areas = []
    for each in np.flatnonzero((counts > 0) & (counts < len(answers.labels))):
        positive = answers.labels == each
        # In single precision, as the network said it: what is a tie there is a tie.
        ranks = _ranks(answers.log_probabilities[:, each].astype(np.float32))
        n = int(positive.sum())
        area = (ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n))
        areas.append(area)
    return float(np.mean(areas)) if areas else None


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """From 1; equal values have the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return ranks


def _log_loss(answers: Answers) -> float:
    """In nats an image."""
    rows = np.arange(len(answers.labels))
    return float(-answers.log_probabilities[rows, answers.labels].mean())


def _calibration_error(answers: Answers) -> float:
    """Guo et al. 2017, arXiv:1706.04599: how far confidence is from accuracy, in bins of equal width."""
    confidence = np.exp(answers.log_probabilities.max(axis=1))
    right = answers.predicted == answers.labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence) - np.bincount(bins, weights=right)
    return float(np.abs(gaps).sum() / len(right))


OF_PREDICTIONS: Mapping[str, Callable[[Counts], NDArray[np.float64]]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}
"""Those that the predicted classes are enough for, so that images can be drawn again for their intervals."""

OF_LOGITS: Mapping[str, Callable[[Answers], float | None]] = {
    "top5_accuracy": _top5_accuracy,
    "auroc": _auroc,
    "log_loss": _log_loss,
    "calibration_error": _calibration_error,
}


def confusion(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """How many images of each class (rows) were said to be of each (columns). Shape: (classes, classes)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
