"""The three formats of an export: each writes batches of rows to a file and reads them back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.store.transfer.values import Kind, Row, Sheet, from_cell, from_json, to_cell, to_json

LONGEST_CELL = 64 * 2**20
"""Characters in one cell or line; the pictures' arrays of a run are a few hundred thousand."""
MOST_BYTES = 8 * 2**30
"""Of one file, and of what a Parquet file says that it unpacks to."""
ROWS_AT_ONCE = 2000

Batches = Iterable[list[Row]]


class DamagedError(ValueError):
    """A file that is not what its sheet says."""


@dataclass(frozen=True)
class Format:
    """How sheets are written and read back. `read` gives values as the tables take them."""

    write: Callable[[Path, Sheet, Batches], None]
    read: Callable[[Path, Sheet], Iterator[Row]]


def _write_csv(path: Path, sheet: Sheet, batches: Batches) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        # All text is quoted: a carriage return inside a cell must not end the row.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(sheet.columns)
        for rows in batches:
            writer.writerows(
                [to_cell(kind, row[name]) for name, kind in sheet.columns.items()] for row in rows
            )


def _read_csv(path: Path, sheet: Sheet) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file, _long_cells():
        lines = csv.reader(file, strict=True)
        _check_columns(sheet, next(lines, []))
        for cells in lines:
            if len(cells) != len(sheet.columns):
                raise DamagedError(f"a row has {len(cells)} cells instead of {len(sheet.columns)}")
            named = zip(sheet.columns.items(), cells, strict=True)
            yield {name: from_cell(kind, cell) for (name, kind), cell in named}


@contextmanager
def _long_cells() -> Iterator[None]:
    earlier = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(earlier)


def _write_jsonl(path: Path, sheet: Sheet, batches: Batches) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for rows in batches:
            for row in rows:
                line = {name: to_json(kind, row[name]) for name, kind in sheet.columns.items()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _read_jsonl(path: Path, sheet: Sheet) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as file:
        while line := file.readline(LONGEST_CELL):
            found = json.loads(line)
            if not isinstance(found, dict):
                raise DamagedError("a line is no object")
            _check_columns(sheet, list(found))
            yield {name: from_json(kind, found[name]) for name, kind in sheet.columns.items()}


def _write_parquet(path: Path, sheet: Sheet, batches: Batches) -> None:
    # Here, not above: pyarrow takes a while to import, and the other formats do without.
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    columns = _arrow_schema(sheet)
    with ParquetWriter(path, columns) as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pylist(rows, schema=columns))


def _read_parquet(path: Path, sheet: Sheet) -> Iterator[Row]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > MOST_BYTES:
                raise DamagedError(f"it unpacks to more than {MOST_BYTES // 2**30} GiB")
            _check_columns(sheet, file.schema_arrow.names)
            if not file.schema_arrow.equals(_arrow_schema(sheet)):
                raise DamagedError("a column has another type")
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield {name: _unpack(kind, row[name]) for name, kind in sheet.columns.items()}
    except (ArrowException, OSError) as error:
        raise DamagedError(" ".join(str(error).split())) from None


def _arrow_schema(sheet: Sheet) -> Any:
    import pyarrow as pa

    types = {"integer": pa.int64(), "number": pa.float64(), "bytes": pa.binary()}
    return pa.schema([(name, types.get(kind, pa.string())) for name, kind in sheet.columns.items()])


def _unpack(kind: Kind, value: Any) -> Any:
    return json.loads(value) if kind == "json" and value is not None else value


def _check_columns(sheet: Sheet, names: list[str]) -> None:
    if names != list(sheet.columns):
        raise DamagedError(
            f"its columns are {', '.join(names)[:200] or '(none)'}; {sheet.name} has "
            f"{', '.join(sheet.columns)}"
        )


FORMATS = {
    "csv": Format(_write_csv, _read_csv),
    "parquet": Format(_write_parquet, _read_parquet),
    "jsonl": Format(_write_jsonl, _read_jsonl),
}
