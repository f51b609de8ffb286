"""Pictures in rows, with words above and below each: one axes for all of them, places known in advance.

An axes for each picture, as `subplots` makes them, takes 5 ms to make and as long for each format in which
it is drawn, and a layout that is computed looks at all of their axes and ticks. Here there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.page import canvas
from ablate.result.maps import Array

POINTS_PER_INCH = 72
LINE = 1.2
"""Of a line of text, in its own size."""
PLAIN, BOLD = 0.6, 0.7
"""How wide a letter of the figures' font is on average, in its size."""
SIDE_INCHES = 0.25
"""For words that stand before a row."""
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


class _RowEdge(Artist):
    """The begin or the end of a row, which is drawn as if it were an axes of its own: a page that is printed
    ends between two.
    """

    def __init__(self, row: int, *, begins: bool) -> None:
        super().__init__()
        self._begins = begins
        self.set_zorder(row)

    def draw(self, renderer: Any) -> None:
        """Open or close a group of the format, where it has such."""
        (renderer.open_group if self._begins else renderer.close_group)("axes")


def letters(across: int, points: float, *, bold: bool = False, margin: float = 0.0) -> int:
    """How many letters of that size stand beside each other over one of so many tiles."""
    inches = (canvas.width_inches() - margin) / across
    return int(inches * POINTS_PER_INCH / (points * (BOLD if bold else PLAIN)))


def board(lines: Sequence[Line], dots_per_inch: float, most_inches: float = 2.0) -> Figure:
    """A figure of the width of others with these rows, each as wide as it; tiles have at most that side."""
    margin = SIDE_INCHES if any(line.side for line in lines) else 0.0
    across = max(max(line.across, len(line.tiles)) for line in lines)
    step = (canvas.width_inches() - margin) / across
    side = min(step - 2 * GAP_INCHES, most_inches)
    heights = [_height(line, side) for line in lines]
    figure = Figure(figsize=(canvas.width_inches(), sum(heights)), dpi=dots_per_inch)
    ax = _whole(figure)
    top = 0.0
    for row, (line, height) in enumerate(zip(lines, heights, strict=True)):
        ax.add_artist(_RowEdge(row, begins=True))
        _row(ax, line, row, (margin, top, step, side))
        ax.add_artist(_RowEdge(row, begins=False))
        top += height
    return figure


def _whole(figure: Figure) -> Axes:
    """An axes over the whole figure whose coordinates are inches, from its upper left corner."""
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set_gid("board")
    ax.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0), autoscale_on=False)
    return ax


def _row(ax: Axes, line: Line, row: int, places: tuple[float, float, float, float]) -> None:
    """One row; `places` are where it begins, from the left and from above, its steps and its tiles' side."""
    left, top, step, side = places
    upper = top + _room([tile.above for tile in line.tiles if tile], line.words.above) + GAP_INCHES
    if line.side:
        ax.text(
            left / 2, upper + side / 2, line.side, rotation=90, va="center", ha="center",
            fontweight="bold", zorder=row,
        )  # fmt: skip
    for i, tile in enumerate(line.tiles):
        if tile is not None:
            _tile(ax, tile, line.words, (left + (i + 0.5) * step, upper, side, row))


def _tile(ax: Axes, tile: Tile, words: Words, place: tuple[float, float, float, int]) -> None:
    """A tile; `place` is the middle of its picture's upper edge, the picture's side and the row."""
    middle, upper, side, row = place
    if tile.image is None:
        ax.text(
            middle, upper + side / 2, tile.instead, ha="center", va="center", fontsize=7, zorder=row
        )
    else:
        height, width = tile.image.shape[:2]
        wide, high = (side * each / max(height, width) for each in (width, height))
        top = upper + (side - high) / 2
        box = (middle - wide / 2, middle + wide / 2, top + high, top)
        # As it is: a format enlarges it, and none has to hold more pixels than there are.
        ax.imshow(
            tile.image, extent=box, aspect="auto", interpolation="none", clip_on=False, zorder=row
        )
    if tile.above:
        ax.text(
            middle, upper - WORDS_INCHES, tile.above, ha="center", va="bottom",
            fontsize=words.above, fontweight="bold", zorder=row,
        )  # fmt: skip
    if tile.below:
        ax.text(
            middle, upper + side + WORDS_INCHES, tile.below, ha="center", va="top",
            fontsize=words.below, zorder=row,
        )  # fmt: skip


def _height(line: Line, side: float) -> float:
    above = _room([tile.above for tile in line.tiles if tile], line.words.above)
    below = _room([tile.below for tile in line.tiles if tile], line.words.below)
    return above + side + below + 2 * GAP_INCHES


def _room(texts: Sequence[str], points: float) -> float:
    """The height of the tallest of these, with what lies between it and a picture."""
    lines = max((text.count("\n") + 1 for text in texts if text), default=0)
    return lines * LINE * points / POINTS_PER_INCH + WORDS_INCHES if lines else 0.0
