"""Images in a Parquet file, as Hugging Face's: a column of encoded images and one of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.datasets.containers.member import RawMember, row_name
from ablate.datasets.layouts.parts import folder_name
from ablate.errors import DataError

ROWS = 64
"""Read at a time."""
IMAGES = ("image", "img", "pixels", "jpg", "png")
LABELS = ("label", "labels", "fine_label", "class", "target")


def members(path: Path) -> Iterator[RawMember]:
    """`<class>/<row>`, row by row: what the file is called is nothing of its content.

    Raises:
        DataError: pyarrow is missing or cannot read it, or a column that is needed is not there.
    """
    pyarrow, parquet = _pyarrow(path)
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        image, label = _column(path, schema, IMAGES), _column(path, schema, LABELS)
        names = _class_names(schema.metadata or {}, label)
        at = 0
        for batch in file.iter_batches(batch_size=ROWS, columns=[image, label]):
            for row in batch.to_pylist():
                yield _member(path, at, row[image], row[label], names)
                at += 1
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def _pyarrow(path: Path) -> tuple[Any, Any]:
    """Loaded for these files alone."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet files are read by pyarrow, which is not here; pip install pyarrow"
        ) from error
    return pyarrow, parquet


def _column(path: Path, schema: Any, wanted: tuple[str, ...]) -> str:
    found = [name for name in wanted if name in schema.names]
    if not found:
        raise DataError(
            f"{path}: has the columns {', '.join(schema.names[:12])}; needs one of {', '.join(wanted)}"
        )
    return found[0]


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str]:
    """Those of a `ClassLabel`; empty where the file has none.

    Source: Hugging Face datasets, `Features.arrow_schema`, which keeps them as JSON.
    """
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _member(path: Path, at: int, image: Any, label: Any, names: list[str]) -> RawMember:
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise DataError(f"{path}: row {at:,} has no bytes of an image; store images in the file")
    known = names[label] if names and isinstance(label, int) and 0 <= label < len(names) else label
    if known is None or (names and known is label and isinstance(label, int)):
        raise DataError(
            f"{path}: row {at:,} has the label {label!r}, which is no class; leave it out"
        )

    def read(count: int) -> bytes:
        return data if count < 0 else data[:count]

    name = row_name(folder_name(str(known)), at)
    return RawMember(name, False, True, read, len(data), row=at)
