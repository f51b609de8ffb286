"""The figures of a search: its history, its front, what each parameter did, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ablate.page import canvas
from ablate.page.document import Figure, Value
from ablate.report.search.quality import best_words, objective_words, quality_of
from ablate.result.search import SearchResult, TrialResult
from ablate.study.search import quality_metric
from ablate.system.messages.language import _, amount

MOST_SLICES = 6


LEGEND = {"complete": canvas.PURPLE, "raced": canvas.OCHRE}


def history_figure(search: SearchResult) -> Figure | None:
    """What each trial gave, in the order in which it ended, and the best so far."""
    at, quality = _with_values(search), quality_of(search)
    if not at:
        return None
    figure, (ax,) = canvas.axes(2.8)
    for state, color in LEGEND.items():
        chosen = [(i, a) for i, (t, a) in enumerate(at) if t.state == state]
        if chosen:
            label = _("all its seeds") if state == "complete" else _("stopped by racing")
            ax.plot(*zip(*chosen, strict=True), "o", color=color, markersize=4, label=label)
    none = -quality.sign * np.inf
    best = quality.best_so_far([a if t.state == "complete" else none for t, a in at])
    finite = np.isfinite(best)
    ax.plot(
        np.flatnonzero(finite), best[finite], color=canvas.INK, linewidth=1, label=_("best so far")
    )
    ax.set(xlabel=_("Trial, in the order of their ends"), ylabel=quality.axis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)
    return Figure(
        "search-history",
        _(
            "{heading} of {trials} in order, with the best so far.",
            heading=quality.heading,
            trials=amount(len(at), "trial"),
        ),
        _(
            "Each point is a trial: the mean over its seeds. “Best” is the {best} of "
            "these means so far, over the seeds that the search picks by; it is not "
            "confirmed.",
            best=best_words(quality),
        ),
        canvas.saved(figure),
        [
            {
                "trial": t.number,
                "variant": t.variant,
                "state": t.state,
                search.objectives[quality.index]: a / quality.scale,
                "best": b,
            }
            for (t, a), b in zip(
                at,
                [float(x) / quality.scale if np.isfinite(x) else None for x in best],
                strict=True,
            )
        ],
    )


def front_figure(search: SearchResult) -> Figure | None:
    """What trials gave against the second objective; the Pareto front joined by a line."""
    others = [i for i, name in enumerate(search.objectives) if not quality_metric(name)]
    at = [(t, a) for t, a in _with_values(search) if t.state == "complete"]
    if not others or not at:
        return None
    figure, boxes = canvas.axes(3.2, len(others))
    for ax, index in zip(boxes, others, strict=True):
        x = [(t.values or ())[index] for t, _ in at]
        ax.plot(x, [a for _, a in at], "o", color=canvas.FAINT, markersize=4)
        front = sorted({(v, a) for v, (t, a) in zip(x, at, strict=True) if t.on_front})
        ax.plot(*zip(*front, strict=True), "o-", color=canvas.PURPLE, markersize=6, linewidth=1)
        ax.set_xlabel(objective_words(search.objectives[index]))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    boxes[0].set_ylabel(quality_of(search).axis)
    on_front = len({t.fingerprint for t, _ in at if t.on_front})
    objectives = ", ".join(map(objective_words, search.objectives))
    return Figure(
        "search-front",
        _(
            "Pareto front by means of {variants} over {objectives}.",
            variants=amount(on_front, "variant"),
            objectives=objectives,
        ),
        _(
            "Purple: by its means no other trial is at least as good in every objective "
            "and better in one. These are means over few seeds and nothing is decided by "
            "them: a grey one is not shown to be dominated."
        ),
        canvas.saved(figure),
        [_front_record(t, search.objectives) for t, _ in at],
    )


def _front_record(trial: TrialResult, objectives: Sequence[str]) -> dict[str, Value]:
    values = dict(zip(objectives, trial.values or (), strict=False))
    return {
        "trial": trial.number,
        "variant": trial.variant,
        "on_front": int(trial.on_front),
        **values,
    }


def slice_figure(search: SearchResult) -> Figure | None:
    """What trials gave against each parameter by itself."""
    at = [(t, a) for t, a in _with_values(search) if t.state == "complete"]
    names = list(dict.fromkeys(name for t, _ in at for name in t.point))
    varied = [n for n in names if len({t.point.get(n) for t, _ in at if n in t.point}) > 1]
    if not varied:
        return None
    quality = quality_of(search)
    figure, boxes = canvas.axes(2.6, min(len(varied), MOST_SLICES))
    for ax, name in zip(boxes, varied, strict=False):
        _slice(ax, name, [(t, a) for t, a in at if name in t.point])
    boxes[0].set_ylabel(quality.axis)
    shown = ", ".join(varied[:MOST_SLICES])
    return Figure(
        "search-slices",
        _(
            "{heading} of the finished trials against each of {shown}.",
            heading=quality.heading,
            shown=shown,
        ),
        _(
            "Each parameter by itself, whatever the others were: the bar is the mean of "
            "the variants that were tried. A search tries good values more often, so "
            "these are no effects."
        ),
        canvas.saved(figure),
        [
            {
                "trial": t.number,
                "variant": t.variant,
                "parameter": name,
                "value": str(t.point[name]),
                search.objectives[quality.index]: a / quality.scale,
            }
            for name in varied
            for t, a in at
            if name in t.point
        ],
    )


def _slice(ax: Axes, name: str, at: Sequence[tuple[TrialResult, float]]) -> None:
    by_network = {t.fingerprint: (t.point[name], a) for t, a in at}
    values = sorted({v for v, _a in by_network.values()}, key=lambda v: (isinstance(v, str), v))
    place = {value: i for i, value in enumerate(values)}
    xs = [place[v] for v, _a in by_network.values()]
    ax.plot(xs, [a for _, a in by_network.values()], "o", color=canvas.FAINT, markersize=4)
    for value, i in place.items():
        mean = float(np.mean([a for v, a in by_network.values() if v == value]))
        ax.plot([i - 0.3, i + 0.3], [mean, mean], color=canvas.PURPLE, linewidth=2)
    ax.set_xticks(range(len(values)), [canvas.label(str(v), 12) for v in values])
    ax.set_xlabel(canvas.label(name, 24))
    ax.margins(x=0.2)


def budget_figure(search: SearchResult) -> Figure | None:
    """The best that was found against the runs it took, beside a grid in random order."""
    if len(search.grid) < 2:
        return None
    figure, (ax,) = canvas.axes(2.8)
    quality = quality_of(search)
    signed = expected_best([quality.sign * value for value in search.grid])
    expected = [quality.sign * quality.scale * value for value in signed]
    runs = [search.seeds * (i + 1) for i in range(len(expected))]
    ax.plot(
        runs,
        expected,
        color=canvas.INK,
        linewidth=1.2,
        label=_("expected: the same variants at random"),
    )
    done = [(t.spent, a) for t, a in _with_values(search) if t.state == "complete"]
    best = quality.best_so_far([a for _, a in done])
    ax.step(
        [spent for spent, _ in done],
        best,
        where="post",
        color=canvas.PURPLE,
        label=_("this search"),
    )
    ax.set(
        xlabel=_("Runs trained"),
        ylabel=_("Best so far{unit}", unit=" (%)" * quality.metric.is_fraction),
    )
    ax.legend(fontsize=8)
    return Figure(
        "search-budget",
        _(
            "Best {title} against the number of runs, of this search and of a grid at random.",
            title=quality.title,
        ),
        _(
            "Black: the expected best of so many of the {variants} that were tried, "
            "drawn without replacement, each with all its seeds: what a grid in random "
            "order would have found at that budget (unbiased over the order; the "
            "variants that the search never tried are not in it). Purple: this one "
            "search. Both are the luck of the best as well as its worth.",
            variants=amount(len(search.grid), "variant"),
        ),
        canvas.saved(figure),
        [
            {"runs": run, "expected_best_of_a_grid": value / quality.scale}
            for run, value in zip(runs, expected, strict=True)
        ],
    )


def _with_values(search: SearchResult) -> list[tuple[TrialResult, float]]:
    """The trials that have values, in order, with what the search goes by as a figure shows it."""
    quality = quality_of(search)
    return [
        (t, quality.scale * t.values[quality.index]) for t in search.trials if t.values is not None
    ]


def expected_best(values: Sequence[float]) -> list[float]:
    """The expected best of m of these values drawn without replacement, for m = 1, 2, …

    The unbiased estimator: the mean over all subsets of m (Tang et al. 2020, arXiv 2004.13705). With n
    values in rising order it is the sum of x_i · C(i − 1, m − 1) / C(n, m).
    """
    ordered, n = sorted(values), len(values)
    return [
        math.fsum(
            value * (math.comb(i, m - 1) / math.comb(n, m)) for i, value in enumerate(ordered)
        )
        for m in range(1, n + 1)
    ]
