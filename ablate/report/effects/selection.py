"""The best by validation images, told by test images: who is picked, and how lucky it is."""

from __future__ import annotations

import pandas as pd

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Finding, Findings, Row, Table, TableCell
from ablate.report.summary import Summary, VariantSummary
from ablate.result import RunStatus
from ablate.stats import Verdict, words
from ablate.stats.fresh import Seeds
from ablate.stats.selection import picked_claim, picked_evidence, select
from ablate.system.messages.language import _

MOST_SHOWN = 10


def selection_blocks(summary: Summary) -> tuple[Block, ...]:
    """The pick in words, and the variants by what they are worth on validation images."""
    validation = _validation(summary)
    found = select(validation, paired=summary.paired)
    if found is None or found.of < 2 or summary.leaked:
        return ()
    picked = next(v for v in summary.variants if v.name == found.picked)
    metric = summary.judged_by.title
    claim = picked_claim(found, picked.effect, summary.baseline, metric)
    tone = picked.effect.verdict if picked.effect else Verdict.UNDECIDED
    told = Finding(claim, picked_evidence(found, picked.effect, metric), tone)
    return Findings((told,)), _table(summary, validation)


def _validation(summary: Summary) -> dict[str, dict[int, float]]:
    """Scores on validation images by variant and seed, of the grid's finished runs: a search tells its own
    pick.
    """
    done = summary.runs[summary.runs["status"] == RunStatus.FINISHED]
    scored = done.assign(score=done["run_key"].map(summary.validation))
    rows = scored[scored["score"].notna()].sort_values("seed")
    known = [v for v in summary.variants if not v.same_as and v.seeds is Seeds.GRID]
    each = {str(name): _by_seed(own) for name, own in rows.groupby("variant", sort=False)}
    found = {
        v.name: {s: a for s, a in each.get(v.name, {}).items() if s in v.accuracies} for v in known
    }
    return {name: scores for name, scores in found.items() if scores}


def _by_seed(rows: pd.DataFrame) -> dict[int, float]:
    return {int(s): float(a) for s, a in zip(rows["seed"], rows["score"], strict=True)}


def _table(summary: Summary, validation: dict[str, dict[int, float]]) -> Table:
    means = {name: sum(scores.values()) / len(scores) for name, scores in validation.items()}
    variants = {variant.name: variant for variant in summary.variants}
    ranked = sorted(means, key=lambda name: -means[name])
    rows = tuple(_row(variants[name], means[name]) for name in ranked[:MOST_SHOWN])
    columns = (
        Column(_("Variant"), numeric=False),
        Column(_("Validation"), _("mean over seeds")),
        Column(_("Test"), _("%, mean ± 95 %")),
        Column(_("Difference"), _("test, points, 95 % interval")),
        Column(_("Verdict"), numeric=False),
    )
    left = (
        _(" {n} more are left out.", n=len(ranked) - MOST_SHOWN) if len(ranked) > MOST_SHOWN else ""
    )
    caption = _(
        "Variants by mean validation {title}. Who picks here and reads the test "
        "columns has not picked by test images.{left}",
        title=summary.judged_by.title,
        left=left,
    )
    return Table(caption, columns, rows)


def _row(variant: VariantSummary, validation: float) -> Row:
    effect = variant.effect
    cells = [
        TableCell(variant.name, _("baseline") if variant.is_baseline else ""),
        TableCell(fmt.percent(validation)),
        TableCell(fmt.accuracy(variant.accuracy)),
    ]
    if effect is None:
        cells += [TableCell(fmt.MISSING), TableCell(_("baseline"))]
    else:
        span = words.span(effect.low, effect.high)
        cells += [TableCell(words.points(effect.difference), span)]
        cells += [TableCell(_(effect.verdict), "", effect.verdict)]
    return Row(tuple(cells), marked=variant.is_baseline)
