"""The words of a study: what stands in a study file, and the keys that follow from it. No torch."""

from __future__ import annotations

from ablate.study.data import ALL_DATA, DataTable
from ablate.study.grid import GridTable
from ablate.study.keys import PROTOCOL, run_key, stream_seed
from ablate.study.recipe import Recipe, Split
from ablate.study.study import Study
from ablate.study.variant import NO_ATTENTION, Option, Variant

__all__ = [
    "ALL_DATA",
    "NO_ATTENTION",
    "PROTOCOL",
    "DataTable",
    "GridTable",
    "Option",
    "Recipe",
    "Split",
    "Study",
    "Variant",
    "run_key",
    "stream_seed",
]
