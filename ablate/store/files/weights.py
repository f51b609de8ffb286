"""Trained weights, in files beside the database that rows name, checked by hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from sqlalchemy import Connection, func, select, update

from ablate.errors import WeightsError
from ablate.result import Kept
from ablate.store import schema
from ablate.store.files.beside import Files, files_of
from ablate.store.reading.runs import StoredRun
from ablate.store.statements import put
from ablate.system.messages.text import seed_and_fold

_NAME = re.compile(r"[0-9a-f]{16}\.safetensors")


def weights_file(run_key: str) -> str:
    """What the file of a run's weights is called, when it is written."""
    return f"{run_key}.safetensors"


def weights_files(url: str) -> Files:
    """Where the weights of a database lie."""
    return files_of(url, "weights")


def checked_weights(file: str) -> str:
    """The name of a file of weights, as a row has it.

    Raises:
        WeightsError: no name that ablate gives: it must not lead out of the folder.
    """
    if not _NAME.fullmatch(file):
        raise WeightsError(f"{file!r}: the database names weights as ablate does not")
    return file


def keep(connection: Connection, url: str, run_key: str, kept: Kept) -> None:
    """Store what is kept of a run, in the transaction that accepts its result.

    The file is written while that transaction is open: an attempt that lost its claim never gets
    here, and a process that is killed here leaves a run that is trained again.
    """
    if kept.weights is not None:
        file = weights_file(run_key)
        named = {"weights_file": file, "weights_sha256": write_weights(url, file, kept.weights)}
        mine = schema.runs.c.run_key == run_key
        connection.execute(update(schema.runs).where(mine).values(**named))
    if kept.snapshot is not None:
        row = {"run_key": run_key, "content": kept.snapshot}
        put(connection, schema.explanations, [row])


def forget_all_but_best(connection: Connection, study: str, run_key: str) -> list[str]:
    """Of all runs that a study has of this one's network under its setting, let those have no weights that
    are not the best by validation accuracy, the first seed of equals; returns the files to delete once that
    is committed. What another study names stays.
    """
    runs, cells = schema.runs, schema.cells
    same = _of_same_network(connection, study, run_key)
    kept = runs.c.run_key.in_(same) & runs.c.weights_file.is_not(None)
    order = func.coalesce(runs.c.val_accuracy, -1).desc(), runs.c.seed, runs.c.fold
    found = connection.execute(
        select(runs.c.run_key, runs.c.weights_file).where(kept).order_by(*order)
    )
    worse = {row.run_key: str(row.weights_file) for row in found.all()[1:]}
    elsewhere = select(cells.c.run_key).where(cells.c.run_key.in_(worse), cells.c.study != study)
    for key in set(connection.scalars(elsewhere)):
        del worse[key]
    none = {"weights_file": None, "weights_sha256": None}
    connection.execute(update(runs).where(runs.c.run_key.in_(worse)).values(**none))
    return list(worse.values())


def _of_same_network(connection: Connection, study: str, run_key: str) -> list[str]:
    """All runs of a study that differ from this one by seed or fold alone, whoever trains them."""
    runs, cells = schema.runs, schema.cells
    network = cells.c.dataset_hash, cells.c.setting, runs.c.fingerprint
    of_study = select(cells.c.run_key, *network).join(runs).where(cells.c.study == study)
    [here] = connection.execute(of_study.where(cells.c.run_key == run_key)).all()
    alike = (column == value for column, value in zip(network, here[1:], strict=True))
    return list(connection.scalars(of_study.where(*alike)))


def remove_weights(url: str, files: Iterable[str]) -> None:
    """Delete files of weights that no row names any more."""
    weights_files(url).remove(map(checked_weights, files))


def write_weights(url: str, file: str, content: bytes) -> str:
    """Write weights; returns their SHA-256.

    Raises:
        DatabaseError: the file cannot be written; nothing is left behind.
    """
    weights_files(url).write(checked_weights(file), content)
    return hashlib.sha256(content).hexdigest()


def read_weights(url: str, run: StoredRun) -> bytes:
    """The weights of a stored run, those that it ended with and no others.

    Raises:
        WeightsError: none were kept, or the file is missing or has changed.
    """
    if run.weights_sha256 is None or run.weights_file is None:
        which = f"{run.variant}, {seed_and_fold(run.seed, run.fold)} ({run.run_key}, {run.status})"
        raise WeightsError(
            f"{which}: has no stored weights; `ablate run --keep` says of which seeds they are kept when a "
            "run finishes; of seed 1 unless set"
        )
    files, name = weights_files(url), checked_weights(run.weights_file)
    path = files.place(name)
    try:
        content = files.read(name)
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
