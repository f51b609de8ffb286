"""Every figure of a report, by the name of its file. To add one: a function, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ablate.page import canvas
from ablate.page.both import for_both
from ablate.page.document import Figure
from ablate.page.together import all_of
from ablate.report.cost.profiles import profile_figure
from ablate.report.cost.scatter import cost_figure
from ablate.report.cost.shares import family_figure
from ablate.report.effects.factors import factors_figure
from ablate.report.effects.forest import effects_figure
from ablate.report.effects.forests import effects_over
from ablate.report.effects.heat import heat_map
from ablate.report.effects.placement_map import placement_figure
from ablate.report.effects.shapley import shapley_figure
from ablate.report.figures import accuracy_figure
from ablate.report.search import figures as search
from ablate.report.seen.attention import heat_figure, weights_figure
from ablate.report.seen.classes import confusion_figure
from ablate.report.seen.curves import epoch_loss_figure, learning_figure, loss_figure
from ablate.report.seen.flips import flips_figure
from ablate.report.summary import Summary
from ablate.result.search import SearchResult
from ablate.system.messages.language import ENGLISH, _, language, spoken
from ablate.system.messages.pulse import PULSE

Draw = Callable[[Summary], Figure | None]
"""Draws a figure of that name; None where the study has nothing to show in it."""


@dataclass(frozen=True)
class Drawing:
    """A figure of a section (`story.py`), in which it stands behind those before it here."""

    section: str
    draw: Draw


def _of_search(draw: Callable[[SearchResult], Figure | None]) -> Draw:
    return lambda summary: draw(summary.search) if summary.search is not None else None


FIGURES: dict[str, Drawing] = {
    "effects": Drawing("accuracy", effects_figure),
    "accuracy": Drawing("accuracy", accuracy_figure),
    "contexts": Drawing("contexts", lambda s: effects_over("contexts", s.contexts, "context")),
    "heat-map": Drawing("factors", heat_map),
    "placement": Drawing("factors", placement_figure),
    "factors": Drawing("factors", factors_figure),
    "shapley": Drawing("factors", shapley_figure),
    "cost": Drawing("cost", cost_figure),
    "search-history": Drawing("search", _of_search(search.history_figure)),
    "search-front": Drawing("search", _of_search(search.front_figure)),
    "search-slices": Drawing("search", _of_search(search.slice_figure)),
    "search-budget": Drawing("search", _of_search(search.budget_figure)),
    "attention-image-1": Drawing("attention", partial(heat_figure, image=0)),
    "attention-image-2": Drawing("attention", partial(heat_figure, image=1)),
    "attention-weights": Drawing("attention", weights_figure),
    "images-best": Drawing("images", partial(flips_figure, place=0)),
    "images-worst": Drawing("images", partial(flips_figure, place=1)),
    "confusion": Drawing("classes", confusion_figure),
    "loss": Drawing("training", loss_figure),
    "loss-by-epoch": Drawing("training", epoch_loss_figure),
    "learning": Drawing("training", learning_figure),
    "families": Drawing("profile", family_figure),
    "profile": Drawing("profile", profile_figure),
}


HEAVY = "attention", "classes", "images"
"""Sections whose figures are drawn first, as they take longest."""


def draw_all(summary: Summary, formats: tuple[str, ...] = canvas.FORMATS) -> dict[str, Figure]:
    """Every figure that this study has, by name; several at once where there are several cores.

    Raises:
        DrawingError: a process that drew some has died.
    """
    heavy_first = sorted(FIGURES, key=lambda name: FIGURES[name].section not in HEAVY)
    work = {name: partial(_drawn, FIGURES[name].draw, summary, formats) for name in heavy_first}

    def told(done: int) -> None:
        PULSE.count(_("drawing figures"), done, len(work))

    # Figures that are kept are so by whoever asks, which another process cannot do.
    found = all_of(work, told, processes=1 if canvas.is_kept() else None)
    return {name: figure for name in FIGURES if (figure := found[name]) is not None}


def of_section(section: str, drawn: Mapping[str, Figure]) -> dict[str, Figure]:
    """Those of a section, in their order."""
    return {name: each for name, each in drawn.items() if FIGURES[name].section == section}


def draw_section(section: str, summary: Summary) -> dict[str, Figure]:
    """The figures of a section that this study has, by name and in their order."""
    chosen = {name: each for name, each in FIGURES.items() if each.section == section}
    drawn = {name: _drawn(each.draw, summary, canvas.FORMATS) for name, each in chosen.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _drawn(draw: Draw, summary: Summary, formats: tuple[str, ...]) -> Figure | None:
    """A figure for both widths, in a style of its own: what one asks for is not seen in the next. Its numbers
    are for programs.
    """
    with canvas.style(), canvas.written_as(formats):
        figure = for_both(partial(draw, summary))
        return _numbers_in_english(figure, partial(draw, summary))


def _numbers_in_english(figure: Figure | None, draw: Callable[[], Figure | None]) -> Figure | None:
    if figure is None or language() == ENGLISH:
        return figure
    with spoken(ENGLISH), canvas.kept():
        numbers = draw()
    return figure if numbers is None else replace(figure, data=numbers.data)


def draw_figure(name: str, summary: Summary, inches: float | None = None) -> Figure | None:
    """One figure of that width; None where the study has nothing to show in it."""
    draw = canvas.worded(FIGURES[name].draw)
    with canvas.style(), canvas.width(inches or canvas.WIDTH_INCHES):
        return _numbers_in_english(draw(summary), partial(draw, summary))
