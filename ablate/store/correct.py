"""Which test images each run got right: the bits that are stored with its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ablate.stats.sample import Bits

Stored = tuple[str, str, float | None, bytes | None]
"""Run key, the hash of its images, test accuracy, and the bits as `numpy.packbits` packed them."""


def correct_of(runs: Iterable[Stored]) -> dict[str, Bits]:
    """The bits of the runs that have some, by run key.

    Bits fill whole bytes; of how many images they are is what makes the accuracy of them.
    """
    stored = [
        (key, data, value, bits) for key, data, value, bits in runs if bits and value is not None
    ]
    images = _images(stored)
    unpacked = {}
    for key, data, _, bits in stored:
        if data in images:
            whole = np.unpackbits(np.frombuffer(bits or b"", dtype=np.uint8))
            unpacked[key] = whole[: images[data]].astype(np.bool_)
    return unpacked


def _images(runs: Iterable[Stored]) -> Mapping[str, int]:
    """The number of test images of each data set, from any run that got one of them right."""
    images: dict[str, int] = {}
    for _, data, accuracy, bits in runs:
        right = int.from_bytes(bits or b"").bit_count()
        most = 8 * len(bits or b"")
        for count in range(max(1, most - 7), most + 1):
            if right and data not in images and right / count == accuracy:
                images[data] = count
    return images
