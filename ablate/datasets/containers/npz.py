"""Arrays of images in a `.npz`, as MedMNIST's: `train_images` and `train_labels`, and so for val and test.

An image is handed on as the bytes of a PGM or PPM file, the plainest there is. No pickle is ever read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.containers.member import RawMember
from ablate.datasets.layouts.parts import part_of
from ablate.errors import DataError

IMAGES, LABELS = "_images", "_labels"
ARRAY = ".npy"


def begins_so(head: bytes) -> bool:
    """Whether a file may be one, by its first bytes: a zip whose first member is an array.

    Source: PKWARE's APPNOTE, 4.3.7.
    """
    length = int.from_bytes(head[26:28], "little")
    return head.startswith(b"PK\x03\x04") and head[30 : 30 + length].endswith(ARRAY.encode())


def is_npz(path: Path) -> bool:
    """Whether a zip has arrays and nothing else, whatever it is called."""
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(ARRAY) for name in archive.namelist())


def members(path: Path) -> Iterator[RawMember]:
    """`train/<label>/<row>`, image by image: an array may be larger than memory.

    Raises:
        DataError: no such arrays, or arrays of another kind.
    """
    with zipfile.ZipFile(path) as archive:
        arrays = {name.removesuffix(ARRAY) for name in archive.namelist()}
        stems = [name.removesuffix(IMAGES) for name in sorted(arrays) if name.endswith(IMAGES)]
        parts = [stem for stem in stems if part_of(stem)]
        if not parts or not any(f"{stem}{LABELS}" in arrays for stem in parts):
            raise DataError(
                f"{path}: has the arrays {', '.join(sorted(arrays)[:8])}; needs train_images, train_labels, "
                "test_images and test_labels"
            )
        if without := [stem for stem in parts if f"{stem}{LABELS}" not in arrays]:
            raise DataError(
                f"{path}: has {without[0]}{IMAGES} and no {without[0]}{LABELS}; add them, or remove those "
                "images"
            )
        labels = {part: _labels(path, archive, part) for part in parts}
        digits = len(str(max(int(found.max(initial=0)) for found in labels.values())))
        for part, found in labels.items():
            yield from _images(path, archive, part, [f"{label:0{digits}}" for label in found])


def _labels(path: Path, archive: zipfile.ZipFile, part: str) -> NDArray[np.int64]:
    with archive.open(f"{part}{LABELS}.npy") as file:
        found = np.lib.format.read_array(file, allow_pickle=False)
    flat = found.reshape(len(found), -1) if found.ndim else found.reshape(0, 0)
    if flat.shape[1] != 1 or flat.dtype.kind not in "iu" or flat.min(initial=0) < 0:
        raise DataError(
            f"{path}: {part}{LABELS} is {found.dtype} of shape {found.shape}; each image needs one label, a "
            "whole number from 0"
        )
    return flat[:, 0].astype(np.int64)


def _images(
    path: Path, archive: zipfile.ZipFile, part: str, labels: list[str]
) -> Iterator[RawMember]:
    with archive.open(f"{part}{IMAGES}.npy") as file:
        shape = _shape(path, file, f"{part}{IMAGES}", len(labels))
        height, width, *channels = shape[1:]
        head = f"{'P6' if channels == [3] else 'P5'} {width} {height} 255\n".encode()
        size = height * width * (3 if channels == [3] else 1)
        digits = len(str(len(labels)))
        for row, label in enumerate(labels):
            data = file.read(size)
            if len(data) != size:
                raise EOFError(f"{part}{IMAGES} ends at image {row:,}")

            def read(count: int, data: bytes = data) -> bytes:
                whole = head + data
                return whole if count < 0 else whole[:count]

            suffix = "ppm" if channels == [3] else "pgm"
            yield RawMember(f"{part}/{label}/{row:0{digits}}.{suffix}", False, True, read, size)


def _shape(path: Path, file: IO[bytes], name: str, count: int) -> tuple[int, ...]:
    """Raise unless it is an array of as many images of 8 bits, row by row."""
    version = np.lib.format.read_magic(file)
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, by_columns, dtype = reader(file)
    sound = dtype == np.uint8 and not by_columns and shape[:1] == (count,)
    if not sound or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise DataError(
            f"{path}: {name} is {dtype} of shape {shape}; needs uint8 of shape ({count}, H, W), "
            f"({count}, H, W, 1) or ({count}, H, W, 3), in C order"
        )
    return tuple(shape)
