"""What the sections that compare several variants at once share: the arms, and how they are looked at."""

from __future__ import annotations

from ablate.report.summary import Summary
from ablate.stats.arms import Arms, gather
from ablate.system.messages.language import N_

BARE = N_("Test-leaked: numbers without intervals, and no verdict.")


def arms_of(summary: Summary) -> Arms | None:
    """The variants of one family with two finished runs or more, the baseline first."""
    return summary.once("arms", lambda: _arms_of(summary))


def _arms_of(summary: Summary) -> Arms | None:
    judged = summary.kinds.judged
    names = dict.fromkeys((summary.baseline, *judged))
    return gather({name: judged[name] for name in names if name in judged})
