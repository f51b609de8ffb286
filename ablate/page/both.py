"""A figure as a page has it: for a broad window and for a phone, in words that its fonts can draw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.system.messages.language import ENGLISH, spoken

Draw = Callable[[], Figure | None]


def for_both(draw: Draw) -> Figure | None:
    """A figure for a broad window, and the same for a phone; in English words where no font has others."""
    if not canvas.can_word():
        return _worded_in_english(draw)
    figure = draw()
    if figure is None:
        return None
    with canvas.width(canvas.NARROW_INCHES, for_page=True):
        small = draw()
    return figure if small is None else replace(figure, narrow=small.picture)


def _worded_in_english(draw: Draw) -> Figure | None:
    """A figure with English words in it and the caption in the language that is spoken."""
    with canvas.kept(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # nobody sees this one
        told = draw()
    with spoken(ENGLISH):
        figure = for_both(draw)
    if figure is None or told is None:
        return None
    return replace(figure, alt=told.alt, caption=told.caption)
