"""Where figures are drawn: one style, no pyplot, the same bytes for the same data."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text
from PIL import Image

from ablate.page.format import short

WIDTH_INCHES = 9.5
PIXELS_PER_INCH = 170
COLORS = 128

INK, GREY, FAINT, GRID = "#1f2328", "#8a929b", "#b9c0c8", "#e6e8eb"
BLUE, ORANGE, GREEN, SKY = "#1f6fb2", "#c4511d", "#13856b", "#56b4e9"
"""Told apart by people with any of the usual colour deficiencies (after Okabe and Ito)."""

BASELINE = INK
TONE_COLORS = {
    "better": BLUE,
    "worse": ORANGE,
    "equivalent": GREEN,
    "identical": GREEN,
    "undecided": GREY,
    "baseline": BASELINE,
}
HIGHLIGHTS = (BASELINE, BLUE, ORANGE)
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    # A name such as `$x$` is text, not a formula that may fail to parse.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, whatever the user's matplotlibrc says; restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def axes(height_inches: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width with axes side by side."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=PIXELS_PER_INCH)
    figure.set_layout_engine("constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def png(figure: Figure) -> bytes:
    """The figure as a PNG with a palette and without metadata.

    A palette takes a third of the bytes of full colour; figures of lines and bars don't need more.
    """
    for text in figure.findobj(Text):  # some were made before a name asked for another font
        text.set_fontfamily(mpl.rcParams["font.family"])
    drawn: Any = FigureCanvasAgg(figure)  # its methods have no types
    drawn.draw()
    colors = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    palette = colors.quantize(COLORS, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    palette.save(packed, format="PNG", optimize=True)
    return packed.getvalue()


def label(name: str, limit: int = 44) -> str:
    """A name that fits beside an axis. A character that the figures' font lacks is drawn with one of the
    machine's fonts that has it; where there is none it becomes its number, so that two names stay two.
    """
    seen = (
        c for c in short(name, limit) if unicodedata.category(c) != "Cf"
    )  # joiners draw nothing
    return "".join(c if _can_draw(c) else f"[{ord(c):X}]" for c in seen)


def _can_draw(character: str) -> bool:
    """Whether a font has it; that font then stands behind the others of the figures to come."""
    if ord(character) in _characters(mpl.get_data_path() + "/fonts/ttf/DejaVuSans.ttf"):
        return True
    family = _family_with(character)
    if family is None:
        return False
    used = mpl.rcParams["font.family"]
    if family not in used:
        mpl.rcParams["font.family"] = [*used, family]
    return True


@cache
def _family_with(character: str) -> str | None:
    """The first family of the machine, by name, that can draw a character."""
    fonts = {(font.name, font.fname) for font in fontManager.ttflist if font.style == "normal"}
    found = (name for name, path in sorted(fonts) if ord(character) in _characters(path))
    return next(found, None)


@cache
def _characters(path: str) -> frozenset[int]:
    """What a font can draw; nothing where it cannot be read, or is of pictures as those of emoji are."""
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
