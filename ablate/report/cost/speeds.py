"""Speed by variant and by the condition under which it was measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from ablate.page import format as fmt
from ablate.page.format import count
from ablate.stats.ratios import Ratio, in_family
from ablate.system.messages.language import N_, _

COST_COLUMNS = (
    *("variant", "fingerprint", "device", "precision", "mode", "batch_size", "protocol", "torch"),
    *("images_per_second", "p10", "p90", "latency_ms", "peak_memory_mib"),
    *("rounds", "rounds_dropped", "baseline", "baseline_ratio", "ratio_low", "ratio_high"),
    "processes",
)


RATIO_STEP = 0.0005
"""Half of the last digit of a ratio in the tables."""
WORDS = (N_("train"), N_("infer"), N_("eager"), N_("quick"), N_("full"))
"""Modes and protocols, as the database calls them."""


@dataclass(frozen=True, slots=True)
class SpeedColumn:
    """One condition of measuring speed. Two conditions are two columns: nothing is pooled."""

    device: str
    mode: str
    precision: str
    batch_size: str
    protocol: str
    torch: str

    @property
    def title(self) -> str:
        """`Train images/s`."""
        return _("{mode} images/s", mode=_(self.mode).capitalize())

    @property
    def conditions(self) -> str:
        """`NVIDIA H200 · amp-bf16 · batch 64 · quick · torch 2.15.0`."""
        protocol = _(self.protocol) if self.protocol else _("protocol not recorded")
        version = f" · torch {self.torch}" if self.torch else ""
        batch = _("batch {size}", size=self.batch_size)
        return f"{self.device} · {self.precision} · {batch} · {protocol}{version}"

    @property
    def place(self) -> SpeedColumn:
        """The condition without its mode: what one table may compare."""
        return replace(self, mode="")


@dataclass(frozen=True, slots=True)
class Speed:
    """Images per second of one variant, the geometric mean over processes, with percentiles over rounds.

    `ratio` was formed round by round, and its interval holds together with those of all variants that
    were measured so; the baseline's own is its second measurement to its first, by itself.
    """

    images_per_second: float
    p10: float | None
    p90: float | None
    latency_ms: float | None = None
    peak_memory_mib: float | None = None
    rounds: int | None = None
    rounds_dropped: int | None = None
    ratio: Ratio | None = None


Speeds = Mapping[str, Mapping[SpeedColumn, Speed]]
"""By variant, then by condition."""


def read_speeds(costs: pd.DataFrame, baseline: str) -> dict[str, dict[SpeedColumn, Speed]]:
    """Speeds by variant and condition; of a repeated measurement the last one."""
    against = set(costs.loc[costs["variant"] == baseline, "fingerprint"].dropna())
    speeds: dict[str, dict[SpeedColumn, Speed]] = {}
    for row in costs[costs["images_per_second"].notna()].to_dict("records"):
        column = SpeedColumn(
            device=_text(row["device"]),
            mode=_text(row["mode"]),
            precision=_text(row["precision"]),
            batch_size=count(row["batch_size"]) if pd.notna(row["batch_size"]) else "?",
            protocol=_text(row["protocol"]),
            torch=_text(row["torch"]),
        )
        ratio = _number(row["baseline_ratio"]) if row["baseline"] in against else None
        rounds, dropped = _number(row["rounds"]), _number(row["rounds_dropped"])
        speed = Speed(
            images_per_second=float(row["images_per_second"]),
            p10=_number(row["p10"]),
            p90=_number(row["p90"]),
            latency_ms=_number(row["latency_ms"]),
            peak_memory_mib=_number(row["peak_memory_mib"]),
            rounds=None if rounds is None else int(rounds),
            rounds_dropped=None if dropped is None else int(dropped),
            ratio=None if ratio is None else _ratio(ratio, row),
        )
        speeds.setdefault(str(row["variant"]), {})[column] = speed
    return _with_families(speeds, baseline)


def _ratio(ratio: float, row: Mapping[Hashable, object]) -> Ratio:
    low, high, processes = (_number(row[k]) for k in ("ratio_low", "ratio_high", "processes"))
    return Ratio(ratio, low, high, None if processes is None else int(processes))


def _with_families(
    speeds: Mapping[str, Mapping[SpeedColumn, Speed]], baseline: str
) -> dict[str, dict[SpeedColumn, Speed]]:
    """Each ratio as one of all variants' that have one under that condition, the baseline's by itself."""
    counts = Counter(
        column
        for name, measured in speeds.items()
        for column, speed in measured.items()
        if speed.ratio and name != baseline
    )

    def seen(name: str, column: SpeedColumn, speed: Speed) -> Speed:
        if speed.ratio is None:
            return speed
        family = 1 if name == baseline else counts[column]
        return replace(speed, ratio=in_family(speed.ratio, family))

    return {
        name: {column: seen(name, column, speed) for column, speed in measured.items()}
        for name, measured in speeds.items()
    }


def speed_columns(speeds: Speeds) -> tuple[SpeedColumn, ...]:
    """Every condition that was measured: the full protocol first, then where most variants were."""
    columns = [column for measured in speeds.values() for column in measured]
    number = {column.place: 0 for column in columns}
    for column in columns:
        number[column.place] += 1

    def order(column: SpeedColumn) -> tuple[object, ...]:
        first = (column.protocol != "full", -number[column.place])
        return (
            *first,
            column.conditions,
            column.mode == "eager",
            column.mode != "train",
            column.mode,
        )

    return tuple(sorted(set(columns), key=order))


def ratio_to(own: Speed | None, reference: Speed | None) -> Ratio | None:
    """How many times as fast as the baseline, both measured under one condition.

    Formed round by round where they were measured together, else from the two speeds.
    """
    if own is None or own.ratio is not None:
        return own.ratio if own else None
    return Ratio(own.images_per_second / reference.images_per_second) if reference else None


def ratio_between(own: Speed | None, other: Speed | None) -> Ratio | None:
    """How many times as fast as another variant that is not the baseline: no interval was stored.

    By way of the baseline where both were measured beside it, else from the two speeds.
    """
    if own is None or other is None:
        return None
    if own.ratio is not None and other.ratio is not None:
        return Ratio(own.ratio.ratio / other.ratio.ratio)
    return Ratio(own.images_per_second / other.images_per_second)


def inverse(ratio: Ratio) -> Ratio:
    """How many times as fast the baseline is, from how many times as fast as the baseline."""
    low = None if ratio.high is None else 1 / ratio.high
    high = None if ratio.low is None else 1 / ratio.low
    return replace(ratio, ratio=1 / ratio.ratio, low=low, high=high)


def apart(own: Speed | None, other: Speed | None, ratio: Ratio | None) -> str:
    """Why a ratio is not that of the two speeds as they are printed; empty where it is.

    They differ where both were not measured in the same turns, or by a version that stored medians.
    """
    if own is None or other is None or ratio is None:
        return ""
    (low, high), (under, over) = _rounded(own.images_per_second), _rounded(other.images_per_second)
    if low / over - RATIO_STEP <= ratio.ratio <= high / under + RATIO_STEP:
        return ""
    quotient = own.images_per_second / other.images_per_second
    return _(
        "in turns with the baseline; the speeds by themselves give {quotient}",
        quotient=fmt.ratio(quotient),
    )


def _rounded(speed: float) -> tuple[float, float]:
    """Between what a speed lies that is printed so."""
    printed = float(fmt.speed(speed).replace(",", ""))
    digits = 0 if speed >= 100 else 2 - math.floor(math.log10(speed))
    half = 0.5 * 10.0**-digits
    return printed - half, printed + half


def _text(value: object) -> str:
    return "" if pd.isna(value) else fmt.value(value)  # type: ignore[call-overload]


def _number(value: object) -> float | None:
    return None if pd.isna(value) else float(value)  # type: ignore[call-overload,arg-type]
