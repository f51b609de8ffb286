"""Batches are the same to the bit wherever images are stored, and take no memory of their own before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import message
from numpy.typing import NDArray

from ablate.datasets import cache, open_dataset
from ablate.datasets.augment import AUGMENTS
from ablate.datasets.base import IMAGENET, Images
from ablate.datasets.split import stratified_split
from ablate.errors import DataChangedError
from ablate.explain.inputs import normalised
from ablate.study import ALL_DATA, DataTable, Recipe
from ablate.train.batch import Batch
from ablate.train.data import (
    Data,
    Part,
    draw,
    eval_batches,
    load_data,
    to_device,
    train_batches,
    train_chunks,
)
from ablate.train.pixels import StoredPixels

CPU = torch.device("cpu")
COUNT, SIZE = 150, 12
FRACTION = 0.2
MIB_IN_KIB = 2**10


def mapped(pixels: NDArray[np.uint8], folder: Path) -> NDArray[np.uint8]:
    """The same in a file, of which it is a read-only memory map."""
    np.save(folder / "images.npy", pixels)
    found: NDArray[np.uint8] = np.load(folder / "images.npy", mmap_mode="r")
    return found


STORED: dict[str, Callable[[NDArray[np.uint8], Path], NDArray[np.uint8]]] = {
    "array": lambda pixels, _: pixels,
    "map": mapped,
    "slice of a map": lambda pixels, folder: mapped(np.concatenate([pixels, pixels]), folder)[
        COUNT:
    ],
    "part of a map": lambda pixels, folder: mapped(pixels.repeat(2, axis=2), folder)[:, :, ::2],
}


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)


def images_of(pixels: NDArray[np.uint8]) -> Images:
    labels = np.arange(len(pixels)) % 3
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    return Images("x", ("a", "b", "c"), pixels, labels, pixels[:70], labels[:70], mean, std)


def on_the_device(images: Images) -> Data:
    """All images as tensors, split by a copy: what a GPU has."""
    train, test = (
        torch.from_numpy(np.ascontiguousarray(own.transpose(0, 3, 1, 2)))
        for own in (images.train_images, images.test_images)
    )
    labels, test_labels = map(torch.from_numpy, (images.train_labels, images.test_labels))
    kept, held = map(torch.from_numpy, stratified_split(images.train_labels, FRACTION))
    parts = Part(train[kept], labels[kept]), Part(train[held], labels[held])
    return Data(*parts, Part(test, test_labels), images.mean, images.std)


def all_batches(data: Data, augment: tuple[str, ...]) -> Iterator[Batch]:
    recipe = Recipe(batch_size=16, augment=augment)
    for epoch in (1, 2):
        yield from train_batches(data, recipe, 3, epoch)
    assert data.val is not None
    for part in (data.train, data.val, data.test):
        yield from eval_batches(data, part, 32)


@pytest.mark.parametrize("augment", [(), tuple(AUGMENTS)], ids=["plain", "all"])
@pytest.mark.parametrize("where", STORED)
def test_batches_are_those_of_tensors_on_the_device(
    pixels: NDArray[np.uint8], tmp_path: Path, where: str, augment: tuple[str, ...]
) -> None:
    stored = replace(images_of(pixels), train_images=STORED[where](pixels, tmp_path))
    data = to_device(stored, "validation", FRACTION, CPU)
    assert isinstance(data.train.images, StoredPixels)
    pairs = zip(
        all_batches(data, augment),
        all_batches(on_the_device(images_of(pixels)), augment),
        strict=True,
    )
    for (images, labels), (expected, expected_labels) in pairs:
        assert torch.equal(images, expected)
        assert images.stride() == expected.stride()
        assert torch.equal(labels, expected_labels)


def test_images_are_brought_to_the_statistics_that_a_recipe_names() -> None:
    dataset = open_dataset("digits", None, 32)
    own, imagenet = (
        load_data(dataset, Recipe(normalize=whose), CPU) for whose in ("dataset", "imagenet")
    )
    assert imagenet.train is own.train, "images are read once"
    pixels = own.test.images[:5]
    mean, std = (torch.tensor(each)[:, None, None] for each in IMAGENET)
    torch.testing.assert_close(imagenet.normalise(pixels), (pixels / 255 - mean) / std)
    assert not torch.allclose(imagenet.normalise(pixels), own.normalise(pixels))
    shown = normalised(pixels.permute(0, 2, 3, 1).numpy(), dataset.load().normalised_by("imagenet"))
    torch.testing.assert_close(shown, imagenet.normalise(pixels))


def test_what_is_taken_is_contiguous_and_what_was_asked_for(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    rows = np.array([5, 3, 140, 7])
    stored = StoredPixels(mapped(pixels, tmp_path), rows)
    whole = torch.from_numpy(pixels[rows].transpose(0, 3, 1, 2).copy())
    assert (len(stored), stored.shape) == (4, whole.shape)
    for asked in (torch.tensor([2, 2, 0]), [3, 0], slice(1, 3), slice(None), slice(2, 99)):
        assert torch.equal(stored[asked], whole[asked])
        assert stored[asked].is_contiguous()


def test_more_than_a_piece_is_taken_in_order(tmp_path: Path) -> None:
    large = np.random.default_rng(1).integers(0, 256, (9, 300, 300, 3), dtype=np.uint8)
    stored = StoredPixels(mapped(large, tmp_path), np.arange(9)[::-1])
    assert torch.equal(stored[:], torch.from_numpy(large[::-1].transpose(0, 3, 1, 2).copy()))


def test_elsewhere_than_on_a_cpu_images_go_to_the_device(pixels: NDArray[np.uint8]) -> None:
    data = to_device(images_of(pixels), "validation", FRACTION, torch.device("meta"))
    for part in (data.train, data.val, data.test):
        assert part is not None
        assert isinstance(part.images, torch.Tensor)
        assert part.images.device == part.labels.device == torch.device("meta")
        assert part.images.shape == (len(part), 3, SIZE, SIZE)


@pytest.mark.parametrize(
    "mixed", [{}, {"mixup_alpha": 0.2, "cutmix_alpha": 1.0}], ids=["", "mixed"]
)
def test_large_images_are_augmented_in_pieces_and_every_byte_is_the_same(
    pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, mixed: dict[str, float]
) -> None:
    """What is drawn is drawn for a whole chunk; only how many images are in memory at a time differs."""
    recipe = Recipe(batch_size=16, augment=("crop", "flip", "color", "rotate", "crop"), **mixed)
    data = to_device(images_of(pixels), "validation", FRACTION, CPU)
    made = {}
    for largest in (2**21, 1):
        monkeypatch.setattr("ablate.train.pieces.PIECE_PIXELS", largest)
        made[largest] = list(train_batches(data, recipe, 3, 1))
        held = [len(labels) for _, labels in train_chunks(data, recipe, 3, 1)]
        assert held == ([120] if largest > 1 else [16] * 7 + [8])
    for (images, labels), (expected, expected_labels) in zip(made[1], made[2**21], strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)
    assert [len(labels) for _, labels in eval_batches(data, data.test)] == [1] * 70


def test_a_file_that_was_cut_is_an_error_and_no_crash(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    stored = StoredPixels(mapped(pixels, tmp_path), np.arange(COUNT))
    os.truncate(tmp_path / "images.npy", 50_000)
    assert "images.npy: ends before image 149, it was cut" in message(
        DataChangedError, lambda: stored[[149]]
    )


def test_images_outlive_a_cache_that_is_deleted_and_close_their_file(
    pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    before = open_files()
    stored = StoredPixels(mapped(pixels, tmp_path), np.arange(COUNT))
    (tmp_path / "images.npy").unlink()
    assert torch.equal(stored[[1]][0], torch.from_numpy(pixels[1].transpose(2, 0, 1).copy()))
    del stored
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images() -> None:
    few, many = start_walker(2_000), start_walker(8_000)
    grown = int(many.communicate()[0]) - int(few.communicate()[0])
    assert grown < 9 * MIB_IN_KIB, "the images are 70 MiB more"


def start_walker(count: int) -> subprocess.Popen[str]:
    """A process that walks over so many images of 64×64 pixels and prints its peak memory in KiB."""
    with cache.new_arrays(f"black-{count}") as draft:
        draft.allocate("images", (count, 64, 64, 3))
        draft.arrays["labels"] = np.arange(count) % 10
    program = str(Path(__file__).parents[1] / "support" / "data_processes.py")
    # What is freed is given back at once: kept, as workers do, it is scattered, by chance, over 100 MiB.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, program, f"black-{count}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("where", [*STORED, "device"])
def test_a_seed_draws_its_training_images_and_nothing_else_changes(
    where: str, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    """All variants of a seed get the same images; what is validated and tested is that of all seeds."""
    whole = on_the_device(images_of(pixels))
    if where in STORED:
        stored = replace(images_of(pixels), train_images=STORED[where](pixels, tmp_path))
        whole = to_device(stored, "validation", FRACTION, CPU)
    table = DataTable(train_images=30)
    one, again, other = (draw(whole, table, seed) for seed in (1, 1, 2))
    assert (one.val, one.test, one.mean) == (whole.val, whole.test, whole.mean)
    assert len(one.train) == len(one.train.images) == 30
    assert np.bincount(one.train.labels).tolist() == [10, 10, 10]
    drawn = [each.train.images[:].flatten(1).tolist() for each in (one, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    have = {
        (label, tuple(image))
        for label, image in zip(
            whole.train.labels.tolist(), whole.train.images[:].flatten(1).tolist(), strict=True
        )
    }
    for label, image in zip(one.train.labels.tolist(), drawn[0], strict=True):
        assert (label, tuple(image)) in have, "its own label, and none that is held out"
    assert draw(whole, ALL_DATA, 1) is whole
    for epoch in (1, 2):
        batches = list(train_batches(one, Recipe(batch_size=8), 1, epoch))
        assert sum(len(labels) for _, labels in batches) == 30
