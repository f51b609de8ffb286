"""What cannot be judged is said so, truly and everywhere: in the report, its files, `compare` and `power`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.report_frames import make_frames, written

from ablate.commands.compare import told
from ablate.errors import DatabaseError
from ablate.report.files.export import variants_csv
from ablate.report.files.numbers import report_json
from ablate.report.findings import findings, headline
from ablate.report.results import results_table
from ablate.report.summary import summarize
from ablate.result.image_results import Bits, ImageResults
from ablate.stats import Verdict, effects
from ablate.stats.planning import measured, outlook
from ablate.stats.words import claim, evidence
from ablate.store.reading.frames import Frames

MEANS = {"none": 0.83, "up": 0.85, "same": 0.83}
INVENTED = re.compile(r"\b(nan|inf|None|no effect)\b")
CLAIMS = (Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT)
NUMBERS = ("difference", "low", "high", "smallest_detectable", "p_adjusted", "low_these_images",
           "high_these_images", "image_share")  # fmt: skip


def study(seeds: int = 3) -> Frames:
    return make_frames(MEANS, seeds=seeds, epochs=1, steps=1)


def changed(frames: Frames, which: Any, **columns: Any) -> Frames:
    """Other values in some rows of the runs."""
    runs = frames.runs.copy()
    for name, value in columns.items():
        runs.loc[which(runs), name] = value
    return replace(frames, runs=runs)


def failed(which: Any) -> Frames:
    nothing = {"test_accuracy": None, "val_accuracy": None, "failure": "diverged", "error": "nan"}
    return changed(study(), which, status="failed", **nothing)


def with_bits(right: Callable[[str, int], np.ndarray], images: int, seeds: int = 3) -> Frames:
    """Runs that are right on these images, by variant and seed."""
    frames = study(seeds)
    rows = list(zip(*(frames.runs[c] for c in ("run_key", "variant", "seed")), strict=True))
    bits = {key: right(name, seed).astype(bool) for key, name, seed in rows}
    runs = frames.runs.assign(test_accuracy=[float(bits[key].mean()) for key, _, _ in rows])
    packed = {key: np.packbits(each).tobytes() for key, each in bits.items()}
    return replace(frames, runs=runs, images=ImageResults(Bits(packed, images)))


INPUTS: dict[str, Callable[[], Frames]] = {
    "one seed": lambda: study(1),
    "zero variance": lambda: with_bits(lambda name, _: np.arange(50) < 40 + len(name), 50),
    "always right": lambda: with_bits(lambda *_: np.ones(50), 50),
    "never right": lambda: with_bits(lambda *_: np.zeros(50), 50),
    "one test image": lambda: with_bits(lambda _, seed: np.array([seed > 1]), 1),
    "two test images": lambda: with_bits(lambda name, seed: np.arange(2) < len(name) - seed, 2),
    "all runs failed": lambda: failed(lambda runs: runs["seed"] > 0),
    "a variant failed": lambda: failed(lambda runs: runs["variant"] == "up"),
    "the baseline failed": lambda: failed(lambda runs: runs["variant"] == "none"),
    "one run of the baseline is left": lambda: failed(
        lambda runs: (runs["variant"] == "none") & (runs["seed"] > 1)
    ),
    "different n": lambda: failed(lambda runs: (runs["variant"] == "up") & (runs["seed"] == 2)),
    "an accuracy that is no number": lambda: changed(
        study(), lambda runs: (runs["variant"] == "up") & (runs["seed"] == 1), test_accuracy=math.nan
    ),
    "no run of the baseline": lambda: replace(
        study(), runs=study().runs[lambda runs: runs["variant"] != "none"]
    ),
    "no bits": lambda: replace(study(), images=ImageResults()),
    "nothing at all": lambda: replace(study(), runs=study().runs.head(0)),
}  # fmt: skip


@pytest.fixture(params=list(INPUTS))
def frames(request: pytest.FixtureRequest) -> Frames:
    return INPUTS[str(request.param)]()


def test_numbers_and_tables_have_nothing_invented(frames: Frames) -> None:
    summary = summarize(frames)
    for effect in json.loads(report_json(summary))["effects"]:
        known = [effect[name] for name in NUMBERS if effect[name] is not None]
        assert all(math.isfinite(number) for number in known)
        if min(effect["n"], effect["n_baseline"]) < 2:
            assert effect["low"] is effect["high"] is effect["smallest_detectable"] is None
            assert effect["verdict"] not in CLAIMS
        if not (effect["n"] and effect["n_baseline"]):
            assert effect["difference"] is None
    table = " ".join(
        f"{cell.text} {cell.note}" for row in results_table(summary).rows for cell in row.cells
    )
    found = [f"{each.claim} {each.evidence}" for each in findings(summary)]
    for text in (variants_csv(summary), table, headline(summary), *found):
        assert not INVENTED.search(text)


@pytest.mark.slow
def test_the_whole_report_has_nothing_invented(frames: Frames) -> None:
    words = written(frames)["report.md"].decode()
    assert not INVENTED.search(words.replace("diverged | nan", ""))


def test_compare_says_what_it_can(frames: Frames) -> None:
    summary = summarize(frames)
    for pair in (("none", "up"), ("up", "same")):
        if any(not summary.samples[name].scores for name in pair):
            with pytest.raises(DatabaseError, match="has no finished run yet"):
                told(summary, *pair)
            continue
        lines = " ".join(told(summary, *pair))
        assert not INVENTED.search(lines)


def test_every_sentence_agrees_with_its_verdict(frames: Frames) -> None:
    summary = summarize(frames)
    for name, effect in effects(summary.samples, "none").items():
        text = claim(effect)
        assert name in text
        assert evidence(effect)
        assert (effect.low is None) == (effect.high is None)
        if effect.low is None:
            assert effect.verdict in (Verdict.UNDECIDED, Verdict.IDENTICAL)
        if effect.verdict is Verdict.UNDECIDED:
            said = "not judged" if effect.withheld else "No difference found"
            assert said in text or "no finished run" in text
        if effect.low is not None and effect.high is not None and effect.difference is not None:
            assert effect.low <= effect.difference <= effect.high


def test_planning_knows_nothing_or_something_finite(frames: Frames) -> None:
    expected = measured(summarize(frames).samples)
    if expected is None:
        return
    found = outlook(expected, 2, 3, 0.005)
    if found is None:
        assert expected.images < 2
        return
    assert found.smallest_detectable is not None
    assert 0 < found.smallest_detectable <= expected.room
