"""Images anywhere, and a CSV or TSV file that says which class each has: `path,label[,split][,group]`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from ablate.datasets.layouts.base import (
    TABLE_SUFFIXES,
    TEST_FRACTION,
    Arrangement,
    Asked,
    Tree,
    listed,
    may_be_image,
)
from ablate.datasets.layouts.columns import Row, Text, columns_of, names_of_images, read_text
from ablate.datasets.layouts.parts import ALL, TEST, TRAIN, folder_name, part_of
from ablate.errors import DataError, nearest
from ablate.study.options import split_call
from ablate.system.messages.text import plural

MOST_NAMED = 5
MOST_TRIED = 100
"""Lines of a table that nobody named: does one of them name an image that is here?"""


def find(tree: Tree, asked: Asked) -> Arrangement | None:
    """None where no table is named, and there is not exactly one that speaks of images which are there.

    Raises:
        DataError: the table that is named is not there, or does not say which class each image has.
    """
    tables = [name for name in tree.files if name.lower().endswith(TABLE_SUFFIXES)]
    if asked.labels is not None and asked.test is not None:
        raise DataError(
            f"data.test = {asked.test!r} names a folder, and data.labels a table whose column split says "
            "what is tested; leave one out"
        )
    if asked.labels is None:
        return _found(tree, tables, asked)
    name, columns = (asked.labels, {}) if asked.labels in tables else split_call(asked.labels)
    matching = [table for table in tables if table == name or table.endswith(f"/{name}")]
    if len(matching) != 1:
        raise DataError(
            f"{tree.source}: {'has several' if matching else 'has no'} {name} (data.labels)"
            f"{nearest(name, tables)}; there is {listed(matching or tables) or 'no .csv or .tsv'}"
        )
    return _arranged(tree, matching[0], {k: str(v) for k, v in columns.items()}, asked)


def _found(tree: Tree, tables: list[str], asked: Asked) -> Arrangement | None:
    """By the one table that there is, if it is one of labels of these images."""
    if len(tables) != 1 or asked.test is not None:
        return None
    try:
        text = read_text(tree, tables[0])
        places = columns_of(text, {}, None)
    except DataError:
        return None  # of something else: class folders may say what is what
    files = _Files(tree)
    if not any(files.of(path, tables[0]) for path in text.column(places["path"], MOST_TRIED)):
        return None
    return _arranged(tree, tables[0], {}, asked)


def _arranged(tree: Tree, table: str, columns: Mapping[str, str], asked: Asked) -> Arrangement:
    text, files, missing = read_text(tree, table), _Files(tree), []
    where = text.where
    _refuse_without_header(text, [files.of(n, table) for n in names_of_images(text, columns)])
    found = columns_of(text, columns, asked.group)
    said: dict[str, tuple[str, str]] = {}
    for row in text.rows(found):
        name = files.of(row.path, table)
        if name is None:
            missing.append(row.path)
            continue
        place = f"{_part(where, row)}/{_label(where, row)}/{name}"
        if said.setdefault(name, (place, row.group)) != (place, row.group):
            raise DataError(
                f"{where} has {row.path!r} twice, with different labels, splits or groups; keep one"
            )
    places = {name: place for name, (place, _) in said.items()}
    groups = {place: group for place, group in said.values() if group}
    if missing:
        raise DataError(
            f"{where} names {plural(len(missing), 'image')} that are not there or not clear: "
            f"{listed(map(repr, missing), MOST_NAMED)}; add them or remove their rows"
        )
    _check_parts(where, places, asked)
    if "group" in found and not groups and (asked.group is not None or "group" in columns):
        raise DataError(f"{where}: the column {text.header[found['group']]!r} is empty; fill it")
    unnamed = sum(name not in places and may_be_image(name) for name in tree.files)
    told = tuple(_told(table, places, groups, unnamed, asked))
    return Arrangement(places, groups=groups, told=told, certain=True, columns=text.header)


def _refuse_without_header(text: Text, images: Iterable[str | None]) -> None:
    """Raise where the first line is one of an image, which would be lost."""
    if image := next(filter(None, images), None):
        raise DataError(
            f"{text.where} has no header: its first line names the image {image!r}; put a line such as "
            f"path{text.delimiter}label above it"
        )


def _told(
    table: str, places: Mapping[str, str], groups: Mapping[str, str], unnamed: int, asked: Asked
) -> Iterator[str]:
    held = any(place.startswith(f"{ALL}/") for place in places.values())
    parts = asked.how_tested if held else "training, validation and test as it says"
    grouped = ", groups together" if groups else ""
    yield f"parts: labels of {plural(len(places), 'image')} from {table}; {parts}{grouped}"
    if unnamed:
        yield f"not used: {plural(unnamed, 'file')} that {table} does not name"


class _Files:
    """Finds the file that a row names: as it stands there, or by its end, or without its suffix."""

    def __init__(self, tree: Tree) -> None:
        self.names = set(tree.files)
        self.ends: dict[str, list[str]] = defaultdict(list)
        for name in filter(may_be_image, tree.files):
            last = name.rpartition("/")[2]
            for end in dict.fromkeys((last, last.rpartition(".")[0])):
                self.ends[end].append(name)

    def of(self, path: str, table: str) -> str | None:
        """None if there is none, or more than one."""
        path = path.replace("\\", "/").removeprefix("./")
        folder = table.rpartition("/")[0]
        for exact in (f"{folder}/{path}" if folder else path, path):
            if exact in self.names:
                return exact
        ends = self.ends.get(path.rpartition("/")[2], [])
        if "/" in path:
            ends = [
                name
                for name in ends
                if f"/{name}".rpartition(".")[0].endswith(f"/{path}")
                or f"/{name}".endswith(f"/{path}")
            ]
        if len(ends) > 1:  # train.csv speaks of train/ or train_images/
            stem = table.rpartition("/")[2].rpartition(".")[0].lower()
            ends = [name for name in ends if f"/{name.lower()}".find(f"/{stem}") >= 0]
        return ends[0] if len(ends) == 1 else None


def _part(where: str, row: Row) -> str:
    if not row.split:
        return ALL
    part = part_of(row.split)
    if part is None:
        raise DataError(
            f"{where}: the split {row.split!r} of {row.path!r} is none of train, val and test"
        )
    return part


def _label(where: str, row: Row) -> str:
    label = folder_name(row.label)
    if label in ("", ".", ".."):
        raise DataError(
            f"{where}: the label of {row.path!r} is {row.label!r}; give it a class or remove the row"
        )
    return label


def _check_parts(where: str, places: Mapping[str, str], asked: Asked) -> None:
    """Raise unless the table says of all images in which part they are, or of none."""
    parts = {place.partition("/")[0] for place in places.values()}
    if not parts:
        raise DataError(f"{where} names no image; it needs a row for each")
    if ALL in parts and len(parts) > 1:
        raise DataError(f"{where} has images without a split; fill that column, or leave it out")
    if ALL not in parts and asked.test_fraction != TEST_FRACTION:
        raise DataError(
            f"{where} says what is tested, so data.test_fraction has nothing to hold out; leave it out"
        )
    if ALL not in parts and not {TRAIN, TEST} <= parts:
        raise DataError(f"{where} has the splits {listed(sorted(parts))}; it needs train and test")
