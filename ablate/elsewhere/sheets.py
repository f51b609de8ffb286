"""Files as rows of text: CSV with commas, semicolons or tabs, JSON lines, Parquet. Read once, row by row."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ablate.errors import DataError
from ablate.system.messages.pulse import PULSE

SEPARATORS = (",", ";", "\t")
STDIN = "-"
IN_MEMORY = 64 * 2**20
MOST_BYTES = 16 * 2**30
"""Of a file, and of what a Parquet file says that it unpacks to."""
LONGEST_LINE = 2**20
ROWS_BETWEEN_TELLING = 20_000
Rows = Iterator[tuple[int, list[str]]]
"""The number of each row as a spreadsheet shows it, and its cells without spaces around them."""


@dataclass(frozen=True)
class Sheet:
    """The columns of a file, in small letters, and its rows. With `decimal_comma` 0,93 is a number."""

    file: str
    columns: tuple[str, ...]
    rows: Rows
    decimal_comma: bool = False


@dataclass(frozen=True)
class GivenFile:
    """A file that is open; `sheet` reads it from its beginning."""

    name: str
    sha256: str
    size: int
    stream: IO[bytes]
    texts: list[io.TextIOWrapper] = field(default_factory=list)

    def text(self, newline: str) -> io.TextIOWrapper:
        """Its text; it is open as long as the file is."""
        self.texts.append(io.TextIOWrapper(self.stream, encoding="utf-8-sig", newline=newline))
        return self.texts[-1]

    def sheet(self) -> Sheet:
        """Its columns and rows.

        Raises:
            DataError: it cannot be read as what its name says.
        """
        self.stream.seek(0)
        read = READERS.get(Path(self.name).suffix.lower(), _csv)
        found = read(self)
        twice = {name for name in found.columns if name and found.columns.count(name) > 1}
        if twice:
            raise DataError(f"{self.name}: has the column {min(twice)} twice: keep one of them")
        return found


@contextmanager
def opened(path: Path) -> Iterator[GivenFile]:
    """A file of results, `-` for stdin, which is CSV.

    Raises:
        DataError: it cannot be read, or is too large.
    """
    name = "stdin" if str(path) == STDIN else path.name
    try:
        with _stream(path) as stream:
            digest, size = hashlib.sha256(), 0
            while chunk := stream.read(2**20):
                digest.update(chunk)
                size += len(chunk)
                if size > MOST_BYTES:
                    raise DataError(f"{name}: has more than {MOST_BYTES // 2**30} GiB: split it")
            given = GivenFile(name, digest.hexdigest(), size, stream)
            try:
                yield given
            finally:
                for text in given.texts:
                    text.detach()  # else it closes the file a second time
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    if str(path) != STDIN:
        with path.open("rb") as file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        spooled.seek(0)
        yield spooled


def _csv(given: GivenFile) -> Sheet:
    text = given.text("")
    separator = _separator(given, text)
    records = _records(given, text, separator)
    _first, names = next(records, (1, []))
    columns = tuple(name.lower() for name in names)
    return Sheet(given.name, columns, _same_width(given, columns, records), separator != ",")


def _separator(given: GivenFile, text: io.TextIOWrapper) -> str:
    """That which stands most often in the first line."""
    try:
        line = text.readline(LONGEST_LINE)
        text.seek(0)
    except UnicodeDecodeError:
        raise _not_utf8(given) from None
    return max(SEPARATORS, key=line.count)


def _records(given: GivenFile, text: io.TextIOWrapper, separator: str) -> Rows:
    """Rows that are not empty, counted as a spreadsheet does, from 1."""
    number, reader = 0, csv.reader(text, delimiter=separator, strict=True)
    try:
        for number, cells in enumerate(reader, 1):
            if number % ROWS_BETWEEN_TELLING == 0:
                PULSE.count("reading", min(given.stream.tell(), given.size), given.size)
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield number, stripped
    except UnicodeDecodeError:
        raise _not_utf8(given) from None
    except csv.Error as error:
        raise DataError(f"{given.name}: row {number + 1}: is no CSV: {error}") from None


def _not_utf8(given: GivenFile) -> DataError:
    return DataError(f"{given.name}: is not UTF-8 text: save it as CSV UTF-8")


def _same_width(given: GivenFile, columns: tuple[str, ...], records: Rows) -> Rows:
    width = len(columns)
    for number, cells in records:
        if len(cells) < width or any(cells[width:]):
            raise DataError(
                f"{given.name}: row {number}: has {len(cells)} cells, and the first row names {width} "
                "columns: give each cell its column"
            )
        yield number, cells[:width]


def _jsonl(given: GivenFile) -> Sheet:
    text = given.text("\n")
    objects = _objects(given, text)
    first = next(objects, None)
    names = [] if first is None else list(first[1])
    rows = _of_objects(given, names, first, objects)
    return Sheet(given.name, tuple(name.strip().lower() for name in names), rows)


def _objects(given: GivenFile, text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        while line := text.readline(LONGEST_LINE):
            number += 1
            if number % ROWS_BETWEEN_TELLING == 0:
                PULSE.count("reading", min(given.stream.tell(), given.size), given.size)
            if not line.strip():
                continue
            found = _parsed(line)
            if not isinstance(found, dict):
                raise DataError(f"{given.name}: row {number}: is no JSON object")
            yield number, found
    except UnicodeDecodeError:
        raise _not_utf8(given) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{given.name}: row {number}: is no JSON: {error}") from None


def _parsed(line: str) -> Any:
    """What a line of JSON says. A whole number with more digits than Python reads is text, which its column
    refuses.
    """
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(line, parse_int=str)


def _of_objects(given: GivenFile, names: list[str], first: Any, objects: Iterator[Any]) -> Rows:
    known = set(names)
    for number, found in [] if first is None else [first]:
        yield number, [_as_text(given, number, name, found.get(name)) for name in names]
    for number, found in objects:
        if other := next((name for name in found if name not in known), None):
            raise DataError(
                f"{given.name}: row {number}: has {other!r}, which the first row has not: name every column "
                "in the first one (null where there is no value)"
            )
        yield number, [_as_text(given, number, name, found.get(name)) for name in names]


def _parquet(given: GivenFile) -> Sheet:
    # Here, not above: pyarrow takes a while to import, and the other formats do without.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(given.stream)
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        if sum(group.total_byte_size for group in groups) > MOST_BYTES:
            raise DataError(
                f"{given.name}: unpacks to more than {MOST_BYTES // 2**30} GiB: split it"
            )
    except (ArrowException, OSError) as error:
        raise DataError(f"{given.name}: is no Parquet: {' '.join(str(error).split())}") from None
    names = list(file.schema_arrow.names)
    return Sheet(
        given.name, tuple(name.strip().lower() for name in names), _of_parquet(given, file, names)
    )


def _of_parquet(given: GivenFile, file: Any, names: list[str]) -> Rows:
    from pyarrow import ArrowException

    number, total = 0, file.metadata.num_rows
    try:
        for batch in file.iter_batches(2000):
            PULSE.count("reading", number, total)
            for row in batch.to_pylist():
                number += 1
                yield number, [_as_text(given, number, name, row[name]) for name in names]
    except (ArrowException, OSError) as error:
        raise DataError(f"{given.name}: is no Parquet: {' '.join(str(error).split())}") from None


def _as_text(given: GivenFile, number: int, name: str, value: Any) -> str:
    """A value as a cell of CSV would have it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{given.name}: row {number}, column {name}: is {type(value).__name__}: write numbers or text"
        )
    return repr(value)


READERS: dict[str, Callable[[GivenFile], Sheet]] = {
    ".parquet": _parquet,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
}
"""By the end of a file's name; everything else is CSV."""
