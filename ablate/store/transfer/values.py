"""What a column holds, and how a value of it is written so that it comes back as it was."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import JSON, Float, Integer, LargeBinary, Table
from sqlalchemy.types import TypeEngine

from ablate.store import schema
from ablate.store.transfer.copies import portable_columns

Kind = Literal["integer", "number", "text", "json", "bytes"]
Row = dict[str, Any]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""Text that starts so gets a `'` before it: a spreadsheet must not calculate it. The last one is there
so that no `'` is taken away that was written by somebody."""

IDENTIFIERS = ("run_key", "fingerprint", "environment_id", "setting")
"""Files are named after some of them, so they may be nothing but what ablate makes."""
EXACT = 2**53
"""Up to here every whole number is a floating-point one too."""
_IDENTIFIER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Sheet:
    """A table or a view as it is written: its name, and what its columns hold, in their order."""

    name: str
    columns: Mapping[str, Kind]


def sheet_of_table(table: Table) -> Sheet:
    """A table without the numbers that a database counts itself, its columns in the schema's order, in
    which every revision has written them.
    """
    known = schema.metadata.tables.get(table.name)
    order = {name: i for i, name in enumerate(known.columns.keys())} if known is not None else {}
    columns = sorted(portable_columns(table), key=lambda c: order.get(c.name, len(order)))
    return Sheet(table.name, {c.name: _kind(c.type) for c in columns})


def sheet_of_view(name: str, columns: list[str]) -> Sheet:
    """A view: its columns hold what those of the same name hold in the tables."""
    kinds = {c.name: _kind(c.type) for t in schema.metadata.sorted_tables for c in t.columns}
    kinds |= {"epochs": "integer", "torch": "text", "class": "text", "validation_images": "integer"}
    # Their number: the table of test images has their names.
    kinds |= {"classes": "integer"}
    return Sheet(name, {column: kinds[column] for column in columns})


def _kind(type_: TypeEngine[Any]) -> Kind:
    table: tuple[tuple[type[TypeEngine[Any]], Kind], ...] = (
        (JSON, "json"),
        (LargeBinary, "bytes"),
        (Integer, "integer"),
        (Float, "number"),
    )
    return next((kind for base, kind in table if isinstance(type_, base)), "text")


# ── as text in a table ────────────────────────────────────────────────────────────────────────────


def to_cell(kind: Kind, value: Any) -> str | int | float:
    """A value as a CSV cell: NULL is empty, text is never a formula, numbers are as they are; whole ones are
    written so (16, not 16.0).
    """
    if value is None:
        return ""
    if kind in ("integer", "number"):
        return _whole(value)
    text = base64.b64encode(value).decode() if kind == "bytes" else str(value)
    return "'" + text if not text or text.startswith(FORMULA_STARTS) else text


def from_cell(kind: Kind, cell: str) -> Any:
    """What `to_cell` wrote; JSON is parsed.

    Raises:
        ValueError: no such value.
    """
    if cell == "":
        return None
    if kind == "integer":
        return int(cell)
    if kind == "number":
        return float(cell)
    text = cell.removeprefix("'")
    if kind == "bytes":
        return base64.b64decode(text, validate=True)
    return json.loads(text) if kind == "json" else text


def _whole(value: int | float) -> int | float:
    """A number without a fraction as such; not where that would change it."""
    if not isinstance(value, float) or not value.is_integer() or abs(value) > EXACT:
        return value
    return value if value == 0 and math.copysign(1, value) < 0 else int(value)


# ── as a value in JSON ────────────────────────────────────────────────────────────────────────────


def to_json(kind: Kind, value: Any) -> Any:
    """A value for JSON: binary as base64, JSON as itself, infinity as text."""
    if value is None:
        return None
    if kind == "json":
        return json.loads(value)
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "number" and isinstance(value, float):
        return _whole(value) if math.isfinite(value) else str(value)
    return value


def from_json(kind: Kind, value: Any) -> Any:
    """What `to_json` made.

    Raises:
        ValueError: a value of another kind.
    """
    if value is None or kind == "json":
        return value
    if kind == "number" and (type(value) in (int, float) or value in ("inf", "-inf")):
        return float(value)
    if type(value) is not {"integer": int, "text": str, "bytes": str}.get(kind):
        raise ValueError(f"{value!r} is no {kind}")
    return base64.b64decode(str(value), validate=True) if kind == "bytes" else value


def check_identifiers(row: Mapping[str, Any]) -> None:
    """Refuse keys that ablate would not have made.

    Raises:
        ValueError: names the key.
    """
    for name in IDENTIFIERS:
        value = row.get(name)
        if value is not None and not _IDENTIFIER.fullmatch(str(value)):
            raise ValueError(f"{name} {str(value)[:40]!r} is not 16 hexadecimal digits")
