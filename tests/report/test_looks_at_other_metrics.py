"""Where seeds were added until something was decided, no section decides by intervals of a fixed number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.placed_frames import GATE, placed, placed_frames

from ablate.page.document import Block, Findings, Note
from ablate.report.cost.front import front_blocks
from ablate.report.effects.controls import control_blocks
from ablate.report.effects.factors import answers
from ablate.report.effects.shapley import shares_of
from ablate.report.findings import findings
from ablate.report.summary import Summary, summarize
from ablate.stats import Verdict
from ablate.stats.contrasts import Estimate
from ablate.stats.looks import ANYTIME, FIXED, Look
from ablate.store.reading.frames import Frames


def looked(frames: Frames, rule: str) -> Frames:
    look = Look("2026-01-01T00:00:00", rule, "run", {}, {}, None, 9, "")
    return replace(frames, looks=(look,))


def by_auroc(rule: str) -> Summary:
    """A study of scores alone: nine seeds, three of nine variants far above the others."""
    frames = placed_frames(
        {placed("pool3"): 9.0, placed("pool3", 4): 9.0}, seeds=9, metric="auroc", controls=[GATE]
    )
    rows = frames.runs[["run_key"]].assign(
        split="test", metric="auroc", value=frames.runs["test_accuracy"], **{"class": None}
    )
    return summarize(looked(replace(frames, metrics=rows), rule))


def contrasts(summary: Summary) -> Iterator[Estimate]:
    """What the questions and the Shapley values rest on."""
    asked, together = answers(summary)
    for main in asked:
        yield from (*main.levels.values(), *main.pairs.values())
    for both in together:
        yield from (each.estimate for each in both.found)
    for shares in shares_of(summary):
        yield from shares.accuracy.values()


def sentences(blocks: tuple[Block, ...]) -> str:
    told = [item.claim for block in blocks if isinstance(block, Findings) for item in block.items]
    return " ".join(told + [str(block.text) for block in blocks if isinstance(block, Note)])


@pytest.mark.parametrize("rule", [FIXED, ANYTIME])
def test_one_rule_for_verdicts_factors_controls_and_front(rule: str) -> None:
    summary, decides = by_auroc(rule), rule == FIXED
    tones = {each.tone for each in findings(summary)}
    assert (Verdict.BETTER in tones) == decides
    assert any(each.above or each.below for each in contrasts(summary)) == decides
    assert ("than the control" in sentences(control_blocks(summary))) == decides
    assert ("Dominated by" in sentences(front_blocks(summary))) == decides


@pytest.mark.slow
def test_two_seeds_or_one_of_each_are_looks_too() -> None:
    summary = summarize(looked(placed_frames({placed("pool3"): 9.0}, seeds=2), ANYTIME))
    assert not [each for each in contrasts(summary) if each.above or each.below]
    assert not [each for each in findings(summary) if each.tone in (Verdict.BETTER, Verdict.WORSE)]
