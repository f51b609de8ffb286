"""The section of a search: what was asked, what was found, what each parameter did, and at what price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ablate.page import canvas
from ablate.page import format as fmt
from ablate.page.document import Block, Column, Figure, Note, Row, Table, TableCell, Value
from ablate.report.quality import Quality, quality_of
from ablate.result.search import ConfirmedResult, SearchResult, TrialResult
from ablate.stats import Effect, words
from ablate.stats.selection import told_fresh
from ablate.study.metrics import ACCURACY, METRICS
from ablate.study.search import QUALITIES
from ablate.system.text import plural

MOST_SLICES = 6
CostsByName = Mapping[str, Mapping[str, str]]
"""By variant: the text of each cost by the heading of its column."""

LEGEND = {"complete": canvas.PURPLE, "raced": canvas.OCHRE}


def search_blocks(
    search: SearchResult,
    drawn: Mapping[str, Figure],
    verdicts: Mapping[str, Effect],
    costs: CostsByName | None = None,
) -> tuple[Block, ...]:
    """Everything that there is to say of a search; `drawn` are the figures of this section by name,
    `verdicts` those of fresh seeds by fingerprint, `costs` what its variants cost, as the other tables of
    the report say it.
    """
    first = [drawn.get(f"search-{name}") for name in ("history", "front", "slices")]
    blocks = (
        Note(_summary(search)),
        confirmed_table(search, verdicts),
        *first,
        importance_table(search),
        best_table(search, costs or {}),
        *(figure for figure in drawn.values() if figure not in first),
    )
    return tuple(block for block in blocks if block is not None)


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


def confirmed_table(search: SearchResult, verdicts: Mapping[str, Effect]) -> Table | None:
    """The candidates under fresh seeds: validation images, and the verdict of test images."""
    quality = quality_of(search)
    rows = tuple(
        _confirmed_row(each, quality, verdicts.get(each.fingerprint)) for each in search.confirmed
    )
    columns = (
        Column("Variant", numeric=False),
        Column("n", "fresh seeds"),
        Column("Validation", "95 % t-interval"),
        Column("In the search", "minus that of fresh seeds"),
        Column("Difference", "test, points, 95 % interval"),
        Column("Verdict", "by fresh seeds alone", numeric=False),
    )
    caption = (
        f"The best of the search, trained again with seeds that it had not seen. They were picked from "
        f"{plural(search.candidates, 'variant')}, so their {quality.metric.title} in the search is "
        f"partly luck. {told_fresh(quality.metric.title)} "
        "Differences are to the baseline with the same fresh seeds; their intervals hold together for all "
        "that have some."
    )
    return Table(caption, columns, rows) if rows else None


def _confirmed_row(found: ConfirmedResult, quality: Quality, effect: Effect | None) -> Row:
    luck = quality.gain(found.searched - found.mean)
    none = found.low is None or found.high is None
    within = "" if none else f"{quality.told(found.low or 0)} to {quality.told(found.high or 0)}"
    cells = (
        TableCell(found.variant),
        TableCell(fmt.count(found.n)),
        TableCell(quality.told(found.mean), within),
        TableCell(quality.told(found.searched), luck),
    )
    if effect is None:
        return Row((*cells, TableCell(fmt.MISSING), TableCell(fmt.MISSING)))
    difference = TableCell(words.points(effect.difference), words.span(effect.low, effect.high))
    note = "" if effect.decided else words.could_see(effect)
    return Row((*cells, difference, TableCell(effect.verdict, note, effect.verdict)))


def history_figure(search: SearchResult) -> Figure | None:
    """What each trial gave, in the order in which it ended, and the best so far."""
    at, quality = _with_values(search), quality_of(search)
    if not at:
        return None
    figure, (ax,) = canvas.axes(2.8)
    for state, color in LEGEND.items():
        chosen = [(i, a) for i, (t, a) in enumerate(at) if t.state == state]
        if chosen:
            label = "all its seeds" if state == "complete" else "stopped by racing"
            ax.plot(*zip(*chosen, strict=True), "o", color=color, markersize=4, label=label)
    none = -quality.sign * np.inf
    best = quality.best_so_far([a if t.state == "complete" else none for t, a in at])
    finite = np.isfinite(best)
    ax.plot(
        np.flatnonzero(finite), best[finite], color=canvas.INK, linewidth=1, label="best so far"
    )
    ax.set(xlabel="Trial, in the order of their ends", ylabel=quality.axis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)
    return Figure(
        "search-history",
        f"{quality.heading} of {plural(len(at), 'trial')} in order, with the best so far.",
        f"Each point is a trial: the mean over its seeds. “Best” is the {_best(quality)} of these means so "
        "far, over the seeds that the search picks by; it is not confirmed.",
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
    others = [i for i, name in enumerate(search.objectives) if name not in QUALITIES]
    at = [(t, a) for t, a in _with_values(search) if t.state == "complete"]
    if not others or not at:
        return None
    figure, boxes = canvas.axes(3.2, len(others))
    for ax, index in zip(boxes, others, strict=True):
        x = [(t.values or ())[index] for t, _ in at]
        ax.plot(x, [a for _, a in at], "o", color=canvas.FAINT, markersize=4)
        front = sorted({(v, a) for v, (t, a) in zip(x, at, strict=True) if t.on_front})
        ax.plot(*zip(*front, strict=True), "o-", color=canvas.PURPLE, markersize=6, linewidth=1)
        ax.set_xlabel(_words(search.objectives[index]))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    boxes[0].set_ylabel(quality_of(search).axis)
    on_front = len({t.fingerprint for t, _ in at if t.on_front})
    objectives = ", ".join(map(_words, search.objectives))
    return Figure(
        "search-front",
        f"Pareto front by means of {plural(on_front, 'variant')} over {objectives}.",
        "Purple: by its means no other trial is at least as good in every objective and better in one. These "
        "are means over few seeds and nothing is decided by them: a grey one is not shown to be dominated.",
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
        f"{quality.heading} of the finished trials against each of {shown}.",
        "Each parameter by itself, whatever the others were: the bar is the mean of the variants that "
        "were tried. A search tries good values more often, so these are no effects.",
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
    values = sorted({v for v, _ in by_network.values()}, key=lambda v: (isinstance(v, str), v))
    place = {value: i for i, value in enumerate(values)}
    xs = [place[v] for v, _ in by_network.values()]
    ax.plot(xs, [a for _, a in by_network.values()], "o", color=canvas.FAINT, markersize=4)
    for value, i in place.items():
        mean = float(np.mean([a for v, a in by_network.values() if v == value]))
        ax.plot([i - 0.3, i + 0.3], [mean, mean], color=canvas.PURPLE, linewidth=2)
    ax.set_xticks(range(len(values)), [canvas.label(str(v), 12) for v in values])
    ax.set_xlabel(canvas.label(name, 24))
    ax.margins(x=0.2)


def importance_table(search: SearchResult) -> Table | None:
    """How much of what the search goes by each parameter explains, by method."""
    methods = list(search.importances)
    names = list(dict.fromkeys(name for shares in search.importances.values() for name in shares))
    if not names:
        return None
    rows = tuple(
        Row(
            (
                TableCell(name),
                *(
                    TableCell(fmt.percent(search.importances[method].get(name), 0))
                    for method in methods
                ),
            )
        )
        for name in names
    )
    columns = (Column("Parameter", numeric=False), *(Column(m, "share") for m in methods))
    caption = (
        f"How much of the {quality_of(search).title} each parameter explains among the trials, as Optuna "
        "computes it: fANOVA over the whole space and only for parameters that every variant has, "
        "PED-ANOVA for the difference between good trials and all. With few trials both are rough."
        + _disagreement(search.importances)
    )
    return Table(caption, columns, rows)


def _disagreement(importances: Mapping[str, Mapping[str, float]]) -> str:
    """That the methods put another parameter first, where both know both."""
    known = [set(shares) for shares in importances.values()]
    shared = set.intersection(*known)
    firsts = {
        method: max(shared, key=lambda name: shares[name])
        for method, shares in importances.items()
        if shared
    }
    if len(set(firsts.values())) < 2:
        return ""
    told = ", ".join(f"{name} by {method}" for method, name in firsts.items())
    return (
        f" Here they disagree on what matters most ({told}): they answer different questions, and neither "
        "is shown by these trials."
    )


def best_table(search: SearchResult, costs: CostsByName, top: int = 10) -> Table | None:
    """The best variants, by the mean over the seeds of the search, and what they cost."""
    at = {t.fingerprint: (t, a) for t, a in _with_values(search) if t.state == "complete"}
    quality = quality_of(search)
    order = sorted(at.values(), key=lambda pair: (-quality.sign * pair[1], pair[0].number))
    ranked = order[:top]
    superlative = "most accurate" if quality.metric is METRICS[ACCURACY] else "best"
    objectives = [_words(name) for name in search.objectives]
    headings = dict.fromkeys(h for t, _ in ranked for h in costs.get(t.variant, {}))
    # A speed that was an objective stands there already, as the search judged it.
    more = [
        heading
        for heading in headings
        if heading not in objectives and not ("Images/s" in objectives and "images/s" in heading)
    ]
    rows = tuple(
        Row(
            (
                TableCell(
                    t.variant,
                    "on the front by means" if t.on_front and len(search.objectives) > 1 else "",
                ),
                *(
                    TableCell(_value(quality, name, v))
                    for name, v in zip(search.objectives, t.values or (), strict=True)
                ),
                TableCell(fmt.count(t.seeds)),
                *(TableCell(costs.get(t.variant, {}).get(h, fmt.MISSING)) for h in more),
            )
        )
        for t, _ in ranked
    )
    columns = (
        Column("Variant", numeric=False),
        *(Column(heading) for heading in objectives),
        Column("Seeds"),
        *(Column(heading) for heading in more),
    )
    caption = (
        f"The {superlative} variants of the search: {quality.title} over the seeds that they were picked "
        "by, which flatters them. Nothing here is confirmed by fresh seeds, and none are pooled with them."
    )
    return Table(caption, columns, rows) if rows else None


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
        label="expected: the same variants at random",
    )
    done = [(t.spent, a) for t, a in _with_values(search) if t.state == "complete"]
    best = quality.best_so_far([a for _, a in done])
    ax.step(
        [spent for spent, _ in done], best, where="post", color=canvas.PURPLE, label="this search"
    )
    ax.set(xlabel="Runs trained", ylabel=f"Best so far{' (%)' * quality.metric.is_fraction}")
    ax.legend(fontsize=8)
    return Figure(
        "search-budget",
        f"Best {quality.title} against the number of runs, of this search and of a grid at random.",
        f"Black: the expected best of so many of the {plural(len(search.grid), 'variant')} that were "
        "tried, drawn without replacement, each with all its seeds: what a grid in random order would "
        "have found at that budget (unbiased over the order; the variants that the search never tried are "
        "not in it). Purple: this one search. Both are the luck of the best as well as its worth.",
        canvas.saved(figure),
        [
            {"runs": run, "expected_best_of_a_grid": value / quality.scale}
            for run, value in zip(runs, expected, strict=True)
        ],
    )


def _summary(search: SearchResult) -> str:
    states = {
        s: sum(t.state == s for t in search.trials)
        for s in ("raced", "pruned", "infeasible", "failed")
    }
    extra = ", ".join(f"{n} {state}" for state, n in states.items() if n)
    trained = sum(t.trained for t in search.trials)
    variants = len({t.fingerprint for t in search.trials})
    others = "accuracies" if quality_of(search).metric is METRICS[ACCURACY] else "numbers"
    return (
        f"{plural(len(search.trials), 'trial')}, asked by {search.sampler}, of "
        f"{plural(variants, 'variant')} with up to {plural(search.seeds, 'seed')}"
        + (f" ({extra})" if extra else "")
        + f": {plural(trained, 'run')} trained for the search. It sees validation images only; the "
        f"{others} of the other sections are of test images."
    )


def _with_values(search: SearchResult) -> list[tuple[TrialResult, float]]:
    """The trials that have values, in order, with what the search goes by as a figure shows it."""
    quality = quality_of(search)
    return [
        (t, quality.scale * t.values[quality.index]) for t in search.trials if t.values is not None
    ]


def _best(quality: Quality) -> str:
    return "highest" if quality.metric.higher_is_better else "lowest"


def _value(quality: Quality, name: str, value: float) -> str:
    if name in QUALITIES:
        return quality.told(value)
    return fmt.speed(value) if name == "images_per_second" else fmt.count(value)


def _words(name: str) -> str:
    if name in QUALITIES:
        return f"Validation {METRICS[QUALITIES[name]].title}"
    words = {"macs": "MACs", "images_per_second": "Images/s"}
    return words.get(name, name.capitalize())
