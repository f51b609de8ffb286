"""What lies in a source: its images by part and class, and the hash by which runs know them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.archive import read_members, tree_of
from ablate.datasets.decode import Unreadable, check_kind
from ablate.datasets.layouts import HOW, Arrangement, Asked, arrange
from ablate.datasets.layouts.parts import PARTS, TEST, TRAIN
from ablate.datasets.remembered import remembered_hashes
from ablate.datasets.split import hold_out
from ablate.errors import DataError, nearest
from ablate.system.text import plural

READING = 3
"""Raised when a source is read otherwise than before: an index of an earlier version may lack images."""
TEST_SEED = 1_797
"""Fixed: it decides which images are tested where a source has no part for that."""


@dataclass(frozen=True)
class Index:
    """A source's images by their sorted paths from train, val or test on, and a hash. `groups` has one for
    each name where images come in groups; `told` is what a reader should know of how they were found.
    """

    content_hash: str
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({name.split("/", 2)[1] for name in self.names}))

    def of(self, part: str) -> list[str]:
        """The names of one part, in the order of its array."""
        return [name for name in self.names if name.startswith(f"{part}/")]

    def labels(self, part: str) -> NDArray[np.int64]:
        """Those of one part, in the order of its array."""
        number = {name: label for label, name in enumerate(self.classes)}
        found = [number[name.split("/", 2)[1]] for name in self.of(part)]
        return np.array(found, dtype=np.int64)

    def train_groups(self) -> NDArray[np.int64] | None:
        """The group of each training image as a number; None where there are none."""
        if not self.groups:
            return None
        pairs = zip(self.names, self.groups, strict=True)
        groups = [group for name, group in pairs if name.startswith(f"{TRAIN}/")]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def final(self) -> dict[str, str]:
        """Where an image was found in the layout → its name here, which differs in the part where some
        were held out.
        """
        tails = {f"all/{name.partition('/')[2]}": name for name in self.names}
        return tails | {name: name for name in self.names}

    def document(self) -> dict[str, Any]:
        """As JSON."""
        known = {"content_hash": self.content_hash, "names": self.names, "reading": READING}
        return {**known, "groups": self.groups, "told": self.told}


def scan(path: Path, asked: Asked) -> Index:
    """Read every image once, without decoding it; of a folder those that changed since the last time.

    Raises:
        DataError: the source cannot be read, has files that are named as images and are none, or has not
            the same classes in train and test, each with at least one image.
    """
    arrangement = arrange(tree_of(path), asked)
    hashes: dict[str, str] = {}
    unreadable = Unreadable(str(path))
    passed: Counter[str] = Counter()
    with remembered_hashes(path) as remembered:
        for member in read_members(path, arrangement, passed):
            if member.name in hashes:
                raise DataError(f"{path}: has {member.name!r} twice; pack it again")
            read = partial(_seen_as_image, member.read, member.name, unreadable)
            hashes[member.name] = remembered.of_member(member, read)
        # In here: what is refused is not remembered as an image.
        unreadable.refuse()
    if not hashes:
        raise DataError(f"{path}: no image where one is expected; {HOW}")
    groups = _groups(path, hashes, arrangement, asked)
    final = _final_names(path, hashes, groups, arrangement, asked)
    found = {final[name]: value for name, value in hashes.items()}
    groups = {final[name]: group for name, group in groups.items()}
    _check_classes(path, arrangement, found)
    _check_groups(path, groups)
    return index_of(found, groups, (*arrangement.told, *_told(passed)))


def index_of(
    hashes: Mapping[str, str], groups: Mapping[str, str], told: tuple[str, ...] = ()
) -> Index:
    """Of the SHA-256 of each image's file, by its name."""
    names = tuple(sorted(hashes))
    grouped = {name: f"\0{groups[name]}" if groups else "" for name in names}
    lines = "".join(f"{name}\0{hashes[name]}{grouped[name]}\n" for name in names)
    content_hash = hashlib.sha256(lines.encode()).hexdigest()
    return Index(content_hash, names, tuple(groups[name] for name in names if groups), told)


def stored_index(value: Any) -> Index | None:
    """The index in a JSON value from the cache, None if it is not one."""
    try:
        names, groups, told = (tuple(value[key]) for key in ("names", "groups", "told"))
        sound = bool(names) and all(isinstance(n, str) and n.count("/") >= 2 for n in names)
        sound = sound and len(groups) in (0, len(names)) and value["reading"] == READING
        return Index(str(value["content_hash"]), names, groups, told) if sound else None
    except (KeyError, TypeError):
        return None


def _seen_as_image(read: Callable[[], bytes], name: str, unreadable: Unreadable) -> bytes:
    """What a file has; by its first bytes it is an image, or noted as none."""
    data = read()
    with unreadable.noting(name):
        check_kind(data)
    return data


def _told(passed: Counter[str]) -> list[str]:
    """What was passed over, by kind."""
    kinds = [f"{kind} ({count:,})" for kind, count in sorted(passed.items()) if count]
    return [f"passed over, hidden or no images: {', '.join(kinds)}"] if kinds else []


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
    return {name: _group(path, name, pattern) for name in names}


def _group(path: Path, name: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(name.rpartition("/")[2])
    if match is None:
        raise DataError(
            f"{path}: data.group = {pattern.pattern!r} is not in the file name of {name!r}; "
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
    """Each image with its part, where the source has none for testing."""
    if not arrangement.holds_out:
        return {name: name for name in found}
    names = sorted(found)
    classes = [name.split("/", 2)[1] for name in names]
    sizes = Counter(classes)
    if small := [name for name, count in sorted(sizes.items()) if count < 2]:
        raise DataError(
            f"{path}: class {small[0]!r} has 1 image, and needs one to test on; add images"
        )
    labels = np.unique(classes, return_inverse=True)[1]
    numbers = np.unique([groups[n] for n in names], return_inverse=True)[1] if groups else None
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
