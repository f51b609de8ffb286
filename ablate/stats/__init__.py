"""From accuracies over seeds and images to effects and verdicts. Pure numbers: NumPy and SciPy only."""

from ablate.stats.effect import DEFAULT_MARGIN, Effect, Rule, Verdict
from ablate.stats.effects import effects, mcnemar
from ablate.stats.family import smallest_detectable
from ablate.stats.intervals import Interval, interval, seed_correlation, t_quantile, t_tail
from ablate.stats.sample import Sample

__all__ = [
    "DEFAULT_MARGIN",
    "Effect",
    "Interval",
    "Rule",
    "Sample",
    "Verdict",
    "effects",
    "interval",
    "mcnemar",
    "seed_correlation",
    "smallest_detectable",
    "t_quantile",
    "t_tail",
]
