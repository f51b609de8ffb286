"""What a search picked by, in words and numbers: accuracy, or another metric of validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.page import format as fmt
from ablate.result.search import SearchResult
from ablate.stats import words
from ablate.study.metrics import Metric, metric_named
from ablate.study.search import quality_metric
from ablate.system.messages.language import _


@dataclass(frozen=True)
class Quality:
    """One objective of a search: its place among them and its metric."""

    index: int
    metric: Metric

    @property
    def title(self) -> str:
        """`validation accuracy`."""
        return _("validation {title}", title=self.metric.title)

    @property
    def heading(self) -> str:
        """The same as the first words of a line."""
        return _("Validation {title}", title=self.metric.title)

    @property
    def axis(self) -> str:
        """The same with its unit."""
        return f"{self.heading} (%)" if self.metric.is_fraction else self.heading

    @property
    def scale(self) -> int:
        """From a value to what a figure shows."""
        return 100 if self.metric.is_fraction else 1

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.metric.higher_is_better else -1

    def told(self, value: float) -> str:
        """A value as text."""
        return fmt.percent(value) if self.metric.is_fraction else f"{value:.4f}"

    def gain(self, value: float) -> str:
        """A difference of two values as text."""
        if self.metric.is_fraction:
            return _("{points} points", points=words.points(value))
        return f"{value:+.4f}".replace("-", "−")

    def best_so_far(self, values: Sequence[float]) -> np.ndarray:
        """The best of the first, the first two, … values."""
        return self.sign * np.maximum.accumulate([self.sign * value for value in values])


def quality_of(search: SearchResult) -> Quality:
    """That of a search."""
    index, name = next((i, m) for i, o in enumerate(search.objectives) if (m := quality_metric(o)))
    return Quality(index, metric_named(name))


def best_words(quality: Quality) -> str:
    return _("highest") if quality.metric.higher_is_better else _("lowest")


def objective_words(name: str) -> str:
    if metric := quality_metric(name):
        return _("Validation {title}", title=metric_named(metric).title)
    words = {"macs": "MACs", "images_per_second": _("Images/s")}
    return words.get(name, _(name.capitalize()))
