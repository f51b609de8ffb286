"""What variants cost on each machine: a column for each that was measured, none of them pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.page import format as fmt
from ablate.page.document import Column, Row, Table, TableCell
from ablate.report.cost.speeds import Speed, SpeedColumn, ratio_to
from ablate.report.effects.contexts import InContext
from ablate.report.several.parts import listed
from ablate.report.summary import Summary
from ablate.stats.words import speed_words
from ablate.system.messages.language import _, amount

Measured = dict[str, dict[SpeedColumn, Speed]]


@dataclass(frozen=True)
class _Network:
    """Studies whose baselines are one network, so that what they measured is of the same networks."""

    baseline: str
    parts: tuple[InContext, ...]
    measured: Measured
    columns: tuple[SpeedColumn, ...]


def cost_tables(parts: Sequence[InContext]) -> tuple[Table, ...]:
    """A table for each network: images per second by machine, precision and batch size, and memory."""
    return tuple(_table(each) for each in _networks(parts) if each.columns)


def _networks(parts: Sequence[InContext]) -> list[_Network]:
    found: dict[str, list[InContext]] = {}
    for part in parts:
        found.setdefault(_fingerprint(part.summary), []).append(part)
    return [_network(each) for each in found.values()]


def _network(parts: Sequence[InContext]) -> _Network:
    """What was measured of these networks; each figure of the first study that has it."""
    measured: Measured = {}
    for variant in (variant for part in parts for variant in part.summary.variants):
        own = measured.setdefault(variant.name, {})
        own |= {column: speed for column, speed in variant.speeds.items() if column not in own}
    columns = dict.fromkeys(column for part in parts for column in part.summary.speed_columns)
    together = sorted(
        columns, key=lambda column: (column.place != next(iter(columns)).place, column.conditions)
    )
    return _Network(parts[0].summary.baseline, tuple(parts), measured, tuple(together))


def _fingerprint(summary: Summary) -> str:
    runs = summary.runs
    found = runs.loc[runs["variant"] == summary.baseline, "fingerprint"]
    return str(found.iloc[0]) if len(found) else str(summary.study.get("setting"))


def _table(network: _Network) -> Table:
    places = dict.fromkeys(column.place for column in network.columns)
    heads = [Column(_("Variant"), numeric=False)]
    for place in places:
        heads += [Column(c.title, c.conditions) for c in network.columns if c.place == place]
        heads.append(Column(_("Peak memory"), _("MiB, training, {device}", device=place.device)))
    rows = tuple(
        Row(
            (TableCell(name), *_cells(name, network, list(places))),
            marked=name == network.baseline,
        )
        for name, own in network.measured.items()
        if own
    )
    caption = _(
        "{studies}, under {conditions}: a column for each device, precision, batch size, protocol and "
        "torch, none of them pooled. Below each speed its ratio to the baseline {baseline}, measured under "
        "the same conditions.",
        studies=listed([part.name for part in network.parts]),
        conditions=amount(len(places), "condition"),
        baseline=network.baseline,
    )
    return Table(caption, tuple(heads), rows)


def _cells(name: str, network: _Network, places: Sequence[SpeedColumn]) -> list[TableCell]:
    cells = []
    own = network.measured[name]
    for place in places:
        mine = [column for column in network.columns if column.place == place]
        cells += [_speed(name, column, network) for column in mine]
        memory = next(
            (own[c].peak_memory_mib for c in mine if c in own and own[c].peak_memory_mib), None
        )
        cells.append(TableCell(fmt.count(memory)))
    return cells


def _speed(name: str, column: SpeedColumn, network: _Network) -> TableCell:
    speed = network.measured[name].get(column)
    if speed is None:
        return TableCell(fmt.MISSING)
    reference = network.measured.get(network.baseline, {}).get(column)
    ratio = None if name == network.baseline else ratio_to(speed, reference)
    note = "" if ratio is None else f"{fmt.ratio(ratio.ratio, ratio.low, ratio.high)}"
    said = speed_words(ratio) if ratio is not None else ""
    return TableCell(
        fmt.speed(speed.images_per_second), _(", ").join((note, said)) if said else note
    )
