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
from ablate.system.language import N_, _, amount

MOST_SLICES = 6
CostsByName = Mapping[str, Mapping[str, str]]
"""By variant: the text of each cost by the heading of its column."""

STATES = {
    "raced": N_("{n} raced"),
    "pruned": N_("{n} pruned"),
    "infeasible": N_("{n} infeasible"),
    "failed": N_("{n} failed"),
}
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
        Column(_("Variant"), numeric=False),
        Column("n", _("fresh seeds")),
        Column(_("Validation"), _("95 % t-interval")),
        Column(_("In the search"), _("minus that of fresh seeds")),
        Column(_("Difference"), _("test, points, 95 % interval")),
        Column(_("Verdict"), _("by fresh seeds alone"), numeric=False),
    )
    caption = _(
        "The best of the search, trained again with seeds that it had not seen. They "
        "were picked from {variants}, so their {title} in the search is partly luck. "
        "{fresh} Differences are to the baseline with the same fresh seeds; their "
        "intervals hold together for all that have some.",
        variants=amount(search.candidates, "variant"),
        title=quality.metric.title,
        fresh=told_fresh(quality.metric.title),
    )
    return Table(caption, columns, rows) if rows else None


def _confirmed_row(found: ConfirmedResult, quality: Quality, effect: Effect | None) -> Row:
    luck = quality.gain(found.searched - found.mean)
    none = found.low is None or found.high is None
    within = (
        "" if none else fmt.from_to(quality.told(found.low or 0), quality.told(found.high or 0))
    )
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
    return Row((*cells, difference, TableCell(_(effect.verdict), note, effect.verdict)))


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
            best=_best(quality),
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
    columns = (Column(_("Parameter"), numeric=False), *(Column(m, _("share")) for m in methods))
    caption = _(
        "How much of the {title} each parameter explains among the trials, as Optuna "
        "computes it: fANOVA over the whole space and only for parameters that every "
        "variant has, PED-ANOVA for the difference between good trials and all. With "
        "few trials both are rough.",
        title=quality_of(search).title,
    ) + _disagreement(search.importances)
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
    told = ", ".join(
        _("{name} by {method}", name=name, method=method) for method, name in firsts.items()
    )
    return _(
        " Here they disagree on what matters most ({told}): they answer different "
        "questions, and neither is shown by these trials.",
        told=told,
    )


def best_table(search: SearchResult, costs: CostsByName, top: int = 10) -> Table | None:
    """The best variants, by the mean over the seeds of the search, and what they cost."""
    at = {t.fingerprint: (t, a) for t, a in _with_values(search) if t.state == "complete"}
    quality = quality_of(search)
    order = sorted(at.values(), key=lambda pair: (-quality.sign * pair[1], pair[0].number))
    ranked = order[:top]
    superlative = _("most accurate") if quality.metric is METRICS[ACCURACY] else _("best")
    objectives = [_words(name) for name in search.objectives]
    headings = dict.fromkeys(h for t, _ in ranked for h in costs.get(t.variant, {}))
    # A speed that was an objective stands there already, as the search judged it.
    speed = _("Images/s")
    more = [
        heading
        for heading in headings
        if heading not in objectives
        and not (speed in objectives and speed.lower() in heading.lower())
    ]
    rows = tuple(
        Row(
            (
                TableCell(
                    t.variant,
                    _("on the front by means") if t.on_front and len(search.objectives) > 1 else "",
                ),
                *(
                    TableCell(_value(quality, name, v))
                    for name, v in zip(search.objectives, t.values or (), strict=True)
                ),
                TableCell(fmt.count(t.seeds)),
                *(TableCell(costs.get(t.variant, {}).get(h, fmt.MISSING)) for h in more),
            )
        )
        for t, _mean in ranked
    )
    columns = (
        Column(_("Variant"), numeric=False),
        *(Column(heading) for heading in objectives),
        Column(_("Seeds")),
        *(Column(heading) for heading in more),
    )
    caption = _(
        "The {superlative} variants of the search: {title} over the seeds that they "
        "were picked by, which flatters them. Nothing here is confirmed by fresh "
        "seeds, and none are pooled with them.",
        superlative=superlative,
        title=quality.title,
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


def _summary(search: SearchResult) -> str:
    states = {s: sum(t.state == s for t in search.trials) for s in STATES}
    extra = ", ".join(_(STATES[state], n=n) for state, n in states.items() if n)
    trained = sum(t.trained for t in search.trials)
    variants = len({t.fingerprint for t in search.trials})
    others = _("accuracies") if quality_of(search).metric is METRICS[ACCURACY] else _("numbers")
    return _(
        "{trials}, asked by {sampler}, of {variants} with up to {seeds}{extra}: {runs} "
        "trained for the search. It sees validation images only; the {others} of the "
        "other sections are of test images.",
        trials=amount(len(search.trials), "trial"),
        sampler=search.sampler,
        variants=amount(variants, "variant"),
        seeds=amount(search.seeds, "seed"),
        extra=f" ({extra})" if extra else "",
        runs=amount(trained, "run"),
        others=others,
    )


def _with_values(search: SearchResult) -> list[tuple[TrialResult, float]]:
    """The trials that have values, in order, with what the search goes by as a figure shows it."""
    quality = quality_of(search)
    return [
        (t, quality.scale * t.values[quality.index]) for t in search.trials if t.values is not None
    ]


def _best(quality: Quality) -> str:
    return _("highest") if quality.metric.higher_is_better else _("lowest")


def _value(quality: Quality, name: str, value: float) -> str:
    if name in QUALITIES:
        return quality.told(value)
    return fmt.speed(value) if name == "images_per_second" else fmt.count(value)


def _words(name: str) -> str:
    if name in QUALITIES:
        return _("Validation {title}", title=METRICS[QUALITIES[name]].title)
    words = {"macs": "MACs", "images_per_second": _("Images/s")}
    return words.get(name, _(name.capitalize()))
