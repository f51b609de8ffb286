"""`images`: anybody's pictures, in a folder or archive of `train/<class>/…`, `test/<class>/…`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ablate.datasets import cache
from ablate.datasets.archive import LAYOUT, label_of, read_members
from ablate.datasets.base import Dataset, Images, Watch, channel_statistics
from ablate.datasets.container import SPLITS
from ablate.datasets.decode import Unreadable, check_kind, decode_image
from ablate.datasets.geometry import USUAL, Reading, orientation_in
from ablate.datasets.remembered import remembered_hashes
from ablate.datasets.repeats import Scanned, find_repeats
from ablate.errors import DataChangedError, DataError
from ablate.study import DataTable
from ablate.system.folders import cache_folder

READING = 3
"""Raised when a source is read otherwise than before: an index of an earlier version may lack images."""

TURNED = "/"
"""Between the hash of a file and its orientation."""


@dataclass(frozen=True)
class Content:
    """What a source was found to have: the hash of its images, and its classes."""

    content_hash: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """What lies in a source: its images by their sorted paths from train or test on, what each is
    (`marked`), and how many files of which kind were passed over.
    """

    names: tuple[str, ...]
    marks: tuple[str, ...]
    passed: Mapping[str, int] = field(default_factory=dict)

    def content_hash(self, reading: Reading) -> str:
        """A hash of the images as they are read: by their files, and by what is done to them where that is
        not the usual.
        """
        lines = "".join(
            f"{name}\0{mark if reading.orientation == 'exif' else mark.partition(TURNED)[0]}\n"
            for name, mark in zip(self.names, self.marks, strict=True)
        )
        # Its effect is in the lines already: as they are stored, images are what their files say.
        unusual = {k: v for k, v in reading.unusual.items() if k != "orientation"}
        beside = json.dumps(unusual, sort_keys=True) if unusual else ""
        return hashlib.sha256((lines + beside).encode()).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({name.split("/")[1] for name in self.names}))

    def of(self, split: str) -> list[str]:
        """The names of one split, in the order of its array."""
        return [name for name in self.names if name.startswith(f"{split}/")]

    def scanned(self) -> Scanned:
        """What is known of the images without decoding one."""
        turned = sum(TURNED in mark for mark in self.marks)
        files = {n: m.partition(TURNED)[0] for n, m in zip(self.names, self.marks, strict=True)}
        parts: list[list[Any]] = []
        for split in SPLITS:
            names = self.of(split)
            parts += [[files[name] for name in names], [name.split("/")[1] for name in names]]
        return Scanned(self.passed, turned, find_repeats(*parts))


@dataclass(frozen=True)
class ImageFiles(Dataset):
    """JPEG and PNG files in class folders, brought to `image_size` once and cached as arrays.

    With `content` it stands for those images and no others, whatever lies at `data` by then.
    """

    data: Path | None
    image_size: int
    content: Content | None = None
    reading: Reading = USUAL
    needs_data: ClassVar[bool] = True

    @classmethod
    def reads(cls, data: Path) -> bool:
        return True

    @property
    def path(self) -> Path:
        if self.data is None:
            raise DataError("dataset 'images' needs a folder or an archive; give --data PATH")
        return self.data

    @property
    def label(self) -> str:
        return label_of(self.path)

    def classes(self) -> tuple[str, ...]:
        return self._content.classes

    def content_hash(self) -> str:
        """SHA-256 over (path, SHA-256 of the file): equal for a folder and every archive of it. What is done
        to images while they are read is in it where it is not the usual.
        """
        return self._content.content_hash

    def pinned(self) -> Self:
        pinned = replace(self, content=self._content)
        if "_index" in self.__dict__:  # what was read need not be read again
            pinned.__dict__["_index"] = self._index
        return pinned

    def train_labels(self) -> NDArray[np.int64]:
        return self._labels("train")

    def test_labels(self) -> NDArray[np.int64]:
        return self._labels("test")

    def _labels(self, split: str) -> NDArray[np.int64]:
        classes = {name: label for label, name in enumerate(self.classes())}
        names = self._index.of(split)
        return np.array([classes[name.split("/")[1]] for name in names], dtype=np.int64)

    def scanned(self) -> Scanned:
        return self._index.scanned()

    def read_as(self, table: DataTable) -> Self:
        return replace(self, reading=Reading.of(table))

    def test_count(self) -> int:
        return len(self._index.of("test"))

    def load(self, watch: Watch | None = None) -> Images:
        entry = cache.load_arrays(self._cached)
        if entry is None:
            self._decode(watch)
            entry = cache.load_arrays(self._cached)
        if entry is None:
            raise DataError(f"{self.path}: its entry in {cache_folder()} vanished; start again")
        arrays, facts = entry.arrays, entry.facts
        return Images(
            self.label,
            tuple(facts["classes"]),
            arrays["train_images"],
            arrays["train_labels"],
            arrays["test_images"],
            arrays["test_labels"],
            tuple(facts["mean"]),
            tuple(facts["std"]),
            entry.hashes,
            int(facts.get("shaped_by_alpha", 0)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Small, without the names of all images; and whoever gets it reads what was found here.
        found = self.content or ("_index" in self.__dict__ and self._content) or None
        return type(self), (self.data, self.image_size, found, self.reading)

    @property
    def _content(self) -> Content:
        return self.content or self._found

    @cached_property
    def _found(self) -> Content:
        return Content(self._index.content_hash(self.reading), self._index.classes)

    @property
    def _cached(self) -> str:
        return f"images-{self.content_hash()}-{self.image_size}"

    @cached_property
    def _index(self) -> Index:
        """Reading an archive takes seconds, so its index is kept by the archive's own hash."""
        if not self.path.is_file():
            return scan(self.path)
        with remembered_hashes(self.path) as hashes:
            name = f"index-{hashes.of_archive(self.path)}"
        index = _stored_index(cache.load_json(name))
        if index is None:
            index = scan(self.path)
            cache.store_json(name, {**asdict(index), "reading": READING})
        return index

    def _decode(self, watch: Watch | None) -> None:
        """Write the arrays to the cache. Reads again: a source may be larger than memory."""
        index, size = self._index, self.image_size
        self._refuse_others(index)
        label_of_class = {name: label for label, name in enumerate(index.classes)}
        marks: dict[str, str] = {}
        shaped = 0
        unreadable = Unreadable(str(self.path))
        with cache.new_arrays(self._cached) as draft:
            rows: dict[str, tuple[cache.Rows, int]] = {}
            for split in SPLITS:
                names = index.of(split)
                pixels = draft.allocate(f"{split}_images", (len(names), size, size, 3))
                rows.update({name: (pixels, row) for row, name in enumerate(names)})
                labels = [label_of_class[name.split("/")[1]] for name in names]
                draft.arrays[f"{split}_labels"] = np.array(labels, dtype=np.int64)
            for member in read_members(self.path):
                if member.read is None or member.name not in rows:
                    continue
                data = member.read()
                marks[member.name] = marked(data)
                pixels, row = rows[member.name]
                with unreadable.noting(member.name):
                    decoded = decode_image(data, size, self.reading)
                    shaped += decoded.shaped_by_alpha
                    pixels.put(row, decoded.pixels)
                if watch is not None:
                    watch(len(marks), len(rows))
            self._refuse_others(_index_of(marks))
            unreadable.refuse()
            mean, std = channel_statistics(draft.rows["train_images"].read())
            draft.facts.update(classes=index.classes, mean=mean, std=std, shaped_by_alpha=shaped)

    def _refuse_others(self, found: Index) -> None:
        """Raise unless these are the images that this dataset stands for."""
        content_hash = found.content_hash(self.reading)
        if content_hash != self.content_hash():
            raise DataChangedError(
                f"{self.path}: has changed since it was looked at (content {content_hash[:8]}, not "
                f"{self.content_hash()[:8]}): bring the images back, or start again with those that are there"
            )


def scan(path: Path) -> Index:
    """Read every image once, without decoding it; of a folder those that changed since the last time.

    Raises:
        DataError: the source cannot be read, has files that are named as images and are none, or has not
            the same classes in train and test, each with at least one image.
    """
    marks: dict[str, str] = {}
    passed: Counter[str] = Counter()
    unreadable = Unreadable(str(path))
    folders: set[str] = set()
    with remembered_hashes(path) as remembered:
        for member in read_members(path, passed):
            folders.add("/".join(member.name.split("/")[:2]))
            if member.name in marks:
                raise DataError(f"{path}: has {member.name!r} twice; pack it again")
            if member.read is not None:
                mark = partial(_marked_image, member.read, member.name, unreadable)
                marks[member.name] = remembered.of_member(member, mark)
        # In here: what is refused is not remembered as an image.
        unreadable.refuse()
    _check_classes(path, folders, marks)
    return replace(_index_of(marks), passed=dict(passed))


def marked(data: bytes) -> str:
    """What a file is: the SHA-256 of its bytes, and behind a `/` how EXIF says that its image is turned."""
    turned = orientation_in(data)
    return hashlib.sha256(data).hexdigest() + (f"{TURNED}{turned}" if turned > 1 else "")


def _marked_image(read: Callable[[], bytes], name: str, unreadable: Unreadable) -> str:
    """What a file is; by its first bytes it is an image, or noted as none."""
    data = read()
    with unreadable.noting(name):
        check_kind(data)
    return marked(data)


def _index_of(marks: dict[str, str]) -> Index:
    names = tuple(sorted(marks))
    return Index(names, tuple(marks[name] for name in names))


def _check_classes(path: Path, folders: set[str], names: dict[str, str]) -> None:
    """Raise unless train and test have the same classes, each with an image."""
    if not names:
        raise DataError(f"{path}: no image where one is expected; {LAYOUT}")
    classes = {
        split: {f.split("/")[1] for f in folders if f.startswith(f"{split}/")} for split in SPLITS
    }
    for split, other in (SPLITS, SPLITS[::-1]):
        if not classes[split]:
            raise DataError(f"{path}: has no {split}/; {LAYOUT}")
        if lone := sorted(classes[other] - classes[split]):
            raise DataError(f"{path}: class {lone[0]!r} is in {other}/ only; both need every class")
    if empty := sorted(folders - {name.rpartition("/")[0] for name in names}):
        raise DataError(f"{path}: {empty[0]!r} has no image; add some or remove the class")


def _stored_index(value: Any) -> Index | None:
    """The index in a JSON value from the cache, None if it is not one."""
    try:
        names, marks = tuple(value["names"]), tuple(value["marks"])
        sound = bool(names) and all(isinstance(n, str) and n.count("/") == 2 for n in names)
        sound = sound and len(names) == len(marks) and all(isinstance(m, str) for m in marks)
        sound = sound and value["reading"] == READING
        passed = {str(kind): int(count) for kind, count in value["passed"].items()}
        return Index(names, marks, passed) if sound else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
