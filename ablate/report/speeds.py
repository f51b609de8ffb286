"""Speed by variant and by the condition under which it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ablate.report.format import count, setting

COST_COLUMNS = (
    *("variant", "device", "precision", "mode", "batch_size", "protocol"),
    *("images_per_second", "p10", "p90"),
)


@dataclass(frozen=True, slots=True)
class SpeedColumn:
    """One condition of measuring speed. Two conditions are two columns: nothing is pooled."""

    device: str
    mode: str
    precision: str
    batch_size: str
    protocol: str

    @property
    def title(self) -> str:
        """`Train images/s`."""
        return f"{self.mode.capitalize()} images/s"

    @property
    def conditions(self) -> str:
        """`NVIDIA H200 · amp · batch 64 · quick`."""
        protocol = self.protocol or "protocol not recorded"
        return f"{self.device} · {self.precision} · batch {self.batch_size} · {protocol}"


@dataclass(frozen=True, slots=True)
class Speed:
    """Images per second of one variant, with the 10th and 90th percentile over rounds."""

    images_per_second: float
    p10: float | None
    p90: float | None


def read_speeds(costs: pd.DataFrame) -> dict[str, dict[SpeedColumn, Speed]]:
    """Speeds by variant and condition; of a repeated measurement the last one."""
    speeds: dict[str, dict[SpeedColumn, Speed]] = {}
    for row in costs[costs["images_per_second"].notna()].to_dict("records"):
        column = SpeedColumn(
            device=_text(row["device"]),
            mode=_text(row["mode"]),
            precision=_text(row["precision"]),
            batch_size=count(row["batch_size"]) if pd.notna(row["batch_size"]) else "?",
            protocol=_text(row["protocol"]),
        )
        p10, p90 = (float(row[key]) if pd.notna(row[key]) else None for key in ("p10", "p90"))
        speed = Speed(float(row["images_per_second"]), p10, p90)
        speeds.setdefault(str(row["variant"]), {})[column] = speed
    return speeds


def speed_columns(speeds: Mapping[str, Mapping[SpeedColumn, Speed]]) -> tuple[SpeedColumn, ...]:
    """Every condition that was measured, by device."""
    columns = {column for measured in speeds.values() for column in measured}
    return tuple(
        sorted(columns, key=lambda c: (c.device, c.protocol, c.mode != "train", c.batch_size))
    )


def _text(value: object) -> str:
    return "" if pd.isna(value) else setting(value)  # type: ignore[call-overload]
