"""The tables of a search: who was confirmed, what counted, who is best."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.page import format as fmt
from ablate.page.document import Column, Row, Table, TableCell
from ablate.report.search.figures import (
    _with_values,
)
from ablate.report.search.quality import Quality, objective_words, quality_of
from ablate.result.search import ConfirmedResult, SearchResult
from ablate.stats import Effect, words
from ablate.stats.selection import told_fresh
from ablate.study.metrics import ACCURACY, METRICS
from ablate.study.search import quality_metric
from ablate.system.messages.language import _, amount

CostsByName = Mapping[str, Mapping[str, str]]
"""By variant: the text of each cost by the heading of its column."""


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
    objectives = [objective_words(name) for name in search.objectives]
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


def _value(quality: Quality, name: str, value: float) -> str:
    if quality_metric(name):
        return quality.told(value)
    return fmt.speed(value) if name == "images_per_second" else fmt.count(value)
