"""Metrics that a study can be judged by: their names and what they say. `ablate.stats.metrics` computes them."""


from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ACCURACY = "accuracy"
RECALL = "recall"
"""Of each class; a run has one row for each, in which `class_name` says of which."""
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called in a sentence, what is better, and whether what was predicted of each image
    is enough for it: then images can be drawn again for its interval.
    """

    title: str
    higher_is_better: bool = True
    of_predictions: bool = False
    is_fraction: bool = True


METRICS: Mapping[str, Metric] = {
    ACCURACY: Metric("accuracy", of_predictions=True),
    "balanced_accuracy": Metric("balanced accuracy", of_predictions=True),
    "macro_f1": Metric("macro F1", of_predictions=True),
    "top5_accuracy": Metric("top-5 accuracy"),
    "auroc": Metric("AUROC (one class against the rest, mean over classes)"),
    "log_loss": Metric("log loss", higher_is_better=False, is_fraction=False),
    "calibration_error": Metric("expected calibration error", higher_is_better=False),
}
"""The metrics of a whole set of images."""
