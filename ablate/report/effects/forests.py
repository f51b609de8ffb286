"""The figure of effects over several contexts or studies: every variant with its interval in each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ablate.page import canvas
from ablate.page.both import for_both
from ablate.page.document import Block, Figure, Note, Value
from ablate.report.figures import interval_line, row_axes, variant_color
from ablate.report.summary import VariantSummary
from ablate.stats import Effect
from ablate.stats.words import points, size, span
from ablate.system.messages.language import N_, _, amount, closed_up, retold

if TYPE_CHECKING:
    from ablate.report.effects.contexts import InContext

MOST_POINTS = 100.0
COLORS = N_("Blue: better; orange: worse; green: equivalent or identical; grey: undecided.")
TITLES = {
    "context": N_(
        "Differences of {variants} to the baseline of each context with 95 % intervals; the same numbers are "
        "in the tables."
    ),
    "study": N_(
        "Differences of {variants} to the baseline of each study with 95 % intervals; the same numbers are "
        "in the tables."
    ),
}
CAPTIONS = {
    "context": N_(
        "Each variant's difference to the baseline of each context, with the interval that its verdict is "
        "read off. Those of one context hold together."
    ),
    "study": N_(
        "Each variant's difference to the baseline of each study, with the interval that its verdict is "
        "read off. Those of one study hold together."
    ),
}
"""By what the contexts are called."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A row: a variant in one of them; one without an effect is the variant's own, its heading."""

    label: str
    each: InContext | None = None
    variant: VariantSummary | None = None
    effect: Effect | None = None
    elsewhere: str = ""


def over_both(name: str, each: Sequence[InContext], word: str) -> tuple[Block, ...]:
    """The figure for a broad window, and the same for a phone; nothing where no interval is known. Beside it
    that its words are English, where no font of the machine has others.
    """
    with canvas.style():
        figure = for_both(partial(effects_over, name, each, word))
    return () if figure is None else (figure, *map(Note, canvas.english_words()))


def effects_over(name: str, each: Sequence[InContext], word: str) -> Figure | None:
    """Differences to the baseline of each context, or whatever the `word` is, one below the other."""
    rows = [row for variant in _variants(each) for row in _rows(variant, each)]
    found = [row.effect for row in rows if row.effect is not None]
    if not found:
        return None
    figure, ax = row_axes([row.label for row in rows])
    for label, row in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if row.effect else "bold")
    margins = {effect.margin for effect in found}
    band = 100 * max(margins) if len(margins) == 1 else 0.0
    if band:
        ax.axvspan(-band, band, color=canvas.GRID, alpha=0.6, linewidth=0, zorder=0)
    ax.axvline(0, color=canvas.BASELINE, linewidth=1, zorder=0)
    ax.set_xlim(*_limits(found, band))
    (metric, *others) = dict.fromkeys(one.summary.judged_by.title for one in each)
    title = _("its metric") if others else metric
    ax.set_xlabel(
        _("Difference (points of {title})", title=title)
        if canvas.is_narrow()
        else _("Difference to the baseline (points of {title})", title=title)
    )
    for at, row in enumerate(rows):
        _draw(ax, at, row)
    if canvas.is_narrow():  # so many, whatever room long names leave: what was laid out is drawn
        ax.xaxis.set_major_locator(MaxNLocator(4))
    variants = len(rows) - len(found)
    hollow = any(row.elsewhere for row in rows)
    return Figure(
        name,
        _(TITLES[word], variants=amount(variants, "variant")),
        _caption(word, band, hollow=hollow),
        canvas.saved(figure),
        [_record(row, word) for row in rows if row.effect is not None],
    )


def _caption(word: str, band: float, *, hollow: bool) -> str:
    margin = _("The band is the margin of equivalence, ±{margin} points.", margin=size(band / 100))
    others = _("A hollow point has the runs of another.")
    told = (_(CAPTIONS[word]), margin if band else "", _(COLORS), others if hollow else "")
    return closed_up(" ".join(filter(None, told)))


def _variants(each: Sequence[InContext]) -> list[str]:
    """Every variant, in the order of the grids."""
    return list(dict.fromkeys(v.name for one in each for v in one.summary.variants))


def _rows(name: str, each: Sequence[InContext]) -> Iterator[_Shown]:
    found = [row for one in each if (row := _row(name, one)) is not None]
    if found:
        yield _Shown(name)
        yield from found


def _row(name: str, each: InContext) -> _Shown | None:
    variant = each.of(name)
    effect = None if variant is None or each.summary.leaked else variant.effect
    if effect is None or effect.low is None or effect.high is None or effect.difference is None:
        return None
    return _Shown(each.name, each, variant, effect, each.elsewhere.get(name, ""))


def _limits(found: Sequence[Effect], band: float) -> tuple[float, float]:
    """What the intervals need, as far as accuracy can differ."""
    low = min([*(100 * (e.low or 0.0) for e in found), -band])
    high = max([*(100 * (e.high or 0.0) for e in found), band])
    pad = 0.03 * (high - low) or 0.1
    return max(low - pad, -MOST_POINTS), min(high + pad, MOST_POINTS)


def _draw(ax: Axes, at: int, row: _Shown) -> None:
    effect, variant, each = row.effect, row.variant, row.each
    if effect is None or variant is None or each is None:
        return
    if effect.low is None or effect.high is None or effect.difference is None:
        return
    color = variant_color(variant, each.summary)
    interval_line(ax, at, (100 * effect.low, 100 * effect.high), ax.get_xlim(), color)
    inner = canvas.PAPER if row.elsewhere else color
    (point,) = ax.plot(
        [100 * effect.difference], [at], "o", color=color, markersize=5.5, markerfacecolor=inner
    )
    told = _(
        "{difference} points ({interval}), {verdict}",
        difference=points(effect.difference),
        interval=span(effect.low, effect.high),
        verdict=_(effect.verdict),
    )
    if row.elsewhere:
        told = _("{told}; {more}", told=told, more=retold(row.elsewhere))
    canvas.tip(point, f"{variant.name}, {each.name}: {told}")


def _record(row: _Shown, word: str) -> dict[str, Value]:
    effect = row.effect
    if effect is None:
        return {}
    return {
        "variant": effect.variant, word: row.label, "difference": effect.difference, "low": effect.low,
        "high": effect.high, "margin": effect.margin, "verdict": effect.verdict.value, "n": effect.n,
        "n_baseline": effect.n_baseline, "counted": int(not row.elsewhere),
    }  # fmt: skip
