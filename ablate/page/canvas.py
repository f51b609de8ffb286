"""Where figures are drawn: one style, no pyplot, the same bytes for the same data."""

from __future__ import annotations

import importlib
import io
import logging
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from fontTools import subset  # type: ignore[import-untyped]
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from ablate.page.format import short
from ablate.page.vector import Picture, titled, with_small_photographs
from ablate.system.messages.language import ENGLISH, _, language, spoken

WIDTH_INCHES = 9.5
NARROW_INCHES = 4.2
"""Of the same figure on a phone: beside it, not instead of it."""
PANEL_INCHES = 2.7
"""Panels that would be narrower than this stand one below the other."""
PIXELS_PER_INCH = 300
MOST_PIXELS = 20_000_000
"""A picture with more of them has fewer to the inch."""
COLORS = 128
LAYOUT_TABLES = frozenset({"BASE", "GDEF", "GPOS", "GSUB", "JSTF", "MATH", "kern"})

INK, GREY, FAINT, GRID = "#1f2328", "#8a929b", "#b9c0c8", "#e6e8eb"
BLUE, ORANGE, GREEN, SKY = "#1f6fb2", "#c4511d", "#13856b", "#56b4e9"
PURPLE, OCHRE = "#8250a8", "#9a6b00"
"""Told apart by people with any of the usual colour deficiencies (after Okabe and Ito)."""
PAPER = "#ffffff"

BASELINE = INK
TONE_COLORS = {
    "better": BLUE,
    "worse": ORANGE,
    "equivalent": GREEN,
    "identical": GREEN,
    "undecided": GREY,
    "baseline": BASELINE,
}
HIGHLIGHTS = (BASELINE, PURPLE, OCHRE)
"""Of the baseline, the highest and the lowest mean: no colour of a verdict, for none is said by them."""
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
    # Text stays text: it can be searched, read aloud and set in the fonts of a paper.
    "svg.fonttype": "none",
    "svg.hashsalt": "ablate",
    "pdf.fonttype": 42,
}

LETTERS = {"zh": "的一训练验证图层误差"}
"""Some that every font of a language has which DejaVu lacks, and no font of its neighbours has all of."""
OWN_FORMS = {"zh": " SC"}
"""How a family is called that draws letters as they are written there: Noto Sans CJK SC, and not JP."""

P = ParamSpec("P")
Drawn = TypeVar("Drawn")

_WIDTH: ContextVar[float] = ContextVar("_WIDTH", default=WIDTH_INCHES)
_KEPT: ContextVar[list[Figure] | None] = ContextVar("_KEPT", default=None)
FORMATS = ("svg", "png", "pdf")
_FORMATS: ContextVar[tuple[str, ...]] = ContextVar("_FORMATS", default=FORMATS)


def seaborn() -> Any:
    """The library of statistical figures, loaded by the process that draws with it, while others draw."""
    return importlib.import_module("seaborn")


def kinds(count: int) -> list[tuple[float, float, float]]:
    """Colours of so many kinds that have no order."""
    return list(seaborn().color_palette("colorblind", count))


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, whatever the user's matplotlibrc says; restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        mpl.rcParams["font.family"] = _families()
        with _quiet_fonts():
            yield


def _families() -> list[str]:
    """The fonts of all figures; names with other characters ask for others behind these."""
    family = family_of_words(language())
    return [STYLE["font.family"], *([family] if family else [])]


@contextmanager
def _quiet_fonts() -> Iterator[None]:
    """Nobody needs to hear for each figure that a font of the machine is not there in bold."""
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def can_word() -> bool:
    """Whether the words of figures can be drawn in the language that is spoken."""
    return language() not in LETTERS or family_of_words(language()) is not None


def english_words() -> tuple[str, ...]:
    """That the words of figures are English, where they are so for want of a font."""
    if can_word():
        return ()
    return (
        _(
            "Words in figures are English, as no font of the machine that made them has others: with one, "
            "such as Noto Sans CJK, they are drawn in the language of this text."
        ),
    )


def worded(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """What draws, in English where no font of the machine has the letters of the language."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        with spoken(language() if can_word() else ENGLISH):
            return draw(*args, **kwargs)

    return drawn


@contextmanager
def width(inches: float, *, for_page: bool = False) -> Iterator[None]:
    """Figures of this width, for a paper's column; `for_page` alone, so that they need no files."""
    token = _WIDTH.set(inches)
    try:
        with written_as(("svg",) if for_page else _FORMATS.get()):
            yield
    finally:
        _WIDTH.reset(token)


@contextmanager
def written_as(formats: tuple[str, ...]) -> Iterator[None]:
    """Figures in these formats, and as SVG, which a page has."""
    token = _FORMATS.set(formats)
    try:
        yield
    finally:
        _FORMATS.reset(token)


def width_inches() -> float:
    """How wide the figures are that are drawn now."""
    return _WIDTH.get()


def is_narrow() -> bool:
    """Whether there is no room for long labels beside an axis."""
    return width_inches() < 6


def axes(height_inches: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width with axes side by side, in as many rows as it takes for each to have
    room.
    """
    number, fit = columns, max(1, int(width_inches() / PANEL_INCHES))
    rows = -(-number // fit)
    columns = -(-number // rows)
    size = (width_inches(), height_inches * rows)
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH)
    figure.set_layout_engine("constrained")
    boxes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in boxes[number:]:
        ax.remove()
    return figure, boxes[:number]


def tip(artist: Artist, text: str) -> None:
    """What is shown where a pointer rests on it."""
    artist.set_gid(titled(text))


@contextmanager
def kept() -> Iterator[list[Figure]]:
    """The figures that are drawn meanwhile, for a notebook; they are written in no format."""
    figures: list[Figure] = []
    token = _KEPT.set(figures)
    try:
        yield figures
    finally:
        _KEPT.reset(token)


def is_kept() -> bool:
    """Whether figures are kept, and written in no format."""
    return _KEPT.get() is not None


def saved(figure: Figure) -> Picture:
    """The figure as SVG, PNG and PDF, or as those of them that are wanted, without metadata: the same bytes
    for the same figure.
    """
    if (figures := _KEPT.get()) is not None:
        figures.append(figure)
        return Picture(b"")
    _lay_out(figure)
    wanted, svg = _FORMATS.get(), _written(figure, "svg")
    pixels = png(figure) if "png" in wanted else b""
    pdf = _written(figure, "pdf") if "pdf" in wanted else b""
    return Picture(svg, pixels, pdf, for_page=with_small_photographs(svg))


def png(figure: Figure) -> bytes:
    """The figure as a PNG without metadata.

    Full colour where there is a picture or a scale of colours in it; lines and bars need a palette only,
    which takes a third of the bytes.
    """
    drawn = _lay_out(figure)
    drawn.draw()
    colors = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    kept = colors if _is_smooth(figure) else _with_palette(colors)
    packed = io.BytesIO()
    kept.save(packed, format="PNG", compress_level=6, dpi=(figure.dpi, figure.dpi))
    return packed.getvalue()


def _is_smooth(figure: Figure) -> bool:
    """Whether a picture or a scale of colours is in it."""
    artists = (artist for ax in figure.axes for artist in (*ax.images, *ax.collections))
    return any(isinstance(artist, AxesImage | QuadMesh) for artist in artists)


def _with_palette(colors: Image.Image) -> Image.Image:
    """With a palette made from a part of the pixels: all of them take seconds."""
    part = colors.resize((colors.width // 3, colors.height // 3), Image.Resampling.NEAREST)
    return colors.quantize(palette=part.quantize(COLORS), dither=Image.Dither.NONE)


def _lay_out(figure: Figure) -> Any:
    """What stands where, settled once, so that no format computes it again; returns a canvas of pixels,
    whose methods have no types.
    """
    inches = float(figure.get_figwidth() * figure.get_figheight())
    figure.set_dpi(min(figure.dpi, (MOST_PIXELS / inches) ** 0.5))
    canvas: Any = FigureCanvasAgg(figure)
    if mpl.rcParams["font.family"] != _families():
        for text in figure.findobj(Text):  # some were made before a name asked for another font
            text.set_fontfamily(mpl.rcParams["font.family"])
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        # Not "none": the placeholder that it leaves has each format draw twice.
        figure.set_layout_engine(None)
    return canvas


def _written(figure: Figure, kind: str) -> bytes:
    packed, dpi = io.BytesIO(), figure.dpi
    nothing = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
    with _fonts_without_layout():
        figure.savefig(packed, format=kind, metadata=nothing[kind])
    figure.set_dpi(dpi)
    return packed.getvalue()


@contextmanager
def _fonts_without_layout() -> Iterator[None]:
    """Fonts are put into a PDF without the tables by which a program sets text: the PDF has each glyph at
    its place, and reading those of one font takes 50 ms of 70.
    """
    load = subset.load_font

    def load_less(*args: Any, **named: Any) -> Any:
        font = load(*args, **named)
        for table in LAYOUT_TABLES.intersection(font.keys()):
            del font[table]
        return font

    subset.load_font = load_less
    try:
        yield
    finally:
        subset.load_font = load


def two_lines(name: str, limit: int = 44) -> str:
    """A name beside an axis, in two lines where one is too short for it; cut only beyond that."""
    limit = min(limit, 24) if is_narrow() else limit
    text = label(name, 2 * limit - 2)
    if len(text) <= limit:
        return text
    lines = textwrap.wrap(text.replace("(", "( "), limit, break_on_hyphens=False)
    lines = [line.replace("( ", "(") for line in lines]
    if len(lines) > 2 or "( " in name:
        lines = [text[:limit], text[limit:]]
    return "\n".join(line.strip() for line in lines)


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
def family_of_words(language: str) -> str | None:
    """The family of the machine that has the letters of a language: one without serifs, and one of its own
    forms of them, before others.
    """
    letters = frozenset(map(ord, LETTERS.get(language, "")))
    fonts = {(font.name, font.fname) for font in fontManager.ttflist if font.style == "normal"}
    own = OWN_FORMS.get(language, "")
    first = sorted(fonts, key=lambda f: ("serif" in f[0].lower(), not f[0].endswith(own), *f))
    return next((name for name, path in first if letters and letters <= _characters(path)), None)


@cache
def _family_with(character: str) -> str | None:
    """The first family of the machine, by name, that can draw a character."""
    fonts = {(font.name, font.fname) for font in fontManager.ttflist if font.style == "normal"}
    found = (name for name, path in sorted(fonts) if ord(character) in _characters(path))
    return next(found, None)


@cache
def _characters(path: str) -> frozenset[int]:
    """What a font can draw; nothing where it cannot be read, or is of pictures as those of emoji are, or
    draws a box for every character, as the last one that Matplotlib brings.
    """
    if "LastResort" in path:
        return frozenset()
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
