"""What was seen inside a network, as numpy arrays. No torch: the report reads these too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Gate:
    """What one attention module did to a batch.

    Shape: before and after (N, C, H, W), channel (N, C), spatial (N, H, W). A weight that cannot
    be seen, because everything that it scales is 0, is NaN.
    """

    path: str
    kind: str
    before: Array
    after: Array
    channel: Array | None
    spatial: Array | None


@dataclass(frozen=True)
class Seen:
    """One forward of a batch: the network's output, feature maps (N, C, H, W) by path, gates."""

    output: Array
    maps: Mapping[str, Array]
    gates: tuple[Gate, ...]

    @property
    def predicted(self) -> tuple[int, ...] | None:
        """The class of each image, None for a network that does not classify."""
        if self.output.ndim != 2:
            return None
        return tuple(int(label) for label in self.output.argmax(axis=1))


@dataclass(frozen=True)
class GateStatistics:
    """The gate values of one module over many images.

    `sd_channels` is over channels (or positions), of their means over images; `sd_images` is over
    images, averaged over channels: near 0 the gate is a constant that no image changes. `dead` and
    `saturated` are the shares of values below 0.05 and above 0.95.
    """

    images: int
    mean: float
    sd_channels: float
    sd_images: float
    dead: float
    saturated: float


@dataclass(frozen=True)
class HeatMaps:
    """The strongest channels of one layer for one image, the most active first.

    Shape: maps (K, H, W), each brought to 0 to 1; means (K,) are the activations before that.
    """

    path: str
    channels: tuple[int, ...]
    means: tuple[float, ...]
    maps: Array


def strongest(path: str, maps: Array, count: int = 3) -> HeatMaps:
    """The `count` channels of a feature map (C, H, W) with the highest mean activation."""
    means = maps.mean(axis=(1, 2))
    order = np.argsort(-means, kind="stable")[:count]
    heat = np.stack([unit(maps[channel]) for channel in order])
    return HeatMaps(path, tuple(map(int, order)), tuple(map(float, means[order])), heat)


def unit(values: Array) -> Array:
    """Values brought to 0 to 1; a constant is 0."""
    low, high = float(values.min()), float(values.max())
    span = high - low
    return (values - low) / span if span > 0 else np.zeros_like(values, dtype=float)


def shrink(maps: Array, limit: int) -> Array:
    """Maps (…, H, W) of at most `limit` pixels a side, averaged over blocks; a rest is cut off."""
    step = -(-max(maps.shape[-2:]) // limit)
    if step == 1:
        return maps
    height, width = (max(1, side // step) for side in maps.shape[-2:])
    rows, columns = maps.shape[-2] // height, maps.shape[-1] // width
    cut = maps[..., : height * rows, : width * columns]
    blocks = cut.reshape(*maps.shape[:-2], height, rows, width, columns)
    means: Array = blocks.mean(axis=(-3, -1))
    return means


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` of the items, evenly over the whole, the first and the last included."""
    if len(items) <= limit:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, limit).round()]


def sample_rows(labels: NDArray[np.int64], count: int) -> list[int]:
    """Which images stand for a dataset: the first of each class in turn, then the second, …"""
    seen: dict[int, int] = {}
    ranked = []
    for row, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        ranked.append((seen[label], label, row))
    return [row for _, _, row in sorted(ranked)[:count]]
