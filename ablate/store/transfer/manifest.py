"""The list of an export's files with their hashes, and what is checked before anything is believed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablate.errors import DataError
from ablate.store import schema
from ablate.store.connection.revisions import HEAD, RETIRED_TABLES, REVISIONS
from ablate.store.transfer.formats import MOST_BYTES
from ablate.store.views import NOT_EXPORTED, VIEWS

MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 2**20
MOST_ROWS = 10**9
TABLES = tuple(t for t in schema.metadata.sorted_tables if t is not schema.checkpoints)
"""What is needed to build the database again, parents first. Checkpoints are files that stay behind."""
EXPORTED_VIEWS = tuple(view for view in VIEWS if view not in NOT_EXPORTED)


class FileEntry(BaseModel):
    """One file of an export."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int = Field(ge=0, le=MOST_ROWS)
    bytes: int = Field(ge=0, le=MOST_BYTES)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What an export consists of. `study` is None for a whole database."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["ablate-export"]
    version: Literal[1]
    format: Literal["csv", "parquet", "jsonl"]
    revision: str = Field(pattern=r"^[0-9a-z]{1,16}$")
    study: str | None
    exported_at: str
    database: str
    provenance: dict[str, Any]
    notes: list[str]
    files: dict[str, FileEntry]


def file_of_view(view: str, format: str) -> str:
    """Where an export has a view."""
    return f"{view}.{format}"


def file_of_table(table: str, format: str) -> str:
    """Where an export has a table, for `ablate import`."""
    return f"tables/{table}.{format}"


def describe_file(path: Path, rows: int) -> FileEntry:
    """What the manifest says of a file."""
    return FileEntry(rows=rows, bytes=path.stat().st_size, sha256=_sha256(path))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an export whose files are all there, as they were written.

    Raises:
        DataError: no export, of a newer version, incomplete, changed or beyond the caps.
    """
    manifest = _parse(folder)
    if manifest.revision not in REVISIONS:
        raise DataError(
            f"{folder}: exported by a newer ablate (revision {manifest.revision}; this one knows "
            f"{HEAD}): update ablate"
        )
    views = {file_of_view(view, manifest.format) for view in EXPORTED_VIEWS}
    tables = {file_of_table(table.name, manifest.format) for table in TABLES}
    needed = tables if manifest.revision == HEAD else set()
    tables |= {
        file_of_table(name, manifest.format)
        for name, until in RETIRED_TABLES.items()
        if manifest.revision < until
    }
    if missing := sorted(needed - set(manifest.files)):
        raise DataError(f"{folder / MANIFEST}: does not list {', '.join(missing)}: export again")
    if foreign := sorted(set(manifest.files) - views - tables):
        raise DataError(f"{folder / MANIFEST}: lists {foreign[0][:80]!r}, which no export has")
    for name, entry in manifest.files.items():
        _check(folder / name, entry)
    return manifest


def is_export(folder: Path) -> bool:
    """Whether a folder is an earlier export, so that a new one may take its place."""
    try:
        _parse(folder)
    except DataError:
        return False
    return True


def _parse(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        if not path.is_file() or path.stat().st_size > MOST_MANIFEST_BYTES:
            raise DataError(
                f"{folder}: is no export: it has no {MANIFEST} that `ablate export` wrote"
            )
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: is not what `ablate export` writes ({where + ': ' if where else ''}"
            f"{' '.join(first['msg'].split())})"
        ) from None


def _check(path: Path, entry: FileEntry) -> None:
    try:
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{path}: is missing; copy the whole folder, or export again")
        same = path.stat().st_size == entry.bytes and _sha256(path) == entry.sha256
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not same:
        raise DataError(
            f"{path}: is not the file that was exported (its SHA-256 differs); "
            "copy it again, or export again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
