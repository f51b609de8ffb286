"""Names in any script are drawn: with a font of the machine that has the character, else by its number."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from ablate.page import canvas

CAT = "\N{CJK UNIFIED IDEOGRAPH-732B}"


def box(width: int) -> object:
    """A filled square, as the picture of a character."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (width, 800), (width, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def font_with_a_cat(tmp_path: Path) -> Iterator[None]:
    """A font on the machine that can draw one character, as a black square."""
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "cat"])
    made.setupCharacterMap({ord(CAT): "cat"})
    made.setupGlyf({".notdef": box(100), "cat": box(800)})
    made.setupHorizontalMetrics({".notdef": (200, 0), "cat": (900, 0)})
    made.setupHorizontalHeader(ascent=800, descent=0)
    made.setupNameTable({"familyName": "Cats Alone", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    path = tmp_path / "cats.ttf"
    made.save(path)
    before = list(fontManager.ttflist)
    fontManager.addfont(str(path))
    canvas._family_with.cache_clear()
    yield
    fontManager.ttflist[:] = before
    canvas._family_with.cache_clear()


def drawn(name: str) -> tuple[str, int]:
    """A name as it is drawn, and how many dark pixels that is."""
    with canvas.style():
        text = canvas.label(name)
        figure, (ax,) = canvas.axes(1.0)
        ax.set_axis_off()
        ax.text(0.5, 0.5, text, fontsize=40, ha="center", va="center")
        pixels = np.asarray(Image.open(io.BytesIO(canvas.png(figure))).convert("L"))
    return text, int((pixels < 100).sum())


@pytest.mark.usefixtures("font_with_a_cat")
def test_a_character_is_drawn_by_the_font_that_has_it() -> None:
    text, dark = drawn(CAT)
    side = 40 / 72 * canvas.PIXELS_PER_INCH * 0.8
    assert text == CAT
    assert dark == pytest.approx(side**2, rel=0.1)
    assert drawn("cat")[0] == "cat"


def test_where_no_font_has_it_two_names_stay_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fontManager, "ttflist", [])
    canvas._family_with.cache_clear()
    try:
        assert drawn(CAT)[0] == "[732B]"
        assert canvas.label("\N{CJK UNIFIED IDEOGRAPH-72AC}") == "[72AC]"
    finally:
        canvas._family_with.cache_clear()


def test_joiners_and_marks_of_direction_draw_nothing() -> None:
    with canvas.style():
        assert canvas.label("a\N{ZERO WIDTH JOINER}b\N{RIGHT-TO-LEFT OVERRIDE}c") == "abc"


def test_the_fonts_of_a_figure_are_those_of_its_names_alone() -> None:
    with canvas.style():
        canvas.label("plain")
        assert canvas.mpl.rcParams["font.family"] == ["DejaVu Sans"]
