"""What the sections that compare several variants at once share: the arms, and how they are looked at."""

from __future__ import annotations

from ablate.report.summary import Summary
from ablate.stats import Rule
from ablate.stats.arms import Arms, gather

BARE = "Test-leaked: numbers without intervals, and no verdict."


def arms_of(summary: Summary) -> Arms | None:
    """The variants with two finished runs or more, the baseline first."""
    names = dict.fromkeys((summary.baseline, *summary.samples))
    return gather({name: summary.samples[name] for name in names if name in summary.samples})


def looks(summary: Summary) -> bool:
    """Whether seeds were added until something was decided, as the effects know it."""
    return any(v.effect is not None and v.effect.rule is Rule.ANYTIME for v in summary.tested)
