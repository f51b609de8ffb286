"""What a run is judged by beside its accuracy (`ablate.study.metrics`), as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Score:
    """One value of one metric of one run; `class_name` is None where it is of the whole split."""

    split: Split
    metric: str
    value: float
    class_name: str | None = None
