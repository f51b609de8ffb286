"""GridTable: a `[[grid]]` table of a study file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from ablate.study.variant import Variant


class GridTable(BaseModel):
    """One `[[grid]]` table: the product of its lists. Keys beyond these two are attention options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    attention: str | tuple[str, ...]
    position: str | tuple[str, ...] | None = None

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every key with the values that it takes."""
        given = {"attention": self.attention, "position": self.position, **(self.model_extra or {})}
        return {key: tuple(v) if isinstance(v, (list, tuple)) else (v,) for key, v in given.items()}

    def variants(self, backbone: str) -> Iterator[Variant]:
        """The variants of this table, in the order in which its lists are written."""
        axes = self.axes()
        for values in itertools.product(*axes.values()):
            cell = dict(zip(axes, values, strict=True))
            attention, position = cell.pop("attention"), cell.pop("position")
            yield Variant(backbone, attention, position, tuple(cell.items()))
