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


def rows_of(tree: Tree, table: str, columns: Mapping[str, str], group: str | None) -> Iterator[Row]:
    """What a table says of each image; `columns` and `group` name columns that are called otherwise.

    Raises:
        DataError: it is no such table.
    """
    where = f"{tree.source}: {table}"
    try:
        text = tree.read(table).decode("utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = max("\t,;|", key=head.count)
        lines = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} cannot be read as text in UTF-8 ({error}); save it so") from error
    if not lines:
        raise DataError(f"{where} is empty; it needs a line path,label and one for each image")
    header = [name.strip() for name in lines[0]]
    places = _columns(where, header, columns, group)
    for number, line in enumerate(lines[1:], 2):
        if len(line) < len(header):
            raise DataError(
                f"{where} has {len(line)} of {len(header)} fields in line {number}; mend it"
            )
        values = {key: line[place].strip() for key, place in places.items()}
        yield Row(values["path"], values["label"], values.get("split", ""), values.get("group", ""))


def _columns(
    where: str, header: list[str], given: Mapping[str, str], group: str | None
) -> dict[str, int]:
    """Where what stands. Two columns of other names are path and label."""
    if unknown := [key for key in given if key not in COLUMNS]:
        raise DataError(
            f"data.labels takes no {unknown[0]!r}{nearest(unknown[0], COLUMNS)}; it takes {listed(COLUMNS)}"
        )
    lower = [name.lower() for name in header]
    found = {
        key: next((lower.index(name) for name in names if name in lower), None)
        for key, names in COLUMNS.items()
    }
    if group is not None and group in header:
        found["group"] = header.index(group)
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
