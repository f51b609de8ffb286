"""Of results from elsewhere without a difference few say better or worse, however seeds are numbered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ablate.elsewhere.read import read_results
from ablate.elsewhere.sheets import opened
from ablate.report.summary import Summary, summarize
from ablate.stats import Rule, Verdict
from ablate.store.elsewhere.importing import Asked, import_results
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.store.reading.frames import Which, read_frames

IMPORTS, MOST_WRONG = 40, 6
"""At a rate of 5 % more than 6 of 40 come once in 300 times; the draws are always the same."""
ARMS = ("none", "se", "eca", "cbam")


def by_run(rng: np.random.Generator) -> str:
    """Eight runs of each, numbered by their accuracy: the worst there is for whoever pairs them."""
    lines = ["variant,seed,test_accuracy"]
    for arm in ARMS:
        scores = np.sort(rng.normal(0.93, 0.003, 8)).round(4)
        lines += [f"{arm},{seed},{score}" for seed, score in enumerate(scores, 1)]
    return "\n".join(lines)


def by_image(rng: np.random.Generator) -> str:
    """Four runs of each on 120 images, of which some are harder, and trainings differ as a whole."""
    lines, hard = ["variant,seed,image,label,predicted"], rng.normal(1.8, 1.5, 120)
    for arm in ARMS:
        runs = [rng.random(120) > 1 / (1 + np.exp(hard + rng.normal(0, 0.2))) for _ in range(4)]
        for seed, wrong in enumerate(sorted(runs, key=np.mean), 1):
            lines += [f"{arm},{seed},{i},{i % 3},{(i + int(w)) % 3}" for i, w in enumerate(wrong)]
    return "\n".join(lines)


def imported(folder: Path, text: str, name: str, *, paired: bool | None = None) -> Summary:
    path, url = folder / f"{name}.csv", f"sqlite:///{folder / 'results.db'}"
    path.write_text(text)
    with opened(path) as given:
        results = read_results(given)
    import_results(url, results, Asked(name, path.name, given.sha256, paired=paired))
    found = elsewhere_of(url, name)
    assert found is not None
    which = Which(found.dataset_hash, found.dataset)
    return summarize(read_frames(url, name, found.setting, which))


def differs(summary: Summary) -> bool:
    verdicts = {variant.effect.verdict for variant in summary.tested if variant.effect}
    return bool(verdicts & {Verdict.BETTER, Verdict.WORSE})


@pytest.mark.slow
@pytest.mark.parametrize(("form", "rule"), [(by_run, Rule.SCORES), (by_image, Rule.UNPAIRED)])
def test_no_difference_is_found_where_there_is_none(
    form: Callable[[np.random.Generator], str], rule: Rule, tmp_path: Path
) -> None:
    rng = np.random.default_rng(11)
    found = [imported(tmp_path, form(rng), f"s{i}") for i in range(IMPORTS)]
    rules = {
        variant.effect.rule for summary in found for variant in summary.tested if variant.effect
    }
    assert rules == {rule}
    assert sum(map(differs, found)) <= MOST_WRONG


@pytest.mark.slow
@pytest.mark.parametrize("form", [by_run, by_image])
def test_seeds_are_blocks_where_that_is_said_and_nowhere_else(
    form: Callable[[np.random.Generator], str], tmp_path: Path
) -> None:
    text = form(np.random.default_rng(11))
    apart = imported(tmp_path, text, "apart")
    paired = imported(tmp_path, text, "paired", paired=True)
    assert (apart.pairing, apart.paired, paired.paired) == (None, False, True)
    assert paired.pairing is not None
    wider = [
        a.effect.high - a.effect.low > b.effect.high - b.effect.low
        for a, b in zip(apart.tested, paired.tested, strict=True)
        if a.effect and b.effect and None not in (a.effect.low, a.effect.high, b.effect.low, b.effect.high)
    ]  # fmt: skip
    assert wider == [True] * 3, "numbered by accuracy, seeds as blocks are too sure"
