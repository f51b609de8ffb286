"""The same few images in every layout and container that is read."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

CLASSES = ("cat", "dog")
SIDE = 16


def pixels(seed: int, label: int) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).integers(0, 100, (SIDE, SIDE, 3), dtype=np.uint8)
    values[..., 2 * label] += 150
    return values


def encoded(seed: int, label: int, kind: str = "PNG") -> bytes:
    Image.fromarray(pixels(seed, label)).save(data := io.BytesIO(), kind)
    return data.getvalue()


def files(**parts: int) -> dict[str, bytes]:
    """`train=4`: four images of each class in train/<class>/."""
    return {
        f"{part}/{name}/{number:03}.png": encoded(100 * at + number, label)
        for at, (part, count) in enumerate(parts.items())
        for label, name in enumerate(CLASSES)
        for number in range(count)
    }


def write(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as out:
        for name, data in content.items():
            out.writestr(name, data)
    return path


def tarred(path: Path, content: dict[str, bytes]) -> Path:
    """Compressed as its suffix says."""
    data = io.BytesIO()
    kind = path.suffix.removeprefix(".").replace("tgz", "gz")
    with tarfile.open(
        fileobj=data, mode=f"w:{kind}" if kind in ("gz", "xz", "bz2") else "w"
    ) as out:
        for name, content_of in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(content_of)
            out.addfile(info, io.BytesIO(content_of))
    whole = data.getvalue()
    path.write_bytes(pa.compress(whole, "zstd", asbytes=True) if kind == "zst" else whole)
    return path


def npz(path: Path, *, grey: bool = False, **parts: int) -> Path:
    arrays = {}
    for at, (part, count) in enumerate(parts.items()):
        labels = np.arange(2 * count, dtype=np.uint8) % 2
        images = np.stack([pixels(100 * at + i, int(label)) for i, label in enumerate(labels)])
        arrays[f"{part}_images"] = images[..., 0] if grey else images
        arrays[f"{part}_labels"] = labels[:, None]
    np.savez_compressed(path, **arrays)
    return path


def parquet_file(path: Path, count: int, *, named: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(encoded(i, i % 2), i % 2) for i in range(2 * count)]
    table = pa.table(
        {
            "image": [{"bytes": data, "path": None} for data, _ in rows],
            "label": [label for _, label in rows],
        }
    )
    features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if named else {}
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def table_rows(content: dict[str, bytes], line: Callable[[str, str, str], str]) -> str:
    """A line of a table for each of `train/cat/001.png`."""
    return "".join(line(*name.split("/")) + "\n" for name in content)


def flat(content: dict[str, bytes]) -> dict[str, bytes]:
    """All images in one folder."""
    return {f"images/{name.replace('/', '-')}": data for name, data in content.items()}
