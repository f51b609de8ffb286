"""Folds: every image is tested once, classes and groups are where they belong, and bad input is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import message, small_plan, study_document
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.layout_sources import encoded, files, npz, write

from ablate.datasets import open_dataset
from ablate.datasets.folds import deal_folds
from ablate.datasets.summary import count_trained, summarize_dataset
from ablate.errors import DataError, OptionError, StudyError
from ablate.plan import make_plan
from ablate.result.dataset import counted, warnings
from ablate.study import DataTable, Recipe, run_key
from ablate.study.file import parse_study
from ablate.train.data import to_device

CLASSES = [str(number) for number in range(5)]
CPU = torch.device("cpu")


def alone(each: int, first: int = 0, **more: int) -> dict[str, bytes]:
    """Class folders without parts, of so many images; `more` are classes of another size."""
    found = files(all=each)
    found |= {
        f"all/{name}/{number:03}.png": encoded(first + 50 + number, 0)
        for name, count in more.items()
        for number in range(count)
    }
    return {name.removeprefix("all/"): data for name, data in found.items()}


@st.composite
def labelled(draw: st.DrawFn) -> tuple[NDArray[np.int64], int]:
    folds = draw(st.integers(2, 7))
    sizes = draw(st.lists(st.integers(folds, 40), min_size=1, max_size=5))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels), folds


@pytest.mark.slow
@given(labelled())
def test_each_image_is_tested_once_and_classes_are_dealt_evenly(
    given: tuple[NDArray[np.int64], int],
) -> None:
    labels, folds = given
    dealt = deal_folds(labels, folds, CLASSES)
    assert set(dealt) == set(range(1, folds + 1)), "every image has a fold, every fold has images"
    sizes = np.bincount(dealt)[1:]
    assert sizes.max() - sizes.min() <= 1
    for label in np.unique(labels):
        each = np.bincount(dealt[labels == label], minlength=folds + 1)[1:]
        assert each.max() - each.min() <= 1 <= each.min(), f"class {label}: {each}"
    assert (dealt == deal_folds(labels, folds, CLASSES)).all(), "the same on every machine"


@pytest.mark.slow
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_a_group_is_in_one_fold_and_classes_are_near_their_share(folds: int, seed: int) -> None:
    """Groups of one to eight images, of one class or several."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    usual = rng.integers(0, 3, 60)[groups]
    labels = np.where(rng.random(len(groups)) < 0.8, usual, rng.integers(0, 3, len(groups)))
    dealt = deal_folds(labels, folds, CLASSES, groups)
    assert all(len(set(dealt[groups == group])) == 1 for group in range(60)), "no group is parted"
    sizes = np.bincount(dealt, minlength=folds + 1)[1:]
    assert sizes.min() > 0.6 * len(labels) / folds
    assert sizes.max() < 1.4 * len(labels) / folds
    for label in range(3):
        each = np.bincount(dealt[labels == label], minlength=folds + 1)[1:]
        assert (each < (labels == label).sum()).all(), "every fold leaves some to train on"
        assert each.max() - each.min() <= 16, f"class {label}: {each}"


def test_too_many_folds_are_one_line() -> None:
    labels = np.repeat([0, 1], [20, 3])
    assert "class '1' has 3 images" in message(DataError, lambda: deal_folds(labels, 5, CLASSES))
    groups = np.arange(23) % 4
    said = message(DataError, lambda: deal_folds(labels, 5, CLASSES, groups))
    assert "there are 4 groups" in said
    assert "at most 4 folds" in said
    of_one_group = np.where(labels == 1, 0, np.arange(23))
    said = message(DataError, lambda: deal_folds(labels, 5, CLASSES, of_one_group))
    assert "all images of class '1' come together in one fold" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"folds": 1}, "folds"),
        ({"folds": 101}, "folds"),
        ({"folds": 5, "test_fraction": 0.3}, "data.test_fraction = 0.3 has nothing to hold out"),
        ({"folds": 5, "test": "val"}, "data.test = 'val' names nothing to test on"),
    ],
)
def test_what_folds_cannot_go_with_is_refused_by_the_study(
    data: dict[str, object], said: str
) -> None:
    assert said in message(StudyError, lambda: parse_study(study_document(data=data), "a study"))


def test_a_source_with_parts_is_refused(tmp_path: Path) -> None:
    table = DataTable(folds=2)
    parts = write(tmp_path / "parts", files(train=4, test=2))
    said = message(DataError, lambda: open_dataset("images", parts, 8, table).classes())
    assert "says which images are test, train" in said
    assert "leave data.folds out" in said
    arrays = npz(tmp_path / "a.npz", train=4, val=2, test=2)
    said = message(DataError, lambda: open_dataset("images", arrays, 8, table).classes())
    assert "test, train, val" in said
    said = message(OptionError, lambda: open_dataset("cifar10", None, 32, table))
    assert "data.folds = 2 is for images" in said
    said = message(OptionError, lambda: open_dataset("digits(test_fraction=0.5)", None, 8, table))
    assert "leave one of them out" in said


def test_more_folds_than_images_of_a_class_of_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "few", alone(6, bird=3))
    said = message(
        DataError, lambda: open_dataset("images", folder, 8, DataTable(folds=5)).classes()
    )
    assert "class 'bird' has 3 images" in said
    assert str(folder) in said


def test_images_of_files_are_dealt_and_their_content_says_how(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", alone(10))
    hashes = {}
    for folds in (None, 2, 5):
        dataset = open_dataset("images", folder, 8, DataTable(folds=folds))
        hashes[folds] = dataset.content_hash()
    assert len(set(hashes.values())) == 3, "another dealing is another data set"
    assert dataset.test_count() == 20
    images = dataset.load()
    assert images.train_folds is not None
    assert len(images.test_labels) == 0
    assert (np.diff(images.train_folds) >= 0).all(), "they lie fold by fold"
    tested = [images.fold(fold).tested for fold in range(1, 6)]
    assert [row for rows in tested for row in range(20)[rows]] == list(range(20))
    for fold, rows in enumerate(tested, 1):
        data = to_device(images, "validation", 0.1, CPU, fold)
        assert data.val is not None
        assert len(data.train) + len(data.val) == 16
        assert len(data.test) == 4
        assert data.test.labels.tolist() == images.train_labels[rows].tolist() == [0, 0, 1, 1]
        assert sorted(data.train.labels.tolist() + data.val.labels.tolist()) == [0] * 8 + [1] * 8
        rest = np.delete(images.train_images, range(20)[rows], axis=0)
        assert np.allclose(data.mean, rest.mean((0, 1, 2)) / 255), "of what it is trained on alone"
        assert not np.allclose(data.mean, images.mean, rtol=1e-6)
    with pytest.raises(DataError, match="no fold 6"):
        images.fold(6)


def test_groups_of_files_stay_together(tmp_path: Path) -> None:
    """Patients of three images each; validation parts none of them either."""
    shots = {
        f"{name}/p{patient:02}_{shot}.png": encoded(100 * patient + shot, label)
        for label, name in enumerate(("cat", "dog"))
        for patient in range(10 * label, 10 * label + 10)
        for shot in range(3)
    }
    folder = write(tmp_path / "patients", shots)
    table = DataTable(folds=5, group=r"^(p\d+)_")
    images = open_dataset("images", folder, 8, table).load()
    groups = images.train_groups
    assert groups is not None
    assert images.train_folds is not None
    for fold in range(1, 6):
        mine = images.train_folds == fold
        assert not set(groups[mine]) & set(groups[~mine])
        assert mine.sum() == 12
        data = to_device(images, "validation", 0.1, CPU, fold)
        assert data.val is not None
        assert len(data.val) % 3 == 0


def test_summary_says_folds_and_what_two_of_them_have(tmp_path: Path) -> None:
    content = alone(10)
    folder = write(tmp_path / "photos", content)
    dataset = open_dataset("images", folder, 8, DataTable(folds=5))
    found = summarize_dataset(dataset, Recipe(), DataTable(folds=5))
    assert found is not None
    assert found.test_images == 20
    assert found.folds == 5
    assert (found.train_images, found.validation_images) == (14, 2)
    assert "5 folds of 16/4 images, each image tested once" in counted(found)
    assert count_trained(dataset, Recipe(), DataTable(folds=5), 3) == 14
    assert found.tested_in_training == 0
    for number in range(10):  # ten copies of one image cannot all be in one fold
        content[f"cat/{number:03}.png"] = content["cat/000.png"]
    dataset = open_dataset("images", write(tmp_path / "same", content), 8, DataTable(folds=5))
    found = summarize_dataset(dataset, Recipe(), DataTable(folds=5))
    assert found is not None
    assert found.tested_in_training == 10
    assert "10 of 20 images are in other folds too" in next(warnings(found))


def test_keys_differ_by_fold_and_cells_go_fold_by_fold() -> None:
    plan = small_plan(data={"folds": 3}, seeds=2)
    variants = len(plan.variants)
    assert len(plan.cells) == 2 * 3 * variants
    assert len({cell.run_key for cell in plan.cells}) == len(plan.cells)
    order = [(cell.seed, cell.fold) for cell in plan.cells[::variants]]
    assert order == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert plan.cells[-1].name.endswith("seed 2, fold 3")
    assert plan.study.setting != small_plan(seeds=2).study.setting
    assert not {c.run_key for c in plan.cells} & {c.run_key for c in small_plan(seeds=2).cells}


def test_an_epoch_leaves_one_out_in_those_folds_where_one_would_be_alone() -> None:
    """Of 1,797 digits in 5 folds some are trained on 1,295, which batches of 647 leave one of."""
    document = study_document(dataset="digits", image_size=8, data={"folds": 5}, seeds=1)
    plain = make_plan(parse_study(document, "x"))
    counts = {
        fold: count_trained(plain.dataset, Recipe(), DataTable(folds=5), fold)
        for fold in range(1, 6)
    }
    assert {1294, 1295} <= set(counts.values())
    document["recipe"] = {"epochs": 2, "batch_size": 647}
    plan = make_plan(parse_study(document, "x"))
    assert any("each epoch leaves one out" in note for note in plan.notes)
    study, content = plan.study, str(plan.dataset.content_hash())
    for cell in plan.cells:
        alone = int(counts[cell.fold or 0] == 1295)
        mark = cell.architecture.fingerprint
        given = mark, study.recipe, content, 8, cell.seed, study.data
        assert cell.run_key == run_key(*given, alone, None, cell.fold)
