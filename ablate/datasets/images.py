"""`images`: anybody's pictures, in a folder or an archive, in one of the layouts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ablate.datasets import cache
from ablate.datasets.archive import clear_errors, label_of, read_members, tree_of
from ablate.datasets.base import Dataset, Images, Watch, statistics_of
from ablate.datasets.containers import archive_suffix, nested_in
from ablate.datasets.containers.folder import folder_members
from ablate.datasets.decode import Unreadable
from ablate.datasets.filling import Filled, Filling
from ablate.datasets.index import Index, index_of, scan, stored_index
from ablate.datasets.layouts import AS_IT_LIES, Asked, arrange
from ablate.datasets.layouts.parts import PARTS, TEST, TRAIN, VALIDATION
from ablate.datasets.remembered import remembered_hashes
from ablate.datasets.repeats import Scanned
from ablate.datasets.together import Source, decoded
from ablate.datasets.workers import decoders
from ablate.errors import DataChangedError, DataError
from ablate.pixels.geometry import USUAL, Reading
from ablate.study import DataTable
from ablate.system.files.folders import cache_folder
from ablate.system.files.state import REHASH

OPTIONAL = ("val_images", "val_labels", "train_groups", "train_folds")
"""Arrays that only some sources have."""


@dataclass(frozen=True)
class Content:
    """What a source was found to have: the hash of its images, and its classes."""

    content_hash: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ImageFiles(Dataset):
    """Image files in one of the layouts, brought to `image_size` once and cached as arrays; `asked` says of
    the layout what a study says, `reading` how files become arrays.

    With `content` it stands for those images and no others, whatever lies at `data` by then.
    """

    data: Path | None
    image_size: int
    content: Content | None = None
    asked: Asked = AS_IT_LIES
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

    def with_table(self, table: DataTable) -> Self:
        asked = Asked(table.test, table.test_fraction, table.labels, table.group, table.folds)
        return replace(self, asked=asked, reading=Reading.of(table))

    def pinned(self) -> Self:
        pinned = replace(self, content=self._content)
        if "_index" in self.__dict__:  # what was read need not be read again
            pinned.__dict__["_index"] = self._index
        return pinned

    def train_labels(self) -> NDArray[np.int64]:
        return self._index.labels(TRAIN)

    def val_labels(self) -> NDArray[np.int64] | None:
        return self._index.labels(VALIDATION) if self.has_validation() else None

    def test_labels(self) -> NDArray[np.int64]:
        return self._index.labels(TEST)

    def scanned(self) -> Scanned:
        return self._index.scanned()

    def train_groups(self) -> NDArray[np.int64] | None:
        return self._index.train_groups()

    def train_folds(self) -> NDArray[np.int64] | None:
        return self._index.train_folds()

    def test_count(self) -> int:
        return len(self._index.of(TRAIN if self.asked.folds is not None else TEST))

    def cache_entry(self) -> str:
        return self._cached

    def has_validation(self) -> bool:
        return bool(self._index.of(VALIDATION))

    def notes(self) -> tuple[str, ...]:
        return self._index.told

    def load(self, watch: Watch | None = None) -> Images:
        entry = cache.load_arrays(self._cached)
        if entry is None:
            written = self._decode(watch)
            entry = cache.load_arrays(self._cached, written=written)
        if entry is None:
            raise DataError(f"{self.path}: its entry in {cache_folder()} vanished; start again")
        arrays, facts = entry.arrays, entry.facts
        optional: dict[str, Any] = {name: arrays[name] for name in OPTIONAL if name in arrays}
        none = np.empty((0, self.image_size, self.image_size, 3), dtype=np.uint8)
        return Images(
            self.label,
            tuple(facts["classes"]),
            arrays["train_images"],
            arrays["train_labels"],
            arrays.get("test_images", none),  # with folds all images are to train on
            arrays.get("test_labels", np.empty(0, dtype=np.int64)),
            tuple(facts["mean"]),
            tuple(facts["std"]),
            entry.hashes,
            **optional,
            shaped_by_alpha=int(facts.get("shaped_by_alpha", 0)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Small, without the names of all images; and whoever gets it reads what was found here.
        found = self.content or ("_index" in self.__dict__ and self._content) or None
        return type(self), (self.data, self.image_size, found, self.asked, self.reading)

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
        name = self._kept_index()
        again = name is None or bool(os.environ.get(REHASH))
        index = None if again else stored_index(cache.load_json(str(name)))
        if index is None:
            index = scan(self.path, self.asked)
            # Not where it was replaced while it was read.
            if name is not None and self._kept_index() == name:
                cache.store_json(name, index.document())
        return index

    def _kept_index(self) -> str | None:
        """The name under which the index of an archive, or of a folder with archives in it, is kept; None
        for a folder of images, whose files are remembered one by one, and while one beside archives may yet
        change without showing it.
        """
        archives = nested_in(self.path) if self.path.is_dir() else [self.path]
        if not archives:
            return None
        if not (self.path.is_file() or self.path.is_dir()):
            return None  # missing, or endless as a device is: whoever reads it says so
        hashes = [_hash_of(path) for path in archives]
        asked = {k: v for k, v in asdict(self.asked).items() if v != getattr(AS_IT_LIES, k)}
        if self.path.is_file() and not asked:
            return f"index-{hashes[0]}"
        beside = _states_beside(self.path) if self.path.is_dir() else []
        if beside is None:
            return None
        return f"index-{hashlib.sha256(json.dumps([hashes, asked, beside]).encode()).hexdigest()}"

    def _decode(self, watch: Watch | None) -> cache.Draft:
        """Write the arrays to the cache. Reads again: a source may be larger than memory."""
        index, size = self._index, self.image_size
        self._refuse_others(index)
        with cache.new_arrays(self._cached) as draft:
            for part in (part for part in PARTS if index.of(part)):
                count = len(index.of(part))
                draft.allocate(f"{part}_images", (count, size, size, 3))
                draft.arrays[f"{part}_labels"] = index.labels(part)
            if (groups := index.train_groups()) is not None:
                draft.arrays["train_groups"] = groups
            if (folds := index.train_folds()) is not None:
                draft.arrays["train_folds"] = folds
            filled = self._fill(draft, watch)
            mean, std = statistics_of(filled.counts)
            facts = {"mean": mean, "std": std, "shaped_by_alpha": filled.shaped_by_alpha}
            draft.facts.update(classes=index.classes, **facts)
        return draft

    def _fill(self, draft: cache.Draft, watch: Watch | None) -> Filled:
        """Decode each image into its row.

        Raises:
            DataChangedError: they are others than those of the index.
            DataError: some cannot be read; names them.
            DecodingError: a process that decodes was lost.
            OutputError: the cache folder cannot be written.
        """
        index, unreadable = self._index, Unreadable(str(self.path))
        files = partial(self._files, index)
        with Filling(draft, {part: index.of(part) for part in PARTS}) as filling:
            with decoders(len(index.names)) as found:
                for names, reply in decoded(files(filling), found, self.image_size, self.reading):
                    filling.add(names, reply, self.path, unreadable)
                    if watch is not None:
                        watch(len(filling.marks), len(index.names))
            groups = dict(zip(index.names, index.groups, strict=False))
            self._refuse_others(index_of(filling.marks, groups))
            unreadable.refuse()
            return filling.finished()

    def _files(self, index: Index, filling: Filling) -> Iterator[Source]:
        """Each image of the index with its row. A file of its own is read by whoever decodes it."""
        final = index.final()
        for member in read_members(self.path, arrange(tree_of(self.path), self.asked)):
            if member.name in final:
                name = final[member.name]
                found = member.file if member.file is not None else member.read()
                yield Source(name, member.size, filling.wanted(name, found))

    def _refuse_others(self, found: Index) -> None:
        """Raise unless these are the images that this dataset stands for."""
        content_hash = found.content_hash(self.reading)
        if content_hash != self.content_hash():
            raise DataChangedError(
                f"{self.path}: has changed since it was looked at (content {content_hash[:8]}, not "
                f"{self.content_hash()[:8]}): bring the images back, or start again with those that are there"
            )


def _hash_of(path: Path) -> str:
    """The SHA-256 of an archive.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with remembered_hashes(path) as hashes:
            return hashes.of_archive(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _states_beside(folder: Path) -> list[Any] | None:
    """All that lies in a folder beside the archives of its parts, found as by who reads it; None where a file
    was written a moment ago.

    Raises:
        DataError: a link to nothing, or a file that is gone meanwhile.
    """
    found: list[Any] = []
    at_ns = time.time_ns()
    with clear_errors(folder):
        for member in folder_members(folder, archive_suffix, None):
            state = None if member.is_link else member.state()
            if state is not None and not state.is_settled(at_ns):
                return None
            found.append([member.name, *(state or ())])
    return found
