"""Controls: better than nothing is not better than a placebo."""

from __future__ import annotations

import numpy as np
import pytest
from support.worlds import make_samples

from ablate.stats import Verdict, effects
from ablate.stats.controls import AgainstControl, against_controls, control_claim, variant_claims
from ablate.study.controls import controls_in, unmatched

NAMES = ["none", "random_gate(pool*, r=16)", "se(pool*, r=16)", "eca(pool*)"]
GATE, SE, ECA = NAMES[1:]


def world(**shifts: float) -> tuple[AgainstControl, dict[str, str]]:
    given = {next(n for n in NAMES if n.startswith(k)): v for k, v in shifts.items()}
    rng = np.random.default_rng(4)
    samples = make_samples(rng, NAMES, seeds=6, images=1000, shifts=given, image_by_arm=0.3)
    own = effects(samples, "none")
    (found,) = against_controls(samples, [GATE], own)
    assert list(found.others) == [SE, ECA]
    return found, dict(variant_claims(found, own))


def test_better_than_none_and_not_than_the_placebo() -> None:
    found, told = world(random=1.5, se=1.5, eca=3.5)
    assert control_claim(found).startswith(
        f"The control itself differs from the baseline: {GATE} is better than none by"
    )
    (placebo,) = [text for text in told if text.startswith(SE)]
    assert f"is better than none, but not shown to be better than the control {GATE} (" in placebo
    assert "what helps need not be what sets a variant apart" in placebo
    (real,) = [text for text in told if text.startswith(ECA)]
    assert f"{ECA} is better than none and than the control {GATE} (+" in real
    assert told[real] is Verdict.BETTER


def test_a_control_that_does_nothing_says_so_and_is_never_called_equal() -> None:
    found, told = world()
    assert control_claim(found).startswith(
        f"The control {GATE}: No difference found, {GATE} against none"
    )
    assert told == {}


def test_worse_than_the_placebo() -> None:
    _, told = world(random=2.0)
    assert [text.partition(" than ")[0] for text in told] == [f"{SE} is worse", f"{ECA} is worse"]
    assert set(told.values()) == {Verdict.WORSE}


def test_many_variants_of_which_the_same_is_said_stand_in_one_sentence() -> None:
    names = ["none", "placebo", *(f"v{i}" for i in range(6))]
    rng = np.random.default_rng(5)
    shifts = {f"v{i}": 3.0 for i in range(6)}
    samples = make_samples(rng, names, seeds=6, images=800, shifts=shifts)
    own = effects(samples, "none")
    (found,) = against_controls(samples, ["placebo"], own)
    ((text, tone),) = variant_claims(found, own)
    assert text == "v0, v1, v2, v3, v4, v5 are better than none and than the control placebo."
    assert tone is Verdict.BETTER


@pytest.mark.parametrize(
    ("patterns", "found", "left"),
    [
        ([GATE], [GATE], []),  # a name with a glob's signs is a name first
        (["random_gate*", "eca*"], [GATE, ECA], []),
        (["placebo*"], [], ["placebo*"]),
    ],
)
def test_controls_are_named_by_name_or_glob(
    patterns: list[str], found: list[str], left: list[str]
) -> None:
    assert controls_in(patterns, NAMES) == found
    assert unmatched(patterns, NAMES) == left
