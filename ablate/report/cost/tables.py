"""The tables of cost: one for each condition under which speed was measured, with its noise floor."""

from __future__ import annotations

from ablate.page import format as fmt
from ablate.page.document import Column, Row, Table, TableCell
from ablate.report.cost.speeds import Speed, SpeedColumn, apart, ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.stats.ratios import Ratio
from ablate.stats.words import speed_could_see, speed_words
from ablate.system.messages.language import N_, _, amount

MODES = {"train": N_("training"), "infer": N_("inference"), "eager": N_("eager training")}
EAGER = "eager"
"""The mode of what stands beside recorded steps."""
PROTOCOLS = {
    "quick": N_(
        "The quick protocol, which follows training: short blocks, training by plain steps (Adam, "
        "everything trained)"
    ),
    "full": N_(
        "The full protocol of ablate measure: blocks of 2 s or more, training by plain steps (Adam, "
        "everything trained)"
    ),
}

ONE_PROCESS = N_("Intervals over the rounds of one process say nothing about the next one.")
TOGETHER = N_(
    "Intervals are over processes, and all of a column hold together in 95 % of measurements."
)


def cost_tables(summary: Summary) -> tuple[Table, ...]:
    """Images per second, ratios, latency and memory; the conditions of the table of results first."""
    places = dict.fromkeys(column.place for column in summary.speed_columns)
    return tuple(
        _table(
            summary,
            place,
            "" if number == 0 else _("Measured as well: {conditions}", conditions=place.conditions),
        )
        for number, place in enumerate(places)
    )


def told_by_variant(summary: Summary) -> dict[str, dict[str, str]]:
    """What each variant costs, in the words and numbers of the other tables, by the heading of a column."""
    infer = next((c for c in summary.main_columns if c.mode == "infer"), None)
    return {
        variant.name: {
            "Parameters": fmt.count(variant.parameters),
            "MACs": fmt.macs(variant.macs),
            **_inference(variant, infer),
        }
        for variant in summary.variants
    }


def _inference(variant: VariantSummary, column: SpeedColumn | None) -> dict[str, str]:
    if column is None:
        return {}
    speed = variant.speeds.get(column)
    return {column.title: fmt.speed(speed.images_per_second if speed else None)}


def noise_floor(summary: Summary, place: SpeedColumn) -> str:
    """How far two measurements of the same network lie apart, in a sentence; empty if not known."""
    found = {
        _(MODES.get(column.mode, column.mode)): speed.ratio
        for column, speed in summary.reference.speeds.items()
        if column.place == place and speed.ratio is not None
    }
    if not found:
        return ""
    told = _(" and ").join(
        _("by {ratio} in {mode}", ratio=_change(ratio), mode=mode) for mode, ratio in found.items()
    )
    return _(
        "Two measurements of the same network ({baseline}) differ {told}: "
        "differences of that size are noise.",
        baseline=summary.baseline,
        told=told,
    )


def _table(summary: Summary, place: SpeedColumn, folded: str) -> Table:
    modes = [column for column in summary.speed_columns if column.place == place]
    measured = [v for v in summary.variants if any(column in v.speeds for column in modes)]
    columns = [Column(_("Variant"), numeric=False)]
    for column in modes:
        columns += [
            Column(column.title, _("mean, p10 to p90")),
            Column(
                _("{mode} ratio", mode=_(column.mode).capitalize()),
                _("to the baseline, 95 % interval"),
            ),
        ]
    columns += [
        Column(_("Latency"), _("ms, one image")),
        Column(_("Peak memory"), _("MiB, training")),
    ]
    if any(column.mode == EAGER for column in modes):
        columns.append(Column(_("Eager latency"), _("ms, one image, not recorded")))
    rows = tuple(_row(variant, summary.reference, modes) for variant in measured)
    return Table(_caption(summary, place, measured), tuple(columns), rows, folded)


def _caption(summary: Summary, place: SpeedColumn, measured: list[VariantSummary]) -> str:
    speeds = [s for v in measured for column, s in v.speeds.items() if column.place == place]
    protocol = _(PROTOCOLS.get(place.protocol, N_("A protocol that was not recorded")))
    without = [v.name for v in summary.variants if v not in measured and not v.same_as]
    told = [
        _("{told}.", told=place.conditions),
        _("{told}.", told=protocol + _rounds(speeds)),
        _(ONE_PROCESS) if _processes(speeds) == 1 and any(s.ratio for s in speeds) else "",
        _(TOGETHER) if _processes(speeds) > 1 else "",
        noise_floor(summary, place) or _("The noise floor was not measured."),
        _("Not measured so: {variants}.", variants=amount(len(without), "variant"))
        if without
        else "",
    ]
    return " ".join(text for text in told if text)


def _rounds(speeds: list[Speed]) -> str:
    """`, 7 of 9 rounds, 2 dropped because the machine drifted`; the worst of several measurements."""
    worst = max(speeds, key=lambda speed: speed.rounds_dropped or 0)
    if worst.rounds is None:
        return ""
    where = _(" in {processes}", processes=amount(_processes(speeds), "process", "processes"))
    if not worst.rounds_dropped:
        return _(", {rounds} rounds{where}, none dropped", rounds=worst.rounds, where=where)
    planned = worst.rounds + worst.rounds_dropped
    return _(
        ", {rounds} of {planned} rounds{where}, {rounds_dropped} dropped because the "
        "machine drifted",
        rounds=worst.rounds,
        planned=planned,
        where=where,
        rounds_dropped=worst.rounds_dropped,
    )


def _processes(speeds: list[Speed]) -> int:
    """In how many processes they were measured; the fewest of several measurements."""
    return min(((speed.ratio.processes or 1) for speed in speeds if speed.ratio), default=1)


def _row(variant: VariantSummary, base: VariantSummary, modes: list[SpeedColumn]) -> Row:
    cells = [TableCell(variant.name, _("baseline") if variant.is_baseline else "")]
    found = [variant.speeds.get(column) for column in modes]
    for column, speed in zip(modes, found, strict=True):
        cells += _speed_cells(variant, speed, base.speeds.get(column))
    latency_ms = next((s.latency_ms for s in found if s and s.latency_ms is not None), None)
    memory_mib = next((s.peak_memory_mib for s in found if s and s.peak_memory_mib), None)
    cells.append(TableCell(fmt.MISSING if latency_ms is None else f"{latency_ms:,.3f}"))
    cells.append(TableCell(fmt.count(memory_mib)))
    for column, speed in zip(modes, found, strict=True):
        if column.mode == EAGER:
            unrecorded_ms = speed.latency_ms if speed else None
            cells.append(
                TableCell(fmt.MISSING if unrecorded_ms is None else f"{unrecorded_ms:,.3f}")
            )
    return Row(tuple(cells), marked=variant.is_baseline)


def _speed_cells(
    variant: VariantSummary, speed: Speed | None, reference: Speed | None
) -> tuple[TableCell, TableCell]:
    if speed is None:
        return TableCell(fmt.MISSING), TableCell(fmt.MISSING)
    spread = "" if speed.p10 is None else fmt.from_to(fmt.speed(speed.p10), fmt.speed(speed.p90))
    own = TableCell(fmt.speed(speed.images_per_second), spread)
    ratio = None if variant.is_baseline else ratio_to(speed, reference)
    if ratio is None:
        return own, TableCell(fmt.MISSING)
    notes = [_ratio_note(ratio), apart(speed, reference, ratio)]
    return own, TableCell(f"{ratio.ratio:.3f}×", _("; ").join(note for note in notes if note))


def _ratio_note(ratio: Ratio) -> str:
    """`0.890 to 0.912, slower`: the interval, and what is read off it."""
    if ratio.low is None or ratio.high is None:
        return _("no interval")
    if ratio.verdict is None:
        return _("{low:.3f} to {high:.3f}, one process", low=ratio.low, high=ratio.high)
    said = speed_could_see(ratio) if ratio.verdict == "undecided" else speed_words(ratio)
    return _("{low:.3f} to {high:.3f}, {said}", low=ratio.low, high=ratio.high, said=said)


def _change(ratio: Ratio) -> str:
    told = fmt.change(ratio.ratio)
    if ratio.low is None or ratio.high is None:
        return _("{told} (too few processes for an interval)", told=told)
    return _(
        "{told} (95 % interval {low} to {high})",
        told=told,
        low=fmt.change(ratio.low),
        high=fmt.change(ratio.high),
    )
