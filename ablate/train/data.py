"""Images for a device, and the stream of augmented batches that all variants of a seed share.

A GPU holds them all. On a CPU they stay where they are stored, which all workers share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.datasets.augment import draw_augments
from ablate.datasets.base import IMAGENET, Dataset, Images, Triple, read_images
from ablate.datasets.split import hold_out, stratified_draw
from ablate.study import DataTable, Recipe, Split, stream_seed
from ablate.study.batches import epoch_images
from ablate.train.batch import Batch
from ablate.train.mixing import make_mixer
from ablate.train.pieces import piece_images
from ablate.train.pixels import Pixels, StoredPixels

CHUNK = 512
"""Images that are drawn for at a time on a CPU, and augmented where they are small: chunks that fit the cache
beat a whole epoch. A constant, because the random draws depend on it."""

GPU_CHUNK_PIXELS = 2**26
"""Pixels augmented at a time on a GPU: an epoch of 32×32 images in one go, and bounded memory for
larger ones. A constant, because the random draws depend on it."""

GPU_EVAL_PIXELS = 2**23
"""Pixels looked at at a time on a GPU: 8,192 images of 32×32, so that the host has little to launch."""


@dataclass(frozen=True)
class Part:
    """One part of a dataset: images (N, 3, H, W) uint8, of which rows are given on the device, and
    labels (N,) int64, which are there.
    """

    images: Pixels
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, rows: NDArray[np.int64]) -> Part:
        """Some of its images; where they are stored they stay there."""
        places = torch.from_numpy(rows).to(self.labels.device)
        stored = isinstance(self.images, StoredPixels)
        images = self.images.of(rows) if stored else self.images[places]  # type: ignore[attr-defined]
        return Part(images, self.labels[places])


@dataclass(frozen=True)
class Data:
    """The parts of a dataset on a device. `watched` is what the schedule sees after each epoch:
    the validation split, or the test set in the tutorial's split (`val` is None then).
    """

    train: Part
    val: Part | None
    test: Part
    mean: Triple
    std: Triple

    @property
    def watched(self) -> Part:
        return self.val if self.val is not None else self.test

    @property
    def device(self) -> torch.device:
        return self.train.labels.device

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 images → float32, channels last, brought to zero mean and unit variance per channel."""
        shift, scale = (_of_pixels(each, images.device) for each in (self.mean, self.std))
        return images.float().sub_(shift).div_(scale).contiguous(memory_format=torch.channels_last)


def load_data(
    dataset: Dataset, recipe: Recipe, device: torch.device, fold: int | None = None
) -> Data:
    """The dataset on the device, split and normalised as a recipe says, with the test images of that fold if
    there is one; a worker keeps the last one, since its next run needs it again.
    """
    data = _kept(dataset, recipe.split, recipe.validation_fraction, device, fold)
    if recipe.normalize == "imagenet":
        return replace(data, mean=IMAGENET[0], std=IMAGENET[1])
    return data


def forget_data() -> None:
    """Keep none."""
    _kept.cache_clear()


@lru_cache(maxsize=1)
def _kept(
    dataset: Dataset, split: Split, fraction: float, device: torch.device, fold: int | None
) -> Data:
    return to_device(read_images(dataset), split, fraction, device, fold)


def to_device(
    images: Images, split: Split, fraction: float, device: torch.device, fold: int | None = None
) -> Data:
    """Bring everything to the device, once; on a CPU the images stay where they are. Unless the split is the
    tutorial's, the dataset's own validation images are used as such; where it has none, that fraction of the
    training images is held out.
    """
    if fold is not None:
        return _of_fold(images, split, fraction, device, fold)
    mean, std = images.mean, images.std
    test = _part(images.test_images, images.test_labels, None, device)
    own = images.val_images is not None and images.val_labels is not None
    if split == "tutorial" or own:
        train = _part(images.train_images, images.train_labels, None, device)
        val = None
        if split != "tutorial" and images.val_images is not None and images.val_labels is not None:
            val = _part(images.val_images, images.val_labels, None, device)
        return Data(train, val, test, mean, std)
    train, val = (
        _part(images.train_images, images.train_labels, rows, device)
        for rows in hold_out(images.train_labels, fraction, groups=images.train_groups)
    )
    return Data(train, val, test, mean, std)


def _of_fold(
    images: Images, split: Split, fraction: float, device: torch.device, fold: int
) -> Data:
    """The same where each image is tested once: by this fold those that are dealt to it, and nothing of them
    is trained on, validated or in mean and deviation.
    """
    rows = images.fold(fold)
    mean, std = images.statistics(rows)
    everything = np.arange(len(images.train_labels))
    train, val = rows.rest, None
    if split != "tutorial":
        labels, groups = images.train_labels[rows.rest], images.train_groups
        groups = None if groups is None else groups[rows.rest]
        kept, held = hold_out(labels, fraction, groups=groups)
        train, val = rows.rest[kept], rows.rest[held]
    parts = [
        None if places is None else _part(images.train_images, images.train_labels, places, device)
        for places in (train, val, everything[rows.tested])
    ]
    return Data(parts[0], parts[1], parts[2], mean, std)  # type: ignore[arg-type]


def draw(data: Data, table: DataTable, seed: int) -> Data:
    """The same images, of which a run of that seed is trained on those that it draws; all variants of the
    seed draw the same ones, and what is watched and tested stays as it is.

    Raises:
        DataError: there are fewer to draw from, or more classes.
    """
    if table.train_images is None:
        return data
    labels = data.train.labels.cpu().numpy()
    stream = stream_seed(seed, "train_images")
    rows = stratified_draw(labels, table.train_images, seed=stream)
    return replace(data, train=data.train.of(rows))


def train_batches(data: Data, recipe: Recipe, seed: int, epoch: int) -> Iterator[Batch]:
    """One epoch of augmented, normalised batches. Depends on the seed and the epoch alone.

    The last batch may be smaller; one image alone is left out, another in each epoch.
    """
    size = recipe.step_images
    for images, labels in train_chunks(data, recipe, seed, epoch):
        yield from zip(images.split(size), labels.split(size), strict=True)


def train_chunks(data: Data, recipe: Recipe, seed: int, epoch: int) -> Iterator[Batch]:
    """The same in the pieces in which it is augmented: whole batches, but for the very last one.

    The order is drawn on the CPU, so that it is the same on every device.
    """
    device, count = data.device, len(data.train)
    stream = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    order = torch.randperm(count, generator=stream)[: epoch_images(count, recipe)].to(device)
    draws = torch.Generator(device).manual_seed(stream_seed(seed, "augment", epoch))
    mixer, size = make_mixer(recipe, stream_seed(seed, "mix", epoch)), recipe.step_images
    for rows in order.split(chunk_images(data, size)):
        # What is drawn depends on their number, size and device alone: no image is read for it.
        like = torch.empty((), dtype=torch.uint8, device=device)
        like = like.expand(len(rows), *data.train.images.shape[1:])
        drawn = draw_augments(like, recipe.augment, draws)
        for part in _pieces(len(rows), data, size):
            pixels, labels = data.train.images[rows[part]], data.train.labels[rows[part]]
            images = data.normalise(drawn.of(part)(pixels))
            if mixer is not None:
                batches = zip(images.split(size), labels.split(size), strict=True)
                labels = torch.cat([mixer(batch)[1] for batch in batches])
            yield images, labels


def _pieces(count: int, data: Data, batch_size: int) -> Iterator[slice]:
    """A chunk in pieces of whole batches: on a CPU no more pixels at a time than `PIECE_PIXELS`, since
    augmentation takes a hundred bytes for each. What comes out does not depend on it.
    """
    pixels = data.train.images.shape[2] * data.train.images.shape[3]
    most = count if data.device.type != "cpu" else piece_images(pixels)
    size = max(1, most // batch_size) * batch_size
    return (slice(start, start + size) for start in range(0, count, size))


def chunk_images(data: Data, batch_size: int) -> int:
    """How many images to augment at a time: whole batches."""
    height, width = data.train.images.shape[2:]
    most = CHUNK if data.device.type == "cpu" else GPU_CHUNK_PIXELS // (height * width)
    return max(1, most // batch_size) * batch_size


def eval_chunk_images(part: Part) -> int:
    """How many images to look at at a time."""
    height, width = part.images.shape[2:]
    on_cpu = part.labels.device.type == "cpu"
    most = min(CHUNK, piece_images(height * width))
    return most if on_cpu else max(1, GPU_EVAL_PIXELS // (height * width))


def eval_batches(data: Data, part: Part, batch_size: int | None = None) -> Iterator[Batch]:
    """The images of a part in their order, normalised but not augmented."""
    batch_size = batch_size or eval_chunk_images(part)
    for start in range(0, len(part), batch_size):
        rows = slice(start, start + batch_size)
        yield data.normalise(part.images[rows]), part.labels[rows]


@lru_cache(maxsize=8)
def _of_pixels(shares: Triple, device: torch.device) -> torch.Tensor:
    """A number for each channel (3, 1, 1), as a share of 1, for pixels up to 255. Kept on the device:
    bringing it there makes the host wait for whatever the device has to do.
    """
    with torch.inference_mode(False):
        return torch.tensor(shares, dtype=torch.float32, device=device).mul(255)[:, None, None]


def _part(
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64] | None,
    device: torch.device,
) -> Part:
    """These rows, all if None."""
    rows = np.arange(len(labels)) if rows is None else rows
    stored = StoredPixels(pixels, rows)
    images: Pixels = stored if device.type == "cpu" else stored[:].to(device)
    return Part(images, torch.from_numpy(np.array(labels[rows], dtype=np.int64)).to(device))
