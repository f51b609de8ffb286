"""Metrics that are no mean over images: for one that is, as careful as the verdict's own rule."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ablate.errors import OptionError
from ablate.stats import Rule, Verdict, effects
from ablate.stats.bootstrap import bootstrap_effects
from ablate.stats.metrics import measure
from benchmarks.worlds import World


def test_accuracy_gets_about_the_interval_of_its_own_rule() -> None:
    samples = World(arms=4, seeds=6, ratios=(2.0,), images=600).study(np.random.default_rng(1))
    outputs = {
        name: {s: b.astype(int) for s, b in x.correct.items()} for name, x in samples.items()
    }
    found = bootstrap_effects(outputs, np.ones(600, dtype=int), "accuracy", "0")
    for name, own in effects(samples, "0").items():
        theirs = found[name]
        assert theirs.rule is Rule.BOOTSTRAP
        assert theirs.difference == pytest.approx(own.difference)
        assert own.spread is not None
        assert theirs.spread is not None
        assert theirs.spread.error == pytest.approx(own.spread.error, rel=0.35)


def test_a_class_that_is_lost_shows_in_f1() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [90, 90, 20])

    def run(rare: float) -> NDArray[np.int64]:
        right = rng.random(200) < np.where(labels == 2, rare, 0.95)
        return np.where(right, labels, (labels + 1) % 3)

    outputs = {
        "none": {seed: run(0.9) for seed in range(5)},
        "blind": {seed: run(0.1) for seed in range(5)},
        "twin": {},
    }
    outputs["twin"] = outputs["none"]
    found = bootstrap_effects(outputs, labels, "macro_f1", "none")
    assert found["blind"].verdict is Verdict.WORSE
    assert found["twin"].verdict is Verdict.IDENTICAL
    f1 = [
        measure(np.eye(3, dtype=np.float32)[run], labels)["macro_f1", None]
        for run in outputs["none"].values()
    ]
    assert found["blind"].room == pytest.approx(np.mean(f1)), "as far as it can fall"


def test_refuses_other_images() -> None:
    with pytest.raises(OptionError, match="3 images"):
        bootstrap_effects({"none": {1: np.ones(2, int)}}, np.ones(3, int), "accuracy", "none")


@pytest.mark.parametrize("rare", [1, 2, 3, 5])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_a_few_images_of_one_class_decide_nothing(rare: int, metric: str) -> None:
    """All of a rare class are lost by one arm and found by the other, by every seed."""
    labels = np.repeat(np.arange(7), [50] * 6 + [rare])
    base, found = {}, {}
    for seed in range(10):
        said = labels.copy()
        wrong = np.random.default_rng(seed).choice(300, 10, replace=False)
        said[wrong] = (labels[wrong] + 1) % 6
        found[seed] = said
        base[seed] = np.where(labels == 6, 0, said)
    effect = bootstrap_effects({"none": base, "v": found}, labels, metric, "none")["v"]
    assert effect.verdict is Verdict.UNDECIDED
    assert effect.low is not None
    assert effect.low < 0


def test_many_classes_of_few_images_are_as_good_as_few_of_many() -> None:
    """What one image is counted on top for is a class that is alone in having few."""
    rng = np.random.default_rng(4)
    right = {name: rng.random((8, 300)) < p for name, p in (("none", 0.6), ("v", 0.9))}
    for classes in (6, 60):
        labels = np.arange(300) % classes
        runs = {
            name: dict(enumerate(np.where(r, labels, (labels + 1) % classes)))
            for name, r in right.items()
        }
        found = bootstrap_effects(runs, labels, "balanced_accuracy", "none")["v"]
        assert found.verdict is Verdict.BETTER
