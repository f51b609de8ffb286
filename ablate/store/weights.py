"""Trained weights, in files beside the database: `weights/<run_key>.safetensors`, checked by hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import Connection, update

from ablate.errors import DatabaseError, WeightsError
from ablate.files import write_whole
from ablate.result import Kept
from ablate.store import schema
from ablate.store.address import files_folder
from ablate.store.read import StoredRun
from ablate.store.rows import put


def weights_path(url: str, run_key: str) -> Path:
    """Where the weights of a run lie."""
    return files_folder(url) / "weights" / f"{run_key}.safetensors"


def keep(connection: Connection, url: str, run_key: str, kept: Kept) -> None:
    """Store what is kept of a run, in the transaction that accepts its result.

    The file is written while that transaction is open: an attempt that lost its claim never gets
    here, and a process that is killed here leaves a run that is trained again.
    """
    sha256 = write_weights(url, run_key, kept.weights)
    mine = schema.runs.c.run_key == run_key
    connection.execute(update(schema.runs).where(mine).values(weights_sha256=sha256))
    row = {"run_key": run_key, "content": kept.snapshot}
    put(connection, schema.explanations, [row])


def write_weights(url: str, run_key: str, content: bytes) -> str:
    """Write the weights of a run; returns their SHA-256.

    Raises:
        DatabaseError: the file cannot be written; nothing is left behind.
    """
    path = weights_path(url, run_key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise DatabaseError(
            f"{path}: cannot be written: {error.strerror or error}. "
            "What was stored before stays: mend that and run again to go on"
        ) from None
    return hashlib.sha256(content).hexdigest()


def read_weights(url: str, run: StoredRun) -> bytes:
    """The weights of a stored run, those that it ended with and no others.

    Raises:
        WeightsError: none were kept, or the file is missing or has changed.
    """
    if run.weights_sha256 is None:
        raise WeightsError(
            f"{run.variant}, seed {run.seed} ({run.run_key}, {run.status}): has no stored weights; "
            "they are kept of finished runs of seed 1"
        )
    path = weights_path(url, run.run_key)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: the weights of {run.variant} cannot be read: {error.strerror or error}; "
            "copy the folder weights/ together with the database"
        ) from None
    if hashlib.sha256(content).hexdigest() != run.weights_sha256:
        raise WeightsError(
            f"{path}: is not what run {run.run_key} ended with (its SHA-256 differs); "
            "restore the file from where the database came from"
        )
    return content
