"""The metrics of a classifier, from its logits: what `ablate.study.metrics` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import rankdata

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
        return self.logits.argmax(axis=1)


def measure(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[tuple[str, int | None], float]:
    """Every metric that these answers have, by its name and None, and the recall of each class that has
    images, by its number.

    One that they do not have is left out: the top five of five classes, the AUROC of one class.

    Shape: logits (N, classes), labels (N,).
    """
    answers = Answers(logits, labels)
    found = {(name, None): function(answers) for name, function in FUNCTIONS.items()}
    recalls = recall_by_class(labels, answers.predicted)
    whole = {key: value for key, value in found.items() if value is not None}
    return {**whole, **{(RECALL, each): value for each, value in recalls.items()}}


def accuracy(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: Weights = None
) -> float:
    """The share of images of which the right class was predicted."""
    return float(np.average(labels == predicted, weights=weights))


def recall_by_class(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: Weights = None
) -> dict[int, float]:
    """Of the images of each class, the share that was found; classes without images are left out."""
    of_class = np.bincount(labels, weights=weights)
    right = labels == predicted
    kept = None if weights is None else weights[right]
    found = np.bincount(labels[right], weights=kept, minlength=len(of_class))
    return {int(i): float(found[i] / of_class[i]) for i in np.flatnonzero(of_class)}


def balanced_accuracy(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: Weights = None
) -> float:
    """The mean of the classes' recalls: a rare class counts as much as a frequent one."""
    return float(np.mean(list(recall_by_class(labels, predicted, weights).values())))


def macro_f1(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: Weights = None
) -> float:
    """The mean over classes of F1 = 2·TP / (2·TP + FP + FN), of those that have images or were said."""
    size = int(max(labels.max(), predicted.max())) + 1
    right = labels == predicted
    kept = None if weights is None else weights[right]
    hits = np.bincount(labels[right], weights=kept, minlength=size)
    both = np.bincount(labels, weights=weights, minlength=size) + np.bincount(
        predicted, weights=weights, minlength=size
    )
    used = both > 0
    return float(np.mean(2 * hits[used] / both[used]))


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
        ranks = rankdata(answers.log_probabilities[:, each].astype(np.float32))
        n = int(positive.sum())
        area = (ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n))
        areas.append(area)
    return float(np.mean(areas)) if areas else None


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


FUNCTIONS: Mapping[str, Callable[[Answers], float | None]] = {
    "accuracy": lambda answers: accuracy(answers.labels, answers.predicted),
    "balanced_accuracy": lambda answers: balanced_accuracy(answers.labels, answers.predicted),
    "macro_f1": lambda answers: macro_f1(answers.labels, answers.predicted),
    "top5_accuracy": _top5_accuracy,
    "auroc": _auroc,
    "log_loss": _log_loss,
    "calibration_error": _calibration_error,
}

OF_PREDICTIONS: Mapping[str, Callable[[NDArray[Any], NDArray[Any], Weights], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}
"""Of labels, predicted classes and weights of images: those for whose intervals images are drawn again."""


def confusion(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """How many images of each class (rows) were said to be of each (columns). Shape: (classes, classes)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
