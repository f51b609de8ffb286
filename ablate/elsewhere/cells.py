"""The cells of a file as numbers; nothing is guessed, and whatever is wrong has its row and column."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ablate.errors import DataError
from ablate.result.elsewhere import LARGEST_SEED
from ablate.system.messages.text import printable

EMPTY = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "–"})
"""What programs write where there is no number."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"0*(?P<digits>\d{1,19})(\.0*)?")
"""No more digits than the largest one has: Python reads none of more than 4,300."""
LONGEST = 60
Cells = Sequence[tuple[int, str]]
"""The rows of a column and what stands there."""


@dataclass(frozen=True)
class Column:
    """A column of a file; with `decimal_comma` 0,93 is a number there."""

    file: str
    name: str
    decimal_comma: bool = False

    def error(self, row: int, what: str) -> DataError:
        """A line with file, row and column."""
        return DataError(f"{self.file}: row {row}, column {self.name}: {what}")

    def number(self, row: int, cell: str) -> float | None:
        """A number that is finite; None where there is none.

        Raises:
            DataError: it is something else.
        """
        found = self._decimal(row, cell)
        return None if found is None else float(found)

    def whole(self, row: int, cell: str, least: int = 0, most: int = 2**62) -> int | None:
        """A whole number; `16.0`, as some programs write it, is one.

        Raises:
            DataError: it is something else, or out of these bounds.
        """
        if cell.lower() in EMPTY:
            return None
        digits = _WHOLE.fullmatch(cell)
        if digits is None or not least <= int(digits["digits"]) <= most:
            upper = f" to {most:,}" if most < 2**62 else " on"
            raise self.error(
                row, f"{shown(cell)} is no whole number from {least}{upper}: write its digits alone"
            )
        return int(digits["digits"])

    def shares(self, cells: Cells, *, percent: bool) -> list[float | None]:
        """A column of fractions from 0 to 1. Percent are those that have their sign, or all with `percent`.

        Raises:
            DataError: a number outside, or percent in one row and not in another.
        """
        signed = {row: cell for row, cell in cells if cell.endswith("%")}
        plain = [row for row, cell in cells if row not in signed and cell.lower() not in EMPTY]
        if signed and plain and not percent:
            raise self.error(
                plain[0],
                f"is without % and row {next(iter(signed))} with it: write all of a column in one way",
            )
        found = [self._share(row, cell, percent or row in signed) for row, cell in cells]
        known = [value for value in found if value is not None]
        if percent and not signed and known and 0 < max(known) <= 0.01:
            raise DataError(
                f"{self.file}: column {self.name}: with --percent no value is above 1 %: are they fractions? "
                "Leave --percent out, or write the sign % behind them"
            )
        return found

    def _share(self, row: int, cell: str, percent: bool) -> float | None:
        found = self._decimal(row, cell.removesuffix("%").rstrip() if percent else cell)
        if found is None:
            return None
        value = float(found / 100 if percent else found)
        if 0 <= value <= 1:
            return value
        if percent or value < 0:
            raise self.error(row, f"{shown(cell)} is not from 0 to 100 %: write what it is")
        raise self.error(
            row,
            f"{shown(cell)} is above 1, and accuracies are fractions from 0 to 1: write {shown(cell)}% if "
            "it is percent, or say --percent if all are",
        )

    def _decimal(self, row: int, cell: str) -> Decimal | None:
        if cell.lower() in EMPTY:
            return None
        text = cell
        if self.decimal_comma and text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise self.error(
                row, f"{shown(cell)} is no number: write it as 0.9312, or leave it empty"
            )
        return Decimal(text)

    def seed(self, row: int, cell: str) -> int:
        """A seed.

        Raises:
            DataError: it is no whole number from 0 on.
        """
        found = self.whole(row, cell, 0, LARGEST_SEED)
        if found is None:
            raise self.error(row, "is empty: each row has the seed of its run, a whole number")
        return found

    def text(self, row: int, cell: str, most: int = 200) -> str:
        """A name.

        Raises:
            DataError: there is none, it is too long, or has what no line can show.
        """
        if not cell:
            raise self.error(row, "is empty: write a name")
        if len(cell) > most or printable(cell) != cell:
            raise self.error(
                row, f"{shown(cell)} is no name: at most {most} letters that can be printed"
            )
        return cell


def shown(cell: str) -> str:
    """A cell as an error may show it."""
    text = printable(cell)
    return repr(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…").strip("'\"")
