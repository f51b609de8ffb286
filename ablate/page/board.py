"""Pictures in rows, with words above and below each: one axes for each row, places known in advance.

An axes for each picture, as `subplots` makes them, takes 5 ms to make and as long for each format in which
it is drawn, and a layout that is computed looks at all of their axes and ticks. Here there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.page import canvas
from ablate.result.maps import Array

POINTS_PER_INCH = 72
LINE = 1.2
"""Of a line of text, in its own size."""
GAP_INCHES = 0.035
"""Between a picture and what stands beside it: half of what lies between two pictures."""
WORDS_INCHES = 0.05
"""Between a picture and the words above or below it."""


@dataclass(frozen=True)
class Tile:
    """A picture with the words above and below it; without a picture, words in its place.

    Shape: image (H, W, 3) uint8.
    """

    image: Array | None
    above: str = ""
    below: str = ""
    instead: str = ""


@dataclass(frozen=True)
class Words:
    """How large words are, in points, and whether those above a picture are bold."""

    above: float
    below: float = 6.0


@dataclass(frozen=True)
class Line:
    """One row of a board; None leaves a place empty, as do places of `across` beyond the last tile. `side`
    stands before it, turned.
    """

    tiles: Sequence[Tile | None]
    words: Words
    side: str = ""
    across: int = 1


def board(lines: Sequence[Line], dots_per_inch: float, most_inches: float = 2.0) -> Figure:
    """A figure of the width of others with these rows, each as wide as it; tiles have at most that side."""
    margin = 0.25 if any(line.side for line in lines) else 0.0
    across = max(max(line.across, len(line.tiles)) for line in lines)
    step = (canvas.width_inches() - margin) / across
    side = min(step - 2 * GAP_INCHES, most_inches)
    heights = [_height(line, side) for line in lines]
    figure = Figure(figsize=(canvas.width_inches(), sum(heights)), dpi=dots_per_inch)
    top = 0.0
    for line, height in zip(lines, heights, strict=True):
        ax = _row(figure, top, height)
        _draw(ax, line, margin, step, side)
        top += height
    return figure


def _row(figure: Figure, top: float, height: float) -> Axes:
    """An axes over the whole width whose coordinates are inches, from its upper left corner."""
    whole = figure.get_figheight()
    ax = figure.add_axes((0.0, 1 - (top + height) / whole, 1.0, height / whole))
    ax.set_axis_off()
    ax.set(xlim=(0, figure.get_figwidth()), ylim=(height, 0), autoscale_on=False)
    return ax


def _draw(ax: Axes, line: Line, margin: float, step: float, side: float) -> None:
    upper = _room([tile.above for tile in line.tiles if tile], line.words.above) + GAP_INCHES
    if line.side:
        ax.text(
            margin / 2, upper + side / 2, line.side, rotation=90, va="center", ha="center",
            fontweight="bold",
        )  # fmt: skip
    for i, tile in enumerate(line.tiles):
        if tile is not None:
            _tile(ax, tile, line.words, (margin + (i + 0.5) * step, upper), side)


def _tile(ax: Axes, tile: Tile, words: Words, at: tuple[float, float], side: float) -> None:
    """A tile whose picture has the middle of its upper edge there."""
    middle, upper = at
    if tile.image is None:
        ax.text(middle, upper + side / 2, tile.instead, ha="center", va="center", fontsize=7)
    else:
        height, width = tile.image.shape[:2]
        wide, high = (side * each / max(height, width) for each in (width, height))
        top = upper + (side - high) / 2
        box = (middle - wide / 2, middle + wide / 2, top + high, top)
        # As it is: a format enlarges it, and none has to hold more pixels than there are.
        ax.imshow(tile.image, extent=box, aspect="auto", interpolation="none", clip_on=False)
    if tile.above:
        ax.text(
            middle, upper - WORDS_INCHES, tile.above, ha="center", va="bottom",
            fontsize=words.above, fontweight="bold",
        )  # fmt: skip
    if tile.below:
        low = upper + side + WORDS_INCHES
        ax.text(middle, low, tile.below, ha="center", va="top", fontsize=words.below)


def _height(line: Line, side: float) -> float:
    above = _room([tile.above for tile in line.tiles if tile], line.words.above)
    below = _room([tile.below for tile in line.tiles if tile], line.words.below)
    return above + side + below + 2 * GAP_INCHES


def _room(texts: Sequence[str], points: float) -> float:
    """The height of the tallest of these, with what lies between it and a picture."""
    lines = max((text.count("\n") + 1 for text in texts if text), default=0)
    return lines * LINE * points / POINTS_PER_INCH + WORDS_INCHES if lines else 0.0
