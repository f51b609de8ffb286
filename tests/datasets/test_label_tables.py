"""Tables of labels: what is asked for wins over what a column is called, and no row is cut or lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import message
from support.layout_sources import CLASSES, SIDE, encoded, write

from ablate.datasets import open_dataset
from ablate.datasets.images import ImageFiles
from ablate.datasets.index import scan
from ablate.datasets.layouts import Asked
from ablate.errors import DataError
from ablate.study import DataTable

COUNT = 16


def name(number: int) -> str:
    return f"p{number // 4}_{number:02}"


def pictures(at: Path, *lines: str, table: str = "labels.csv") -> Path:
    content = {f"images/{name(i)}.png": encoded(i, i % 2) for i in range(COUNT)}
    return write(at / "s", content | {table: "".join(f"{line}\n" for line in lines).encode()})


def labelled(head: str, tail: str = "") -> list[str]:
    """A row for each image; `{i}` in the tail is its number."""
    rows = (f"{name(i)}.png,{CLASSES[i % 2]}{tail.format(i=i)}" for i in range(COUNT))
    return [head, *rows]


def asked(path: Path, **keys: object) -> ImageFiles:
    found = open_dataset("images", path, SIDE, DataTable.model_validate(keys))
    assert isinstance(found, ImageFiles)
    return found


@pytest.mark.parametrize("column", ["group", "patient", "Subject_ID"])
def test_a_group_that_is_asked_for_wins_over_a_column(tmp_path: Path, column: str) -> None:
    head = f"path,label,{column},ward"
    path = pictures(tmp_path, *labelled(head, ",s{i},w{i}"))
    assert set(scan(path, Asked()).groups) == {f"s{i}" for i in range(COUNT)}
    assert set(scan(path, Asked(group="ward")).groups) == {f"w{i}" for i in range(COUNT)}
    index = scan(path, Asked(group=r"^(p\d+)_"))
    parts: dict[str, set[str]] = {}
    for image, group in zip(index.names, index.groups, strict=True):
        parts.setdefault(group, set()).add(image.partition("/")[0])
    assert set(parts) == {"p0", "p1", "p2", "p3"}
    assert all(len(part) == 1 for part in parts.values()), "no film is parted"


def test_a_group_that_names_nothing_is_refused_whatever_columns_there_are(tmp_path: Path) -> None:
    path = pictures(tmp_path, *labelled("path,label,patient", ",s{i}"))
    line = message(DataError, asked(path, group="pateint").content_hash)
    assert "is no column of the table (did you mean 'patient'?) and not in the file name of" in line
    assert "\n" not in line


def test_a_group_that_is_asked_for_twice_or_is_empty_is_refused(tmp_path: Path) -> None:
    path = pictures(tmp_path, *labelled("path,label,patient,ward", ",,w{i}"))
    assert scan(path, Asked()).groups == (), "nobody asked for it"
    for keys in ({"group": "patient"}, {"labels": "labels.csv(group=patient)"}):
        assert "the column 'patient' is empty" in message(
            DataError, asked(path, **keys).content_hash
        )
    twice = asked(path, group="ward", labels="labels.csv(group=ward)")
    assert "both say what a group is; leave one out" in message(DataError, twice.content_hash)


@pytest.mark.parametrize("other", ["p9", ""])
def test_an_image_of_two_patients_is_refused(tmp_path: Path, other: str) -> None:
    lines = labelled("path,label,patient", ",s{i}")
    path = pictures(tmp_path, *lines, f"images/{name(0)}.png,cat,{other}")
    assert "twice, with different labels, splits or groups" in message(
        DataError, asked(path).content_hash
    )
    assert len(scan(pictures(tmp_path, *lines, lines[1]), Asked()).names) == COUNT, "the same row"


# ── fields and headers ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("labels", [None, "labels.csv"])
def test_a_row_with_more_fields_than_columns_is_not_cut(tmp_path: Path, labels: str | None) -> None:
    lines = labelled("path,label")
    cut = [*lines[:3], f"{lines[3]}, viral", *lines[4:]]
    line = message(DataError, asked(pictures(tmp_path, *cut), labels=labels).content_hash)
    assert "has 3 fields in line 4, and 2 columns; put a field with ',' in it" in line
    quoted = [
        lines[0],
        *(f"{row.replace(',', ',{0}')}, viral{{0}}".format('"') for row in lines[1:]),
    ]
    assert asked(pictures(tmp_path, *quoted), labels=labels).classes() == (
        "cat, viral",
        "dog, viral",
    )
    empty = [lines[0], *(f"{row},," for row in lines[1:])]
    assert asked(pictures(tmp_path, *empty), labels=labels).classes() == CLASSES


def test_a_quote_that_is_never_closed_takes_no_lines_with_it(tmp_path: Path) -> None:
    lines = labelled("path,label")
    lines[9] = lines[9].replace(",", ',"')
    line = message(DataError, asked(pictures(tmp_path, *lines), labels="labels.csv").content_hash)
    assert "labels.csv cannot be read as a table (unexpected end of data" in line


@pytest.mark.parametrize("labels", [None, "labels.csv"])
@pytest.mark.parametrize("suffix", [".png", ""])
def test_a_table_without_a_header_is_refused(
    tmp_path: Path, labels: str | None, suffix: str
) -> None:
    rows = [row.replace(".png", suffix) for row in labelled("")[1:]]
    line = message(DataError, asked(pictures(tmp_path, *rows), labels=labels).content_hash)
    assert (
        f"labels.csv has no header: its first line names the image 'images/{name(0)}.png'" in line
    )
    assert "put a line such as path,label above it" in line
    named = pictures(tmp_path, "picture,kind", *rows)
    assert len(scan(named, Asked(labels=labels)).names) == COUNT, "all but the header"


def test_three_columns_without_a_header_are_refused(tmp_path: Path) -> None:
    rows = labelled("", ",x")[1:]
    path = pictures(tmp_path, *rows)
    assert "has no header" in message(DataError, asked(path, labels="labels.csv").content_hash)
