"""What lies in a source: its images by part and class, and the hash by which runs know them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.archive import read_members, tree_of
from ablate.datasets.decode import Unreadable
from ablate.datasets.folds import Folds, deal_folds
from ablate.datasets.layouts import HOW, Arrangement, Asked, arrange
from ablate.datasets.layouts.parts import FOLD, PARTS, TEST, TRAIN, VALIDATION, fold_of, fold_part
from ablate.datasets.remembered import remembered_hashes
from ablate.datasets.repeats import Scanned, find_repeats
from ablate.datasets.split import hold_out
from ablate.errors import DataError, nearest
from ablate.pixels.decode import check_kind
from ablate.pixels.geometry import TURNED, Reading, marked
from ablate.system.messages.text import plural

READING = 5
"""Raised when a source is read otherwise than before: an index of an earlier version may lack images."""
TEST_SEED = 1_797
"""Fixed: it decides which images are tested where a source has no part for that."""


@dataclass(frozen=True)
class Index:
    """A source's images by their sorted paths from train, val or test on, and what each is (`marked`). Where
    folds test each image once the paths begin with its fold, and all of them are to train on.
    `groups` has one for each name where images come in groups; `told` is what a reader should know of how
    they were found, `passed` how many files of which kind were passed over.
    """

    names: tuple[str, ...]
    marks: tuple[str, ...]
    groups: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    passed: Mapping[str, int] = field(default_factory=dict)

    def content_hash(self, reading: Reading) -> str:
        """A hash of the images as they are read: by their files and groups, and by what is done to them where
        that is not the usual.
        """
        marks = self.marks if reading.orientation == "exif" else self._files
        groups = [f"\0{group}" for group in self.groups] or [""] * len(self.names)
        lines = "".join(
            f"{name}\0{mark}{group}\n"
            for name, mark, group in zip(self.names, marks, groups, strict=True)
        )
        # Its effect is in the lines already: as they are stored, images are what their files say.
        unusual = {k: v for k, v in reading.unusual.items() if k != "orientation"}
        beside = json.dumps(unusual, sort_keys=True) if unusual else ""
        return hashlib.sha256((lines + beside).encode()).hexdigest()

    @property
    def _files(self) -> tuple[str, ...]:
        """The SHA-256 of each file."""
        return tuple(mark.partition(TURNED)[0] for mark in self.marks)

    def scanned(self) -> Scanned:
        """What is known of the images without decoding one."""
        turned = sum(TURNED in mark for mark in self.marks)
        files = dict(zip(self.names, self._files, strict=True))
        parts: list[list[Any]] = []
        for part in (TRAIN, TEST, VALIDATION):
            parts += [[files[name] for name in self.of(part)], self.labels(part).tolist()]
        return Scanned(self.passed, turned, find_repeats(*parts, folds=self.train_folds()))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({name.split("/", 2)[1] for name in self.names}))

    def of(self, part: str) -> list[str]:
        """The names of one part, in the order of its array."""
        starts = (f"{part}/", FOLD) if part == TRAIN else f"{part}/"
        return [name for name in self.names if name.startswith(starts)]

    def labels(self, part: str) -> NDArray[np.int64]:
        """Those of one part, in the order of its array."""
        number = {name: label for label, name in enumerate(self.classes)}
        found = [number[name.split("/", 2)[1]] for name in self.of(part)]
        return np.array(found, dtype=np.int64)

    def train_groups(self) -> NDArray[np.int64] | None:
        """The group of each training image as a number; None where there are none."""
        if not self.groups:
            return None
        of = dict(zip(self.names, self.groups, strict=True))
        groups = [of[name] for name in self.of(TRAIN)]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def train_folds(self) -> Folds | None:
        """The fold in which each image is tested, in the order of the array; None where there are none."""
        folds = [fold for name in self.names if (fold := fold_of(name)) is not None]
        return np.array(folds, dtype=np.int64) if folds else None

    def final(self) -> dict[str, str]:
        """Where an image was found in the layout → its name here, which differs in the part where some
        were held out.
        """
        tails = {f"all/{name.partition('/')[2]}": name for name in self.names}
        return tails | {name: name for name in self.names}

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "reading": READING}


def scan(path: Path, asked: Asked) -> Index:
    """Read every image once, without decoding it; of a folder those that changed since the last time.

    Raises:
        DataError: the source cannot be read, has files that are named as images and are none, or has not
            the same classes in train and test, each with at least one image.
    """
    arrangement = arrange(tree_of(path), asked)
    marks: dict[str, str] = {}
    unreadable = Unreadable(str(path))
    passed: Counter[str] = Counter()
    with remembered_hashes(path) as remembered:
        for member in read_members(path, arrangement, passed):
            if member.name in marks:
                raise DataError(f"{path}: has {member.name!r} twice; pack it again")
            mark = partial(_marked_image, member.read, member.name, unreadable)
            marks[member.name] = remembered.of_member(member, mark)
        # In here: what is refused is not remembered as an image.
        unreadable.refuse()
    if not marks:
        raise DataError(f"{path}: no image where one is expected; {HOW}")
    groups = _groups(path, marks, arrangement, asked)
    final = _final_names(path, marks, groups, arrangement, asked)
    found = {final[name]: value for name, value in marks.items()}
    groups = {final[name]: group for name, group in groups.items()}
    _check_classes(path, arrangement, found)
    _check_groups(path, groups)
    return replace(index_of(found, groups), told=arrangement.told, passed=dict(passed))


def index_of(marks: Mapping[str, str], groups: Mapping[str, str]) -> Index:
    """Of what each image is, by its name."""
    names = tuple(sorted(marks))
    grouped = tuple(groups[name] for name in names if groups)
    return Index(names, tuple(marks[name] for name in names), grouped)


def stored_index(value: Any) -> Index | None:
    """The index in a JSON value from the cache, None if it is not one."""
    try:
        names, marks, groups, told = (
            tuple(value[key]) for key in ("names", "marks", "groups", "told")
        )
        sound = bool(names) and all(isinstance(n, str) and n.count("/") >= 2 for n in names)
        sound = sound and len(names) == len(marks) and all(isinstance(m, str) for m in marks)
        sound = sound and len(groups) in (0, len(names)) and value["reading"] == READING
        passed = {str(kind): int(count) for kind, count in value["passed"].items()}
        return Index(names, marks, groups, told, passed) if sound else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _marked_image(read: Callable[[], bytes], name: str, unreadable: Unreadable) -> str:
    """What a file is; by its first bytes it is an image, or noted as none."""
    data = read()
    with unreadable.noting(name):
        check_kind(data)
    return marked(data)


def _groups(
    path: Path, names: Mapping[str, str], arrangement: Arrangement, asked: Asked
) -> dict[str, str]:
    """The group of each image, by the table or by its file's name; empty where there are none."""
    if arrangement.groups:
        if lone := sorted(set(names) - set(arrangement.groups)):
            raise DataError(f"{path}: {lone[0]!r} has no group; fill that column for all images")
        return dict(arrangement.groups)
    if asked.group is None:
        return {}
    try:
        pattern = re.compile(asked.group)
    except re.error as error:
        raise DataError(
            f"data.group = {asked.group!r} is no column of a table and no regular expression ({error})"
        ) from error
    return {name: _group(path, name, pattern, arrangement.columns) for name in names}


def _group(path: Path, name: str, pattern: re.Pattern[str], columns: tuple[str, ...]) -> str:
    match = pattern.search(name.rpartition("/")[2])
    if match is None:
        near = nearest(pattern.pattern, columns)
        no_column = f"no column of the table{near} and " if columns else ""
        raise DataError(
            f"{path}: data.group = {pattern.pattern!r} is {no_column}not in the file name of {name!r}; "
            "every image needs a group"
        )
    return match[1] if pattern.groups and match[1] is not None else match[0]


def _final_names(
    path: Path,
    found: Mapping[str, str],
    groups: Mapping[str, str],
    arrangement: Arrangement,
    asked: Asked,
) -> dict[str, str]:
    """Each image with its part or fold, where the source has none for testing."""
    if not arrangement.holds_out:
        return {name: name for name in found}
    names = sorted(found)
    classes = [name.split("/", 2)[1] for name in names]
    numbers = np.unique([groups[n] for n in names], return_inverse=True)[1] if groups else None
    known, labels = np.unique(classes, return_inverse=True)
    if asked.folds is not None:
        try:
            folds = deal_folds(labels, asked.folds, known.tolist(), numbers)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        parts = dict(zip(names, map(fold_part, folds.tolist()), strict=True))
        return {name: f"{part}/{name.partition('/')[2]}" for name, part in parts.items()}
    sizes = Counter(classes)
    if small := [name for name, count in sorted(sizes.items()) if count < 2]:
        raise DataError(
            f"{path}: class {small[0]!r} has 1 image, and needs one to test on; add images"
        )
    _, tested = hold_out(labels, asked.test_fraction, groups=numbers, seed=TEST_SEED)
    chosen = {names[row] for row in tested}
    return {n: f"{TEST if n in chosen else TRAIN}/{n.partition('/')[2]}" for n in names}


def _check_classes(path: Path, arrangement: Arrangement, names: Mapping[str, str]) -> None:
    """Raise unless train and test have the same classes, each with an image, and val has no others."""
    with_images = {"/".join(name.split("/", 2)[:2]) for name in names}
    held = {f"all/{folder.partition('/')[2]}" for folder in with_images}
    folders = with_images | {f for f in arrangement.class_folders if f not in held}
    classes = {
        part: {f.partition("/")[2] for f in folders if f.startswith(f"{part}/")} for part in PARTS
    }
    pairs = ((TRAIN, TEST), (TEST, TRAIN), *((part, TRAIN) for part in PARTS[1:2]))
    if any(map(fold_of, names)):
        pairs = ()  # dealing has seen to it that every fold leaves some of each class to train on
    for part, other in pairs:
        if part != PARTS[1] and not classes[part]:
            raise DataError(f"{path}: has no class in {part}/; {HOW}")
        if lone := sorted(classes[part] - classes[other]):
            there = sorted(classes[other] - classes[part])
            raise DataError(
                f"{path}: class {lone[0]!r} is in {part}/ only{nearest(lone[0], there)}; both need "
                "every class"
            )
    if empty := sorted(folders - with_images):
        raise DataError(f"{path}: {empty[0]!r} has no image; add some or remove the class")


def _check_groups(path: Path, groups: Mapping[str, str]) -> None:
    """Raise where a group lies in two parts: what is tested would be known from training."""
    parts: dict[str, str] = {}
    astray = Counter[str]()
    for name, group in groups.items():
        part = name.partition("/")[0]
        astray[group] += parts.setdefault(group, part) != part
    if divided := sorted(group for group, count in astray.items() if count):
        raise DataError(
            f"{path}: {plural(len(divided), 'group')} in more than one part, such as {divided[0]!r} "
            f"(data.group); move all images of a group into one"
        )
