"""The table of results by variant, and how complete the study is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ablate.page import format as fmt
from ablate.page.document import Bar, BarPart, Column, Row, Table, TableCell
from ablate.report.cost.speeds import SpeedColumn, apart, ratio_to
from ablate.report.readable import MOST_LISTED, MOST_SEEDS, ends, mean_of, of_variants
from ablate.report.summary import Summary, VariantSummary
from ablate.result import RunStatus
from ablate.stats import Rule, words
from ablate.stats.fresh import Seeds
from ablate.stats.words import could_see
from ablate.system.messages.language import N_, _, amount

IN_GRID = N_(
    "Every variant in the order of the grid; differences are to the baseline "
    "{baseline}. The ± is Student t over seeds.{told}{speed}"
)
IN_FILE = N_(
    "Every variant in the order of its first run in the file; differences are to the baseline "
    "{baseline}. The ± is Student t over seeds.{told}{speed}"
)
NOT_CLAIMED = N_("not claimed (test-leaked)")
NOT_JUDGED = N_("not judged")
FACTORS = {"attention": N_("Kind"), "position": N_("Place"), "reduction": "r", "kernel_size": "k"}
"""What variants can be filtered by, and what that is called."""
KINDS = {Seeds.GRID: "", Seeds.FRESH: N_("fresh seeds"), Seeds.SEARCH: N_("seeds of the search")}
BESIDES = {
    Seeds.GRID: N_("{n} fresh ones besides"),
    Seeds.FRESH: N_("{n} of grid or search besides"),
    Seeds.SEARCH: N_("{n} fresh ones besides"),
}
"""Runs that a verdict does not stand on, by the kind of seeds that it stands on."""
STATES = {
    "finished": N_("{n} finished"),
    "failed": N_("{n} failed"),
    "running": N_("{n} running"),
    "stopped": N_("{n} stopped"),
    "missing": N_("{n} missing"),
}


def results_table(summary: Summary) -> Table:
    """One row for each variant in grid order: accuracy, effect, size and speed."""
    columns = (
        Column(_("Variant"), numeric=False),
        Column("n", _("finished runs")),
        Column(summary.judged_by.heading, _("test, %, mean ± 95 %")),
        Column(_("Difference"), _("points, 95 % interval")),
        Column(_("Adjusted p"), _("for all variants")),
        Column(_("Verdict"), numeric=False),
        Column(_("Parameters")),
        Column(_("Attention"), _("of parameters")),
        Column(_("MACs"), _("per image")),
        *(Column(column.title, _("× the baseline's")) for column in summary.main_columns),
    )
    told = (
        _(
            " Test-leaked: the schedule saw the test set, so differences have no "
            "interval and no verdict."
        )
        if summary.leaked
        else _(" The intervals of the differences hold together, and the verdict is read off them.")
    )
    speed = ""
    if summary.main_columns:
        speed = _(" Speed: {conditions}.", conditions=summary.main_columns[0].conditions)
    if len(summary.main_columns) < len(summary.speed_columns):
        speed += _(" Speed was measured under other conditions as well: see the tables of cost.")
    caption = _(
        IN_FILE if summary.elsewhere else IN_GRID,
        baseline=summary.baseline,
        told=told,
        speed=speed,
    )
    keys, levels = run_keys(summary), tags_of(summary)
    every = tuple(
        replace(
            _result_row(v, summary, keys),
            tags=(*levels.get(v.name, ("",) * len(FACTORS)), _verdict(v, summary)),
        )
        for v in summary.variants
    )
    pairs = list(zip(summary.variants, every, strict=True))
    shown = ends(
        pairs, MOST_LISTED, lambda pair: mean_of(pair[0]), lambda pair: pair[0].is_baseline
    )
    caption += of_variants(len(shown), len(every), "tables/results.csv")
    rows, filters = tuple(row for _v, row in shown), (*map(_, FACTORS.values()), _("Verdict"))
    whole = Table(caption, columns, rows, filters=filters, every=every)
    return _without_unknown(whole) if summary.elsewhere else whole


def _without_unknown(table: Table) -> Table:
    """The table without columns in which nothing is known of any variant."""
    every = table.every or table.rows
    shown = [
        i
        for i, _column in enumerate(table.columns)
        if any(row.cells[i].text != fmt.MISSING for row in every)
    ]

    def narrowed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(replace(row, cells=tuple(row.cells[i] for i in shown)) for row in rows)

    columns = tuple(table.columns[i] for i in shown)
    return replace(table, columns=columns, rows=narrowed(table.rows), every=narrowed(table.every))


def run_keys(summary: Summary) -> dict[tuple[str, int], str]:
    """The key of each finished run by variant and seed."""
    done = summary.runs[summary.runs["status"] == RunStatus.FINISHED]
    columns = (done["variant"], done["seed"], done["run_key"])
    return {(str(v), int(s)): str(key) for v, s, key in zip(*columns, strict=True)}


def tags_of(summary: Summary) -> dict[str, tuple[str, ...]]:
    """The level of each factor that a reader filters by, as text; empty where a variant has none."""
    rows = summary.runs.drop_duplicates("variant")
    return {
        str(row["variant"]): tuple(_level(row[factor]) for factor in FACTORS)
        for row in rows.to_dict("records")
    }


def _level(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _verdict(variant: VariantSummary, summary: Summary) -> str:
    if variant.effect is None:
        return ""
    return _(NOT_CLAIMED) if summary.leaked else _(variant.effect.verdict)


def _seeds(variant: VariantSummary, keys: Mapping[tuple[str, int], str]) -> tuple[str, ...]:
    """Every seed with its score and the run that it is of, for whoever asks."""
    told = [
        _(
            "seed {seed}: {score}, run {key}",
            seed=seed,
            score=fmt.percent(score),
            key=keys.get((variant.name, seed), fmt.MISSING),
        )
        for seed, score in sorted(variant.accuracies.items())[:MOST_SEEDS]
    ]
    left = variant.n - len(told)
    more = [_("{left:,} more are in runs.csv", left=left)] if left else []
    return (amount(variant.n, "seed"), *told, *more) if told else ()


def _result_row(
    variant: VariantSummary, summary: Summary, keys: Mapping[tuple[str, int], str]
) -> Row:
    if variant.same_as:
        note = _("same network as {same_as}", same_as=variant.same_as)
        blanks = [TableCell(fmt.MISSING)] * (8 + len(summary.main_columns))
        return Row((TableCell(variant.name, note), *blanks))
    cells = (
        TableCell(variant.name, _("baseline") if variant.is_baseline else ""),
        TableCell(fmt.count(variant.n), run_note(variant)),
        TableCell(fmt.accuracy(variant.accuracy), more=_seeds(variant, keys)),
        *_effect_cells(variant, summary),
        TableCell(fmt.count(variant.parameters)),
        TableCell(fmt.percent(variant.attention_share)),
        TableCell(fmt.macs(variant.macs)),
        *(_speed_cell(variant, summary.reference, column) for column in summary.main_columns),
    )
    return Row(cells, marked=variant.is_baseline)


def run_note(variant: VariantSummary) -> str:
    """What `n` hides: of which kind its seeds are, those of other kinds, failed, missing and additional runs,
    and those whose attention did not learn.
    """
    missing = variant.planned - variant.n - variant.failed
    notes = [
        _(KINDS[variant.seeds]) if KINDS[variant.seeds] else "",
        _(BESIDES[variant.seeds], n=variant.besides) if variant.besides else "",
        _("attention unmoved in {unmoved}", unmoved=variant.unmoved) if variant.unmoved else "",
        _("{n} failed", n=variant.failed) if variant.failed else "",
        _("{n} missing", n=missing) if missing > 0 else "",
        _("{n} more than planned", n=-missing) if missing < 0 else "",
    ]
    return _(", ").join(note for note in notes if note)


def _effect_cells(
    variant: VariantSummary, summary: Summary
) -> tuple[TableCell, TableCell, TableCell]:
    """Difference, adjusted p and verdict; a test-leaked study shows the bare difference only."""
    effect = variant.effect
    if effect is None:
        return (TableCell(fmt.MISSING),) * 2 + (TableCell(_("baseline")),)
    if summary.leaked:
        bare = TableCell(words.points(effect.difference))
        return bare, TableCell(fmt.MISSING), TableCell(_(NOT_CLAIMED), tone="warning")
    note = "" if effect.decided else could_see(effect)
    if effect.rule is Rule.SEARCHED:
        bare = TableCell(words.points(effect.difference))
        return bare, TableCell(fmt.MISSING), TableCell(_(NOT_JUDGED), note)
    return (
        TableCell(words.points(effect.difference), words.span(effect.low, effect.high)),
        TableCell(fmt.p_value(effect.p_adjusted)),
        TableCell(_(effect.verdict), note, effect.verdict),
    )


def _speed_cell(variant: VariantSummary, base: VariantSummary, column: SpeedColumn) -> TableCell:
    own = variant.speeds.get(column)
    if own is None:
        return TableCell(fmt.MISSING)
    reference = base.speeds.get(column)
    ratio = None if variant.is_baseline else ratio_to(own, reference)
    if ratio is None:
        return TableCell(fmt.speed(own.images_per_second))
    notes = [fmt.ratio(ratio.ratio, ratio.low, ratio.high), apart(own, reference, ratio)]
    return TableCell(fmt.speed(own.images_per_second), _("; ").join(note for note in notes if note))


def _planned(variant: VariantSummary, summary: Summary) -> int:
    """The runs of a variant: those that its study declares, and those with seeds beyond, as a search has."""
    seeds = summary.runs.loc[summary.runs["variant"] == variant.name, "seed"]
    if summary.elsewhere:
        return variant.planned
    declared = variant.name in summary.study["variants"] and not summary.any_time
    beyond = int((seeds > variant.planned).sum()) if declared else variant.besides
    return max(variant.planned + beyond, variant.n + variant.failed + variant.besides)


def completeness(summary: Summary) -> Bar:
    """How many of the planned runs are finished, failed, under way, stopped or missing."""
    planned = sum(_planned(v, summary) for v in summary.variants)
    status = summary.runs["status"].value_counts()
    counts = {
        "finished": sum(v.n + v.besides for v in summary.variants),
        "failed": sum(v.failed for v in summary.variants),
        "running": int(status.get(RunStatus.RUNNING, 0)),
        "stopped": int(status.get(RunStatus.STOPPED, 0)),
    }
    counts["missing"] = max(0, planned - sum(counts.values()))
    told = [
        _(STATES[name], n=fmt.count(number))
        for name, number in counts.items()
        if number
        or name not in ("running", "stopped", *(("missing",) if summary.elsewhere else ()))
    ]
    parts, before = [], 0
    for name, number in counts.items():
        if number and planned:
            start, share = round(100 * before / planned, 2), round(100 * number / planned, 2)
            parts.append(BarPart(name, number, start, share))
        before += number
    runs = (
        amount(planned, "run")
        if summary.folds == 1
        else _("{seeds} of {folds} folds", seeds=amount(planned, "seed"), folds=summary.folds)
    )
    told_of = N_("{runs} imported: {told}.") if summary.elsewhere else N_("{runs} planned: {told}.")
    said = _(told_of, runs=runs, told=_(", ").join(told))
    return Bar(said, tuple(parts))
