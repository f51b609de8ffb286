"""What is told of a dataset: counts, repeats, dead and plain images, and files that were passed over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import message, study_document
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.picture_sets import picture_set, tarred, zipped_set

from ablate.datasets import examine, open_dataset
from ablate.datasets.base import Images
from ablate.datasets.cifar import Cifar10
from ablate.datasets.examine import examined_before
from ablate.datasets.passed import HIDDEN, MOST_KINDS, OTHERS, count_passed, kind_of
from ablate.datasets.repeats import find_repeats
from ablate.datasets.summary import summarize_dataset
from ablate.errors import DataError
from ablate.plan import make_plan, with_data
from ablate.result.dataset import DatasetSummary
from ablate.study import DataTable, Recipe
from ablate.study.file import parse_study


def dataset_at(folder: Path) -> Any:
    return open_dataset("images", folder, 16)


def summary_of(folder: Path, *, loaded: bool = False, **recipe: Any) -> DatasetSummary:
    dataset = dataset_at(folder).pinned()
    images = dataset.load() if loaded else None
    found = summarize_dataset(dataset, Recipe(**recipe), DataTable(), images)
    assert found is not None
    return found


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    Image.fromarray(pixels).save(path, **options)


# ── repeats ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(20))
def test_repeats_are_those_that_one_finds_by_hand(seed: int) -> None:
    generator = np.random.default_rng(seed)
    (train, train_labels), (test, test_labels) = (
        (generator.integers(0, 8, n).tolist(), generator.integers(0, 2, n).tolist()) for n in (9, 5)
    )
    every = list(zip(train + test, train_labels + test_labels, strict=True))
    found = find_repeats(train, train_labels, test, test_labels)
    assert found.tested_in_training == len([image for image in test if train.count(image)])
    two = [i for i, label in every if any(i == j and label != other for j, other in every)]
    assert found.in_two_classes == len(two)
    assert (found.distinct_train, found.distinct_test) == (len(Counter(train)), len(Counter(test)))


def test_equal_files_are_known_before_one_is_decoded_and_equal_pixels_after(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    source = folder / "train" / "cat" / "000.png"
    (folder / "test" / "cat" / "same.png").write_bytes(source.read_bytes())
    info = PngInfo()
    info.add_text("date", "another")
    with Image.open(source) as image:
        image.save(folder / "test" / "dog" / "same.png", pnginfo=info)
    before = summary_of(folder)
    assert (before.compared, before.tested_in_training, before.in_two_classes) == ("files", 1, 0)
    assert before.plain_images is None
    after = summary_of(folder, loaded=True)
    assert (after.compared, after.tested_in_training, after.in_two_classes) == (
        "pixels at 16×16", 2, 3,
    )  # fmt: skip
    assert summary_of(folder) == after, "the cache has it now"


def test_what_is_remembered_is_believed_of_the_same_arrays_only(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_at(picture_set(tmp_path / "set")).pinned()
    images = dataset.load()
    found = examine.examine(dataset, images)
    [file] = own_cache.glob("examined-*.json")
    monkeypatch.setattr(examine, "_examined", lambda _: pytest.fail("it was found before"))
    assert examine.examine(dataset, images) == examined_before(dataset) == found
    for damaged in ("", "[]", "{}", file.read_text().replace('"plain": 0', '"plain": 7')):
        file.write_text(damaged)
        assert examined_before(dataset) is None
    monkeypatch.undo()
    monkeypatch.setenv("ABLATE_CACHE", str(own_cache))
    others = Images(**{**vars(images), "hashes": {"train_images": "0" * 64}})
    examine.examine(dataset, others)
    assert examine._remembered(dataset, images.hashes) is None


# ── images from which nothing can be learnt ───────────────────────────────────────────────────────


def alpha_set(folder: Path, red: tuple[int, ...] = (0,)) -> Path:
    """Drawings whose shape is in their transparency; what is below has one of these reds."""
    for split in ("train", "test"):
        for label, name in enumerate(("bar", "dot")):
            (folder / split / name).mkdir(parents=True)
            for i in range(3):
                pixels = np.zeros((16, 16, 4), np.uint8)
                pixels[..., 0] = red[i % len(red)]
                pixels[4 : 8 + 4 * label, i : i + 4, 3] = 255
                save(folder / split / name / f"{i}.png", pixels)
    return folder


def test_shapes_in_the_transparency_alone_are_an_error_that_says_so(tmp_path: Path) -> None:
    folder = alpha_set(tmp_path / "set")
    said = message(DataError, lambda: summary_of(folder, loaded=True))
    assert said == (
        "set: all images to train on are one and the same, so that nothing can be learnt: in 12 files the "
        "shape is in the transparency (alpha), which is dropped; paint them onto a background first"
    )
    assert message(DataError, lambda: summary_of(folder)) == said, "the cache knows it now"


def test_plain_images_that_differ_are_told_and_not_refused(tmp_path: Path) -> None:
    found = summary_of(alpha_set(tmp_path / "set", red=(0, 50)), loaded=True)
    assert (found.plain_images, found.transparent_images) == (12, 12)


@pytest.mark.parametrize(("split", "what"), [("train", "to train on"), ("test", "to test")])
def test_one_image_over_and_over_is_an_error(split: str, what: str, tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    for i, file in enumerate(sorted((folder / split).rglob("*.png"))):
        info = PngInfo()
        info.add_text("number", str(i))  # so that the files differ
        Image.new("RGB", (16, 16), "green").save(file, pnginfo=info)
    said = message(DataError, lambda: summary_of(folder, loaded=True))
    assert said.startswith(f"set: all images {what} are one and the same")
    assert said.endswith("once they are 16×16; look at the files")


def test_one_file_over_and_over_is_known_by_the_plan(tmp_path: Path, own_cache: Path) -> None:
    folder = picture_set(tmp_path / "set")
    files = sorted((folder / "train").rglob("*.png"))
    for file in files:
        file.write_bytes(files[0].read_bytes())
    assert "all images to train on are one and the same" in message(
        DataError, lambda: summary_of(folder)
    )
    assert not list(own_cache.glob("images-*")), "nothing was decoded"


def test_one_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    for split in ("train", "test"):
        for file in (folder / split / "dog").iterdir():
            file.unlink()
        (folder / split / "dog").rmdir()
    study = parse_study(study_document(dataset="images"), "test")
    assert message(DataError, lambda: make_plan(study, folder)) == (
        "set: has one class, 'cat', and there is nothing to tell apart; add another"
    )


# ── counts ────────────────────────────────────────────────────────────────────────────────────────


def test_images_are_counted_as_they_are_used(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    for name in ("000", "001", "002"):
        (folder / "train" / "dog" / f"{name}.png").unlink()
        (folder / "test" / "cat" / f"{name}.png").unlink()
    for found in (summary_of(folder), summary_of(folder, loaded=True)):
        assert (found.classes, found.train_images, found.validation_images) == (2, 11, 2)
        assert found.test_images == 9
        assert (found.smallest_class, found.smallest_class_images) == ("dog", 5)
        assert (found.largest_class, found.largest_class_images) == ("cat", 8)
        assert (found.majority_class, found.majority_share) == ("dog", 6 / 9)
    assert summary_of(folder, split="tutorial").validation_images == 0


def test_sizes_of_classes_are_those_of_the_images(tmp_path: Path) -> None:
    for dataset in (
        open_dataset("digits", None, 8),
        open_dataset("digits(test_fraction=0.7)", None, 8),
        dataset_at(picture_set(tmp_path / "set")),
    ):
        images, sizes = dataset.load(), dataset.class_sizes()
        assert sizes is not None
        for size, labels in zip(sizes, (images.train_labels, images.test_labels), strict=True):
            assert size.tolist() == np.bincount(labels).tolist()
        assert dataset.test_count() == len(images.test_labels)
        assert np.array_equal(dataset.test_labels(), images.test_labels)


def test_the_sizes_of_cifar10_are_the_known_ones() -> None:
    train, test = Cifar10(None, 32).class_sizes()
    assert (train.tolist(), test.tolist()) == ([5000] * 10, [1000] * 10)


def test_a_plan_knows_what_each_seed_draws_and_stores_what_is_held_out() -> None:
    study = parse_study(study_document(data={"train_images": 300}), "test")
    plan = with_data(make_plan(study))
    assert plan.data is not None
    assert plan.data.drawn_images == 300
    assert plan.definition["validation_images"] == plan.data.validation_images == 143


# ── what is passed over ───────────────────────────────────────────────────────────────────────────


def test_what_is_passed_over_is_counted_by_kind_however_it_is_packed(tmp_path: Path) -> None:
    zipped = zipped_set(tmp_path / "a" / "set.zip")
    folder = zipped.parent / "unpacked"
    for name in ("train/cat/notes.txt", "train/cat/B.TXT", "test/labels.csv", "train/dog/README"):
        (folder / name).write_text("no image")
    for name in ("train/dog/.DS_Store", "test/.hidden/x.png", "elsewhere.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("hidden, or not below train and test")
    expected = {".txt": 2, ".csv": 1, "without a suffix": 1, HIDDEN: 2}
    packed = tarred(folder, tmp_path / "set.tar")
    for path in (folder, packed, packed):  # the second time the index of the archive is remembered
        assert dict(dataset_at(path).scanned().passed_over) == expected
    assert summary_of(folder).passed_over == expected
    assert dataset_at(folder).content_hash() == dataset_at(zipped).content_hash()


def test_kinds_beyond_some_are_counted_together() -> None:
    found: Counter[str] = Counter()
    for i in range(MOST_KINDS + 5):
        count_passed(found, kind_of(f"train/cat/a.{i}x"))
    assert len(found) == MOST_KINDS + 1
    assert found[OTHERS] == 5
