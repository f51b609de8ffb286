"""Controls: second baselines that a study names, such as a placebo or a wider network without attention.

Attention that is better than nothing and no better than a gate of random numbers has not been shown
to help by what it attends to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ablate.stats.effect import Effect
from ablate.stats.effects import effects
from ablate.stats.sample import Sample


@dataclass(frozen=True)
class AgainstControl:
    """A control: its own effect against the baseline, and every variant's effect against it.

    `others` are one family, in which neither the baseline nor another control is.
    """

    control: str
    itself: Effect
    others: Mapping[str, Effect]


def controls_in(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The variants that are named, by their whole name or by a glob, in the order of `names`."""
    return [name for name in names if any(_named(name, pattern) for pattern in patterns)]


def unmatched(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The patterns that name no variant."""
    return [pattern for pattern in patterns if not controls_in([pattern], names)]


def against_controls(
    samples: Mapping[str, Sample],
    controls: Sequence[str],
    against_baseline: Mapping[str, Effect],
    margin: float | None = None,
    *,
    looks: bool = False,
    folds: int = 1,
) -> list[AgainstControl]:
    """Every variant against each control. `against_baseline` are the study's own effects."""
    variants = [name for name in against_baseline if name not in controls]
    found = []
    for control in controls:
        family = {name: samples[name] for name in (control, *variants)}
        others = effects(family, control, margin, looks=looks, folds=folds)
        found.append(AgainstControl(control, against_baseline[control], others))
    return found


def _named(name: str, pattern: str) -> bool:
    # A name may hold a glob's signs, as that of `se(pool*, r=16)` does.
    return name == pattern or fnmatchcase(name, pattern)
