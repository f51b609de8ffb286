"""Metrics beside accuracy: what verdicts are about by the study's choice, the table, and class by class."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.report_frames import make_frames

from ablate.page import canvas
from ablate.page.document import Figure, Note, Section, Table
from ablate.report.effects.heat import _scale
from ablate.report.files.export import variants_csv
from ablate.report.files.numbers import effect_document, report_json
from ablate.report.findings import findings
from ablate.report.gallery import draw_all, draw_figure
from ablate.report.seen.classes import MOST_CLASSES, answers, recall_table
from ablate.report.story import compose
from ablate.report.summary import Summary, summarize
from ablate.result.image_results import Bits, ImageResults, Said
from ablate.result.predictions import pack_predictions
from ablate.stats import Rule, Verdict
from ablate.stats.metrics import measure
from ablate.store.reading.frames import Frames

pytestmark = pytest.mark.usefixtures("words_alone")

SEEDS, IMAGES = 6, 300
LABELS = np.repeat([0, 1, 2], [270, 20, 10]).astype(np.int64)
CLASSES = ("healthy", "ill <b>", "rare")
FOUND = {"none": 0.9, "blind": 0.0}
"""The share of the two small classes that every run of a variant finds."""


def metric_frames(classes: tuple[str, ...] = CLASSES, **study: Any) -> Frames:
    """Runs that are as accurate as each other, one of which finds nothing but the largest class."""
    frames = make_frames({"none": 0.9, "blind": 0.9}, seeds=SEEDS)
    rng = np.random.default_rng(0)
    said, right, rows = {}, {}, []
    for key, variant in zip(frames.runs["run_key"], frames.runs["variant"], strict=True):
        seen = 0.9
        found = rng.random(IMAGES) < np.where(LABELS > 0, FOUND[variant], seen)
        predicted = np.where(found, LABELS, np.where(LABELS > 0, 0, 1))
        said[key] = pack_predictions(predicted, np.full(IMAGES, 0.5, np.float32))
        right[key] = np.packbits(predicted == LABELS).tobytes()
        logits = np.eye(3, dtype=np.float32)[predicted]
        rows += [
            {"run_key": key, "split": split, "metric": metric, "class": None, "value": value}
            for (metric, of), value in measure(logits, LABELS).items()
            for split in ("test", "validation")
            if of is None
        ]
    images = ImageResults(Bits(right, IMAGES), Said(said), LABELS, classes)
    changed = {**frames.study, **study}
    return replace(frames, images=images, metrics=pd.DataFrame(rows), study=changed)


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(metric_frames(metric="macro_f1"))


def section(summary: Summary, name: str) -> Section:
    return next(each for each in compose(summary).sections if each.name == name)


def test_the_metric_of_the_study_is_what_verdicts_are_about(summary: Summary) -> None:
    blind = summary.variants[1]
    assert blind.effect is not None
    assert (blind.effect.verdict, blind.effect.rule) == (Verdict.WORSE, Rule.BOOTSTRAP)
    by_accuracy = summarize(metric_frames()).variants[1].effect
    assert by_accuracy is not None
    assert by_accuracy.rule is Rule.BLOCKS
    assert by_accuracy.difference != pytest.approx(blind.effect.difference, abs=0.1)


def test_columns_of_the_csv_are_named_by_the_metric_that_they_are_of(summary: Summary) -> None:
    for each, name in ((summary, "macro_f1"), (summarize(metric_frames()), "accuracy")):
        rows = list(csv.DictReader(io.StringIO(variants_csv(each))))
        assert {row["metric"] for row in rows} == {name}
        scored = [column for column in rows[0] if column.startswith("test_")]
        assert scored == [f"test_{name}_{what}" for what in ("mean", "sd", "low", "high")]
        given = each.variants[0].accuracy
        assert given is not None
        assert float(rows[0][f"test_{name}_mean"]) == pytest.approx(given.mean)


def test_a_metric_whose_images_are_not_stored_is_judged_by_its_scores() -> None:
    effect = summarize(metric_frames(metric="auroc")).variants[1].effect
    assert effect is not None
    assert effect.rule is Rule.SCORES
    assert effect.low is not None
    assert effect.verdict is Verdict.UNDECIDED  # six seeds, and it takes eight


@pytest.mark.slow
def test_runs_without_the_metric_have_no_verdict_and_the_report_is_made() -> None:
    frames = replace(metric_frames(metric="macro_f1"), metrics=pd.DataFrame())
    summary = summarize(frames)
    assert not summary.finished
    assert compose(summary).sections


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variants", "claim"), [(1, "se0 against none: not judged (sc"), (8, "Not judged: 8 var")]
)
def test_few_seeds_of_scores_are_told_as_such(variants: int, claim: str) -> None:
    means = {"none": 0.8, **{f"se{number}": 0.9 for number in range(variants)}}
    frames = make_frames(means, seeds=5, metric="auroc")
    rows = frames.runs[["run_key"]].assign(
        split="test", metric="auroc", value=frames.runs["test_accuracy"], **{"class": None}
    )
    summary = summarize(replace(frames, metrics=rows))
    (told,) = findings(summary)
    assert told.claim.startswith(claim)
    effect = summary.tested[0].effect
    assert effect is not None
    row = effect_document(summary.tested[0], effect, leaked=False)
    assert row["low"] > 0.05
    assert row["smallest_detectable"] is None
    assert row["seeds_for_margin"] >= 8


@pytest.mark.slow
def test_report_and_json_name_the_metric(summary: Summary) -> None:
    assert '"metric": "test_macro_f1"' in report_json(summary)
    lead = section(summary, "findings").blocks[0]
    assert isinstance(lead, Note)
    assert "verdicts are about macro F1" in lead.text
    table = section(summary, "results").blocks[0]
    assert isinstance(table, Table)
    assert table.columns[2].title == "Macro F1"


@pytest.mark.slow
def test_the_share_of_the_largest_class_and_runs_of_one_class_are_told(summary: Summary) -> None:
    notes = [b.text for b in section(summary, "metrics").blocks if isinstance(b, Note)]
    assert "The largest class, healthy, is 90.00 % of them" in notes[0]
    assert len(notes) == 1
    of_one = pack_predictions(np.zeros(IMAGES, np.int64), np.ones(IMAGES, np.float32))
    frames = metric_frames()
    keys = frames.runs.loc[frames.runs["variant"] == "blind", "run_key"]
    said = Said(dict.fromkeys(keys, of_one))
    told = section(summarize(replace(frames, images=replace(frames.images, said=said))), "metrics")
    assert Note("blind: 6 runs said healthy of every test image.", "warning") in told.blocks


@pytest.mark.slow
def test_every_class_has_its_recall_and_the_matrix_is_drawn(summary: Summary) -> None:
    with canvas.style():
        figure, table = section(summary, "classes").blocks
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    rare = table.rows[2].cells
    assert (rare[0].text, rare[1].text) == ("rare", "10")
    assert float(rare[2].text) == pytest.approx(90, abs=8)
    assert rare[3].text == "0.00"


def test_of_many_classes_the_table_has_those_that_differ_most() -> None:
    first, second = answers(summarize(metric_frames()))
    many = 40
    matrix = np.diag(np.full(many, 10))
    worse = matrix.copy()
    worse[30, 30], worse[30, 0] = 1, 9
    pair = replace(first, runs=1, matrix=matrix), replace(second, runs=1, matrix=worse)
    table = recall_table(pair, tuple(map(str, range(many))))
    assert len(table.rows) == MOST_CLASSES
    assert "30" in [row.cells[0].text for row in table.rows]
    assert "15 more are left out" in table.caption


@pytest.mark.slow
def test_a_metric_that_falls_below_0_is_drawn_where_it_is() -> None:
    frames = metric_frames(metric="mypkg.metrics:kappa")
    values = [-0.08 + 0.004 * n for n in range(len(frames.runs))]
    rows = pd.DataFrame({
        "run_key": frames.runs["run_key"], "split": "test", "metric": "mypkg.metrics:kappa",
        "class": None, "value": values,
    })  # fmt: skip
    summary = summarize(replace(frames, metrics=pd.concat([frames.metrics, rows])))
    assert all(v.accuracy is not None and v.accuracy.mean < 0 for v in summary.finished)
    effect = summary.tested[0].effect
    assert effect is not None
    assert effect.room == pytest.approx(1 - summary.kinds.own["none"].mean), "up to 1"
    assert {"accuracy", "cost"} <= draw_all(summary).keys()
    for name in ("accuracy", "cost"):
        with canvas.kept() as figures:
            draw_figure(name, summary)
        axes = figures[-1].axes[0]  # type: ignore[attr-defined]
        low, high = axes.get_xlim() if name == "accuracy" else axes.get_ylim()
        assert low < min(100 * v.accuracy.mean for v in summary.finished if v.accuracy) < high
    assert _scale(np.array([[-5.0, -3.0]]), (-100.0, 100.0)) == (-5.0, -3.0)
