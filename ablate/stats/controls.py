"""Controls: second baselines that a study names, such as a placebo or a wider network without attention.

Attention that is better than nothing and no better than a gate of random numbers has not been shown
to help by what it attends to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.stats import words
from ablate.stats.effect import Effect, Verdict
from ablate.stats.effects import effects
from ablate.stats.sample import Sample
from ablate.system.messages.language import _

MOST_SINGLE = 3
"""More variants than this of which the same is said stand in one sentence."""


@dataclass(frozen=True)
class AgainstControl:
    """A control: its own effect against the baseline, and every variant's effect against it.

    `others` are one family, in which neither the baseline nor another control is.
    """

    control: str
    itself: Effect
    others: Mapping[str, Effect]


def against_controls(
    samples: Mapping[str, Sample],
    controls: Sequence[str],
    against_baseline: Mapping[str, Effect],
    margin: float | None = None,
    *,
    looks: bool = False,
) -> list[AgainstControl]:
    """Every variant against each control. `against_baseline` are the study's own effects."""
    variants = [name for name in against_baseline if name not in controls]
    found = []
    for control in controls:
        family = {name: samples[name] for name in (control, *variants)}
        others = effects(family, control, margin, looks=looks)
        found.append(AgainstControl(control, against_baseline[control], others))
    return found


def control_claim(found: AgainstControl) -> str:
    """What the control itself does; that it differs is a finding about the study."""
    own = found.itself
    if own.verdict in (Verdict.BETTER, Verdict.WORSE):
        return _(
            "The control itself differs from the baseline: {own} What it adds without "
            "being the point of the study changes accuracy already, so read the variants "
            "against it.",
            own=words.claim(own),
        )
    return _("The control {control}: {own}", control=found.control, own=words.claim(own))


def variant_claims(
    found: AgainstControl, against_baseline: Mapping[str, Effect]
) -> list[tuple[str, Verdict]]:
    """What baseline and control together say of the variants, in sentences with their tone.

    More than `MOST_SINGLE` of which the same is said stand in one sentence; the table has them all.
    """
    told = []
    for (base, against), names in _grouped(found, against_baseline).items():
        pairs = [(found.others[name], against_baseline[name]) for name in names]
        if len(names) > MOST_SINGLE:
            together = Joint(", ".join(names), True, found.control, pairs[0][1].baseline, "")
            told.append((_claim(together, base, against), against))
        else:
            told += [(_claim(_joint(*pair), base, against), against) for pair in pairs]
    return [(text, tone) for text, tone in told if text]


def _grouped(
    found: AgainstControl, against_baseline: Mapping[str, Effect]
) -> dict[tuple[Verdict, Verdict], list[str]]:
    groups: dict[tuple[Verdict, Verdict], list[str]] = {}
    for name, effect in found.others.items():
        groups.setdefault((against_baseline[name].verdict, effect.verdict), []).append(name)
    return groups


@dataclass(frozen=True, slots=True)
class Joint:
    """Variants of which the same is said; `numbers` are those of a single one against the control."""

    names: str
    several: bool
    control: str
    baseline: str
    numbers: str


def _joint(against: Effect, base: Effect) -> Joint:
    return Joint(against.variant, False, against.baseline, base.baseline, f" ({_short(against)})")


def _claim(joint: Joint, base: Verdict, against: Verdict) -> str:
    better, worse = Verdict.BETTER, Verdict.WORSE
    subject = (
        _("{names} are", names=joint.names) if joint.several else _("{names} is", names=joint.names)
    )
    control = _("the control {control}{numbers}", control=joint.control, numbers=joint.numbers)
    if base is better and against is better:
        return _(
            "{subject} better than {baseline} and than {control}.",
            subject=subject,
            baseline=joint.baseline,
            control=control,
        )
    if base is better:
        shown = _("worse than") if against is worse else _("not shown to be better than")
        return _(
            "{subject} better than {baseline}, but {shown} {control}: what helps need "
            "not be what sets a variant apart from the control.",
            subject=subject,
            baseline=joint.baseline,
            shown=shown,
            control=control,
        )
    if against is worse:
        return _("{subject} worse than {control}.", subject=subject, control=control)
    if against is better:
        return _(
            "{subject} better than {control}, and not shown to be better than {baseline}.",
            subject=subject,
            control=control,
            baseline=joint.baseline,
        )
    return ""


def _short(effect: Effect) -> str:
    """An effect against a control in a few words."""
    if effect.low is None:
        return _("no interval")
    told = _(
        "{difference} points, {interval}",
        difference=words.points(effect.difference),
        interval=words.span(effect.low, effect.high),
    )
    if effect.verdict is Verdict.UNDECIDED:
        return _("; ").join((told, words.could_see(effect)))
    return _("; ").join((told, _(effect.verdict)))
