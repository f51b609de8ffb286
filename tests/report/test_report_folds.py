"""A report of folds: each image tested once, whole seeds alone, intervals that know of the overlap."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import small_plan
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from support.words import Texts, english_in

from ablate import open_results
from ablate.commands.looked import look_at
from ablate.datasets.base import Images
from ablate.drive.pictures import keep_pictures
from ablate.page import canvas
from ablate.page.html import markdown
from ablate.page.vector import Picture
from ablate.plan import Cell, Plan, with_data
from ablate.report.render import render
from ablate.report.story import compose
from ablate.report.summary import summarize
from ablate.result import Epoch, Failed, Finished, PartTested
from ablate.result.metrics import Score
from ablate.result.predictions import pack_labels, pack_predictions
from ablate.stats import Sample, effects
from ablate.stats.bootstrap import bootstrap_effects
from ablate.stats.metrics import confusion, count, macro_f1
from ablate.store.maintenance.health import check_integrity
from ablate.store.reading.frames import Frames, read_frames
from ablate.store.reading.samples import similar_samples
from ablate.store.writing.looks import new_look
from ablate.store.writing.store import Claim, Store
from ablate.system.messages.language import spoken

pytestmark = pytest.mark.usefixtures("words_alone")

FOLDS, SEEDS = 5, 3
VARIANTS = ("none", "se(pool1, r=8)")
BETTER = VARIANTS[1]
DATA = {"folds": FOLDS}


@pytest.fixture(scope="module")
def plan() -> Plan:
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": 8}]
    return with_data(small_plan(data=DATA, seeds=SEEDS, image_size=8, grid=grid))


@pytest.fixture(scope="module")
def images(plan: Plan) -> Images:
    return plan.dataset.load()


def said(images: Images, variant: str, seed: int) -> NDArray[np.int64]:
    """What a seed says of all images: the better variant is right of 80 % of those that the other is not, but
    in the first folds.
    """
    rng = np.random.default_rng(seed)
    right = rng.random(len(images.tested_labels)) < 0.8
    gained = np.random.default_rng([seed, 1]).random(len(right)) < 0.8
    right |= (variant == BETTER) & gained & (np.arange(len(right)) > 900)
    return np.where(right, images.tested_labels, (images.tested_labels + 1) % 10)


def finished(images: Images, cell: Cell) -> Finished:
    assert cell.fold is not None
    rows = images.fold(cell.fold).tested
    labels, predicted = images.tested_labels, said(images, cell.variant.name, cell.seed)
    right = (predicted == labels)[rows]
    scores = (
        Score("test", "macro_f1", float(macro_f1(count(labels[rows], predicted[rows])))),
        Score("test", "auroc", 0.5 + cell.fold / 100),
        Score("validation", "macro_f1", 0.1 * cell.fold),
    )
    return Finished(
        0.1 * cell.fold, float(right.mean()), 1.0, np.packbits(right).tobytes(), 2.0, 9.0, "a machine",
        "fp32", test_predictions=pack_predictions(predicted[rows], np.full(len(right), 0.5, np.float32)),
        labels=pack_labels(labels, images.classes), scores=scores,
        tested=PartTested(rows.start, rows.stop - rows.start, len(labels)),
    )  # fmt: skip


def train(
    store: Store, plan: Plan, images: Images, wanted: Callable[[Cell], bool] = lambda _: True
) -> None:
    cells = {str(cell.run_key): cell for cell in plan.cells if wanted(cell)}

    def end(claim: Claim) -> None:
        epoch = Epoch(
            1, 1.0, 0.1 * (cells[claim.run_key].fold or 0), 1.0, 0.5, None, None, 1e-3, 1, 9
        )
        store.add_epoch(claim, epoch)
        store.finish(claim, finished(images, cells[claim.run_key]), {})

    for claim in store.claim_cohort(list(cells), len(cells), lambda _: 0):
        end(claim)


@pytest.fixture
def store(url: str, plan: Plan) -> Store:
    made = Store(url)
    made.register(plan)
    return made


def frames(url: str, plan: Plan) -> Frames:
    return read_frames(url, plan.study.name, plan.study.setting)


def key(plan: Plan) -> tuple[str, str, str]:
    return plan.study.name, str(plan.dataset.content_hash()), plan.study.setting


@pytest.mark.slow
def test_the_folds_of_a_seed_are_one_result_of_all_images(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    train(store, plan, images)
    found = frames(url, plan)
    assert len(found.runs) == len(VARIANTS) * SEEDS
    assert len(found.fold_runs) == len(VARIANTS) * SEEDS * FOLDS
    assert found.images.images == len(images.tested_labels) == 1797
    for row in found.runs.to_dict("records"):
        predicted = said(images, row["variant"], row["seed"])
        mine = str(row["run_key"])
        assert (found.correct[mine] == (predicted == images.tested_labels)).all()
        assert (found.images.said[mine].predicted == predicted).all()
        assert row["test_accuracy"] == pytest.approx((predicted == images.tested_labels).mean())
        assert row["val_accuracy"] == pytest.approx(0.3)
        assert (row["status"], row["seconds"]) == ("finished", 10.0)
        metrics = found.metrics[found.metrics["run_key"] == mine]
        values = {(m["split"], m["metric"]): m["value"] for m in metrics.to_dict("records")}
        together = float(macro_f1(count(images.tested_labels, predicted)))
        assert values["test", "macro_f1"] == pytest.approx(together, abs=1e-12)
        assert values["test", "auroc"] == pytest.approx(0.53, abs=1e-4), "the mean over folds"
        assert values["validation", "macro_f1"] == pytest.approx(0.3, abs=1e-3)
    assert found.epochs["train_accuracy"].tolist() == pytest.approx([0.3] * 6)
    assert check_integrity(url) == []


@pytest.mark.slow
def test_verdicts_are_those_of_whole_seeds_with_wider_intervals(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    train(store, plan, images)
    summary = summarize(frames(url, plan))
    bits = {
        name: {s: said(images, name, s) == images.tested_labels for s in range(1, SEEDS + 1)}
        for name in VARIANTS
    }
    plain = {name: Sample.of_bits(each) for name, each in bits.items()}
    dealt = {name: Sample(s.scores, s.correct, folds=FOLDS) for name, s in plain.items()}
    [variant] = summary.tested
    assert variant.effect == effects(dealt, "none")[BETTER]
    assert variant.effect.verdict == "better"
    assert (variant.effect.n, variant.n, variant.planned) == (SEEDS, SEEDS, SEEDS)
    narrow, wide = effects(plain, "none")[BETTER], variant.effect
    assert narrow.high is not None
    assert wide.high is not None
    assert wide.high > narrow.high
    assert wide.here == narrow.here, "on these very images, which are those that are trained on"
    standing = store.standing(key(plan))
    assert effects(standing.samples, "none")[BETTER] == wide
    similar = similar_samples(url, key(plan)[1], plan.study.backbone, plan.study.conditions)
    assert {each.folds for each in similar.values()} == {FOLDS}
    shown = look_at(frames(url, plan), "report")
    assert shown is not None
    again = new_look(
        shown.rule, "run", dict(shown.n), dict(shown.planned), None, 1, standing.finished
    )
    assert again.finished == shown.finished, "one look, whoever takes it"


@pytest.mark.slow
def test_a_seed_without_all_its_folds_counts_for_nothing_and_is_named(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    train(store, plan, images, lambda c: (c.seed, c.fold, c.variant.name) < (3, 4, BETTER))
    summary = summarize(frames(url, plan))
    [variant] = summary.tested
    assert variant.effect is not None
    assert variant.effect.n == 2
    assert set(summary.reference.accuracies) == {1, 2}
    assert store.standing(key(plan)).samples[BETTER].seeds == {1, 2}
    assert not store.standing(key(plan)).failed
    text = markdown(compose(summary))
    assert (
        "these do not yet: none, seed 3 (4 of 5), se(pool1, r=8), seed 3 (3 of 5)"
        in text.replace("\\", "")
    )
    assert "6 seeds of 5 folds planned: 4 finished, 0 failed, 2 stopped" in text
    train(store, plan, images)
    assert summarize(frames(url, plan)).tested[0].n == SEEDS


@pytest.mark.slow
def test_a_fold_that_failed_makes_its_seed_a_failed_one(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    train(store, plan, images, lambda cell: (cell.seed, cell.fold) != (2, 5))
    left = [str(c.run_key) for c in plan.cells if (c.seed, c.fold) == (2, 5)]
    for claim in store.claim_cohort(left, 2, lambda _: 0):
        store.fail(claim, Failed("diverged", "loss is NaN"), {})
    assert store.standing(key(plan)).failed == {name: frozenset({2}) for name in VARIANTS}
    summary = summarize(frames(url, plan))
    assert [v.failed for v in summary.variants] == [1, 1]
    text = markdown(compose(summary))
    assert "| Variant | Seed | Fold | Kind | Error |" in text
    assert text.count("| 2 | 5 | diverged | loss is NaN |") == 2


@pytest.mark.slow
def test_what_is_counted_over_images_is_of_all_of_them(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    """Images that attention changes, their pictures, the confusion matrix, the table of runs."""
    train(store, plan, images)
    keep_pictures(plan, store, Console(file=io.StringIO()))
    files = render(frames(url, plan))
    text = files["report.md"].decode()
    assert "of 1,797 test images" in text
    assert "5 folds of 1,437–1,438/359–360 images, each image tested once" in text
    assert "Nadeau and Bengio" in text
    found = frames(url, plan)
    shown = sorted(found.images.pictures)
    assert shown
    assert max(shown) > 900, "of folds beside the first too"
    for number, png in found.images.pictures.items():
        picture = np.asarray(Image.open(io.BytesIO(png)))
        assert (picture == images.tested_images[number]).all()
    runs = pd.read_csv(io.BytesIO(files["runs.csv"]))
    assert len(runs) == len(VARIANTS) * SEEDS * FOLDS
    assert sorted(runs["fold"].unique()) == [1, 2, 3, 4, 5]
    matrix = pd.read_csv(io.BytesIO(files["figures/confusion.csv"]))
    each = sum(
        confusion(images.tested_labels, said(images, "none", seed), 10)
        for seed in range(1, SEEDS + 1)
    )
    mine = matrix[matrix["variant"] == "none"]
    assert mine["images"].sum() == np.asarray(each).sum() == SEEDS * 1797


@pytest.mark.slow
def test_a_metric_of_predictions_is_judged_over_folds(
    url: str, plan: Plan, images: Images, tmp_path: Path
) -> None:
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": 8}]
    other = with_data(
        small_plan(data=DATA, seeds=SEEDS, image_size=8, grid=grid, metric="macro_f1")
    )
    store = Store(url)
    store.register(other)
    train(store, other, images)
    summary = summarize(frames(url, other))
    [variant] = summary.tested
    assert variant.effect is not None
    assert variant.effect.rule == "bootstrap"
    by_name = {n: {s: said(images, n, s) for s in range(1, SEEDS + 1)} for n in VARIANTS}
    given = by_name, images.tested_labels, "macro_f1", "none"
    assert variant.effect == bootstrap_effects(*given, overlap=1 / (FOLDS - 1))[BETTER]
    plain = bootstrap_effects(*given)[BETTER]
    assert variant.effect.high is not None
    assert plain.high is not None
    assert variant.effect.high >= plain.high
    assert variant.effect.spread is not None


@pytest.mark.slow
def test_predictions_of_a_view_are_numbered_over_all_images(
    store: Store, url: str, plan: Plan, images: Images
) -> None:
    train(store, plan, images, lambda cell: cell.seed == 1)
    found = open_results(url).predictions
    runs = open_results(url).runs[["run_key", "variant", "fold"]]
    mine = found.merge(runs, on="run_key")
    mine = mine[mine["variant"] == BETTER].sort_values("image")
    assert mine["image"].tolist() == list(range(1797)), "every image once"
    assert images.train_folds is not None
    assert (mine["fold"].to_numpy() == images.train_folds).all()
    assert (mine["label"].to_numpy() == images.tested_labels).all()
    assert (mine["predicted"].to_numpy() == said(images, BETTER, 1)).all()
    data = open_results(url).datasets
    assert data[["folds", "train_images", "validation_images", "test_images"]].iloc[0].tolist() == [
        5, 1294, 143, 1797,
    ]  # fmt: skip


@pytest.mark.slow
def test_in_chinese_nothing_of_folds_is_left_in_english(
    store: Store, url: str, plan: Plan, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))
    train(store, plan, images, lambda cell: (cell.seed, cell.fold) != (2, 5))
    left = [str(c.run_key) for c in plan.cells if (c.seed, c.fold) == (2, 5)]
    for claim in store.claim_cohort(left[:1], 2, lambda _: 0):
        store.fail(claim, Failed("diverged", "NaN"), {})
    with spoken("zh"):
        files = render(frames(url, plan))
    page, text = files["report.html"].decode(), files["report.md"].decode()
    asked = [str(plan.study.question), "Noto Sans CJK"]
    assert english_in([*Texts(page).found, *text.splitlines()], asked) == []
    assert "6 个种子（各 5 折）" in text
    assert "每张图像测试一次" in text
    assert "种子 2（5 折中的 4 折）" in text


def test_a_run_of_a_fold_is_named_in_chinese(plan: Plan) -> None:
    with spoken("zh"):
        assert plan.cells[0].name == "none，种子 1，第 1 折"
    assert plan.cells[0].name == "none, seed 1, fold 1"
