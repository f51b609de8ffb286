"""How many images a worker has in its memory at a time on a CPU, however many there are. No torch needed."""

from __future__ import annotations

PIECE_PIXELS = 2**21
"""Of images augmented, or evaluated, at a time: 512 of 64×64. Larger images go in fewer at a time: 512 of
384×384 would take 6 GB to augment, and more in the first layers of a network."""


def piece_images(pixels: int) -> int:
    """How many images of so many pixels, at least one."""
    return max(1, PIECE_PIXELS // pixels)
