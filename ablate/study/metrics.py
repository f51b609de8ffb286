"""The names of metrics and what they say; `ablate.stats.metrics` computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.errors import nearest
from ablate.study.own_metrics import is_own_metric, is_own_stored, own_title, plainly_named
from ablate.system.messages.language import N_, _

ACCURACY = "accuracy"
RECALL = "recall"
"""Of each class; a run has one row for each, in which `class_name` says of which."""
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called in a sentence, what is better, and whether what was predicted of each image
    is enough for it: then images can be drawn again for its interval.
    """

    called: str
    higher_is_better: bool = True
    of_predictions: bool = False
    is_fraction: bool = True
    is_own: bool = False

    @property
    def title(self) -> str:
        """What it is called, in the language that is spoken; a function of the user's has one name in all."""
        return self.called if self.is_own else _(self.called)

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which a fraction lies: a function of the user's may fall below 0."""
        return (-1.0, 1.0) if self.is_own else (0.0, 1.0)

    @property
    def bounds_percent(self) -> tuple[float, float]:
        """The same in percent."""
        return 100 * self.bounds[0], 100 * self.bounds[1]

    @property
    def heading(self) -> str:
        """The title as the first word of a line."""
        return self.title if self.is_own else self.title[:1].upper() + self.title[1:]


BEGAN_ACCURACY, BEGAN_LOSS = "epoch_0_accuracy", "epoch_0_log_loss"
"""Of a network that began with trained weights, before it was trained any further."""

METRICS: Mapping[str, Metric] = {
    ACCURACY: Metric(N_("accuracy"), of_predictions=True),
    "balanced_accuracy": Metric(N_("balanced accuracy"), of_predictions=True),
    "macro_f1": Metric(N_("macro F1"), of_predictions=True),
    "top5_accuracy": Metric(N_("top-5 accuracy")),
    "auroc": Metric(N_("AUROC")),
    "log_loss": Metric(N_("log loss"), higher_is_better=False, is_fraction=False),
    "calibration_error": Metric(N_("expected calibration error"), higher_is_better=False),
}
"""The metrics of a whole set of images."""


def metric_named(name: str) -> Metric:
    """The metric of that name: one of the table, or a function of the user's (`own_metrics.py`).

    Raises:
        KeyError: it is neither.
    """
    return Metric(own_title(name, METRICS), is_own=True) if is_own_metric(name) else METRICS[name]


def metric_stored(name: str) -> Metric | None:
    """The metric that a database calls so; None of what is no metric of a whole set of images."""
    if name not in METRICS and is_own_stored(name):
        return Metric(own_title(name, METRICS), is_own=True)
    return METRICS.get(name)


def shown_value(name: str, value: float) -> str:
    """`98.76 %`, and `0.1234` of what is no fraction."""
    return f"{100 * value:.2f} %" if metric_named(name).is_fraction else f"{value:.4f}"


def metric_to_judge_by(name: str) -> str:
    """The metric, a function of the user's written in one way.

    Raises:
        ValueError: there is no such metric, or more of it is not better.
    """
    if is_own_metric(name):
        return plainly_named(name)
    judges = [each for each, metric in METRICS.items() if metric.higher_is_better]
    if name in METRICS and name not in judges:
        raise ValueError(
            f"of {name} less is better, and verdicts are about what more is better of: {', '.join(judges)}"
        )
    if name not in METRICS:
        raise ValueError(
            f"unknown metric {name!r}{nearest(name, judges)}; there are: {', '.join(judges)}, or "
            "PACKAGE.MODULE:FUNCTION of your own"
        )
    return name
