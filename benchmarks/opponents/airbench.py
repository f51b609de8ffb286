"""In the manner of Keller Jordan's cifar10-airbench: everything is a tensor on the device, no loader.

Crop and flip are drawn for each image, for the whole epoch at once. Colour and rotation are torchvision's v2
transforms, which draw one parameter set for a whole batch: less work and less variety than the
tutorial's chain, where every image has its own draw. Eager, bf16 autocast, channels last, all of
torch's threads; losses are read once an epoch. It was made for a GPU; a CPU runs it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Never

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from ablate.datasets import augment
from ablate.datasets.moves import CROP_PADDING
from ablate.system.hardware.precision import choose_precision
from benchmarks.field import LEARNING_RATE, Entry, Field
from benchmarks.race import Turn

JITTER = v2.ColorJitter(augment.JITTER, augment.JITTER, augment.JITTER, hue=augment.HUE_JITTER)
ROTATION = v2.RandomRotation(augment.ROTATION_DEGREES)


def play(field: Field, entry: Entry, turn: Turn) -> Never:
    """One process, all images on the device."""
    race(field, entry, turn, lambda net: net)


def race(
    field: Field, entry: Entry, turn: Turn, prepare: Callable[[nn.Module], nn.Module]
) -> Never:
    """Train the network as `prepare` hands it back."""
    device = torch.device(field.device)
    net = field.net().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    loader, autocast = Loader(field, device), choose_precision("amp", device)
    net = prepare(net.train())
    while True:
        turn.begin()
        losses = []
        for images, labels in (batch for _ in range(entry.epochs) for batch in loader):
            with autocast.autocast(device):
                loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        turn.end(entry.epochs * len(loader.labels), float(torch.stack(losses).mean()))


class Loader:
    """Augmented batches of one epoch after another."""

    def __init__(self, field: Field, device: torch.device) -> None:
        images = field.images()
        self._batch_size = field.batch_size
        self.labels = torch.from_numpy(images.train_labels).to(device)
        pixels = torch.from_numpy(images.train_images).permute(0, 3, 1, 2).to(device)
        self._padded = F.pad(pixels, (CROP_PADDING,) * 4)
        self._mean = torch.tensor(images.mean, device=device)[:, None, None] * 255
        self._std = torch.tensor(images.std, device=device)[:, None, None] * 255

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images = batch_flip(batch_crop(self._padded))
        order = torch.randperm(len(images), device=images.device)
        for rows in order.split(self._batch_size):
            batch = ROTATION(JITTER(images[rows]))
            normal = (batch - self._mean) / self._std
            yield normal.contiguous(memory_format=torch.channels_last), self.labels[rows]


def batch_crop(padded: Tensor) -> Tensor:
    """A window for each image. Shape: (N, 3, H + 8, W + 8) → (N, 3, H, W)."""
    shifts = 2 * CROP_PADDING + 1
    height, width = padded.shape[2] - shifts + 1, padded.shape[3] - shifts + 1
    out = padded.new_empty((*padded.shape[:2], height, width))
    dy, dx = torch.randint(shifts, (2, len(padded)), device=padded.device)
    # 81 masked copies, as airbench does it, instead of one gather with an index for each pixel.
    for y in range(shifts):
        for x in range(shifts):
            chosen = (dy == y) & (dx == x)
            out[chosen] = padded[chosen, :, y : y + height, x : x + width]
    return out


def batch_flip(images: Tensor) -> Tensor:
    """Every second image mirrored, by chance."""
    chosen = torch.rand(len(images), device=images.device) < augment.FLIP_PROBABILITY
    return torch.where(chosen[:, None, None, None], images.flip(3), images)
