"""The rows of a CSV or TSV file of labels, by what its columns are called."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ablate.datasets.layouts.base import Tree, listed
from ablate.errors import DataError, nearest

COLUMNS = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "image",
        "image_path",
        "filepath",
        "image_id",
        "id",
        "name",
    ),
    "label": ("label", "class", "target", "category", "class_name", "labels", "classid", "y"),
    "split": ("split", "set", "subset", "part", "partition"),
    "group": ("group", "patient", "patient_id", "subject", "subject_id"),
}
"""What of an image → how its column may be called, in any case. `data.labels = "x.csv(label=dx)"` names
others.
"""


@dataclass(frozen=True)
class Row:
    """What a table says of one image; an empty split or group where it has no such column."""

    path: str
    label: str
    split: str
    group: str


@dataclass(frozen=True)
class Text:
    """A table as it is written: the names of its columns, and each line's number and fields. `where` it
    lies is for a line about it.
    """

    where: str
    header: tuple[str, ...]
    lines: tuple[tuple[int, list[str]], ...]
    delimiter: str

    def rows(self, places: Mapping[str, int]) -> Iterator[Row]:
        """What it says of each image, by where what stands.

        Raises:
            DataError: a line has fewer fields than there are columns, or more.
        """
        for number, line in self.lines:
            self._check(number, line)
            values = {key: line[place].strip() for key, place in places.items()}
            split, group = values.get("split", ""), values.get("group", "")
            yield Row(values["path"], values["label"], split, group)

    def column(self, place: int, most: int) -> Iterator[str]:
        """What stands in one column of the first lines that have it."""
        for _, line in self.lines[:most]:
            if place < len(line):
                yield line[place].strip()

    def _check(self, number: int, line: list[str]) -> None:
        columns = len(self.header)
        if len(line) < columns:
            raise DataError(
                f"{self.where} has {len(line)} of {columns} fields in line {number}; mend it"
            )
        if any(field.strip() for field in line[columns:]):  # programs write empty ones
            raise DataError(
                f"{self.where} has {len(line)} fields in line {number}, and {columns} columns; put a field "
                f"with {self.delimiter!r} in it into double quotes"
            )


def read_text(tree: Tree, table: str) -> Text:
    """A table of a source, whatever it is of.

    Raises:
        DataError: it cannot be read as one, or has no line.
    """
    where = f"{tree.source}: {table}"
    try:
        text = tree.read(table).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} cannot be read as text in UTF-8 ({error}); save it so") from error
    delimiter = max("\t,;|", key=text.partition("\n")[0].count)
    # Strictly: else a quote that is never closed takes all lines behind it into one field.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(
            f"{where} cannot be read as a table ({error}, line {reader.line_num}); mend it"
        ) from error
    if not lines:
        raise DataError(f"{where} is empty; it needs a line path,label and one for each image")
    header = tuple(name.strip() for name in lines[0][1])
    return Text(where, header, tuple(lines[1:]), delimiter)


def names_of_images(text: Text, given: Mapping[str, str]) -> tuple[str, ...]:
    """What would be the names of images if a table had no header; empty where a column is called as the one
    of paths is.
    """
    known = {name.lower() for name in text.header} & set(COLUMNS["path"])
    return () if known or "path" in given else text.header


def columns_of(text: Text, given: Mapping[str, str], group: str | None) -> dict[str, int]:
    """Where what stands; `given` and `group` name columns that are called otherwise. Two columns of other
    names are path and label.

    Raises:
        DataError: one that is needed or named is not there.
    """
    where, header = text.where, text.header
    if unknown := [key for key in given if key not in COLUMNS]:
        raise DataError(
            f"data.labels takes no {unknown[0]!r}{nearest(unknown[0], COLUMNS)}; it takes {listed(COLUMNS)}"
        )
    if group is not None and "group" in given:
        raise DataError(
            f"data.group = {group!r} and data.labels with group={given['group']} both say what a group is; "
            "leave one out"
        )
    lower = [name.lower() for name in header]
    found = {
        key: next((lower.index(name) for name in names if name in lower), None)
        for key, names in COLUMNS.items()
    }
    if group is not None:  # what is asked for, and no other column; or by the files' names
        found["group"] = header.index(group) if group in header else None
    for key, name in given.items():
        if name not in header:
            raise DataError(
                f"{where} has no column {name!r}{nearest(name, header)}; it has {listed(header, 12)}"
            )
        found[key] = header.index(name)
    if len(header) == 2 and found["path"] != 1 and found["label"] is None:
        found |= {"path": 0, "label": 1}
    for key in ("path", "label"):
        if found[key] is None:
            raise DataError(
                f"{where} has no column {key} (or {listed(COLUMNS[key][1:])}) but {listed(header, 12)}; "
                f'name it: data.labels = "{where.rpartition("/")[2].rpartition(": ")[2]}({key}=…)"'
            )
    return {key: place for key, place in found.items() if place is not None}
