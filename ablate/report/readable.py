"""How much of thousands of variants and seeds a person is shown: a part that can be read, and where the
whole stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ablate.page.document import Block, Section, Table
from ablate.stats.moderate import Floats
from ablate.system.messages.language import _

if TYPE_CHECKING:
    from ablate.report.summary import VariantSummary

MOST_DRAWN = 100
"""Variants in a figure with a row for each."""
MOST_LISTED = 300
"""Rows of a table on a page, and findings."""
MOST_SEEDS = 200
"""Seeds of one variant that are drawn or listed."""

Item = TypeVar("Item")


def ends(
    items: Sequence[Item],
    most: int,
    value: Callable[[Item], float | None],
    stays: Callable[[Item], bool],
) -> list[Item]:
    """In their order; of more than `most` those that stay, and as many with the highest values as with the
    lowest. One without a value is the first to go.
    """
    if len(items) <= most:
        return list(items)
    known = {i: found for i, item in enumerate(items) if (found := value(item)) is not None}
    ranked = sorted(known, key=lambda i: known[i])
    half = most // 2
    kept = {*ranked[:half], *ranked[max(half, len(ranked) - half) :]}
    return [item for i, item in enumerate(items) if i in kept or stays(item)]


def mean_of(variant: VariantSummary) -> float | None:
    """What a variant is ranked by."""
    return variant.accuracy.mean if variant.accuracy else None


def of_variants(shown: int, there: int, file: str) -> str:
    """What a reader is told where not all variants are shown; empty where they are."""
    if shown == there:
        return ""
    return _(
        " Of {there:,} variants, {shown} stand here: the highest, the lowest and the baseline. "
        "All are in {file}.",
        there=there,
        shown=shown,
        file=file,
    )


def few_seeds(values: Floats) -> Floats:
    """Sorted; of very many, some that are evenly apart in their order, from the lowest to the highest."""
    ordered: Floats = np.sort(values)
    if len(ordered) <= MOST_SEEDS:
        return ordered
    chosen: Floats = ordered[np.linspace(0, len(ordered) - 1, MOST_SEEDS).round().astype(int)]
    return chosen


def few_rows(section: Section) -> Section:
    """The same with tables that can be read; the files of tables have all rows."""
    tables = [block for block in section.blocks if isinstance(block, Table)]
    names = (
        [section.name]
        if len(tables) == 1
        else [f"{section.name}-{i + 1}" for i in range(len(tables))]
    )
    files = dict(zip(map(id, tables), names, strict=True))
    blocks = tuple(_few(block, files.get(id(block), "")) for block in section.blocks)
    return replace(section, blocks=blocks)


def _few(block: Block, name: str) -> Block:
    if not isinstance(block, Table) or len(block.rows) <= MOST_LISTED:
        return block
    rows = tuple(r for i, r in enumerate(block.rows) if i < MOST_LISTED or r.marked)
    told = _(
        " Of {there:,} rows, the first {shown} stand here; all are in tables/{name}.csv.",
        there=len(block.rows),
        shown=len(rows),
        name=name,
    )
    return replace(block, rows=rows, every=block.every or block.rows, caption=block.caption + told)
