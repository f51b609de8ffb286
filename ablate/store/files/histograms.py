"""Histograms of weights and gradients: files in `histograms/` beside the database, for TensorBoard.

No result depends on them, so no row names them, and the folder may be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ablate.errors import DatabaseError, NotKeptError
from ablate.result import Histograms
from ablate.store.connection.address import files_folder
from ablate.store.files.stored import read_beside, store_file
from ablate.system.files.inside import inside


def histogram_folder(url: str, run_key: str) -> Path:
    """Where the histograms of a run lie.

    Raises:
        DatabaseError: a run key that leads elsewhere, or a link there.
    """
    return inside(files_folder(url), "histograms", run_key)


def write_histograms(url: str, run_key: str, histograms: Histograms) -> None:
    """Write the histograms of one epoch of a run.

    Raises:
        NotKeptError: the file cannot be written; nothing is left behind.
    """
    path = histogram_folder(url, run_key) / f"{histograms.epoch}-{histograms.step}.npz"
    try:
        store_file(path, histograms.content)
    except DatabaseError as error:
        raise NotKeptError(_one_clause(path.parent, error.__context__ or error)) from None


def forget_histograms(url: str, run_key: str, after: int) -> None:
    """Delete those of epochs that come after an epoch: they will be trained again.

    Raises:
        NotKeptError: they cannot be deleted.
    """
    try:
        for histograms, path in _files(url, run_key):
            if histograms[0] > after:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise NotKeptError(_one_clause(histogram_folder(url, run_key), error)) from None


def stored_steps(url: str, run_key: str) -> list[tuple[int, int]]:
    """The (epoch, step) pairs that a run has histograms of, in order."""
    return [key for key, _ in _files(url, run_key)]


def read_histograms(url: str, run_key: str, epoch: int, step: int) -> bytes | None:
    """What `write_histograms` wrote; None where it is gone."""
    try:
        return read_beside(inside(histogram_folder(url, run_key), f"{epoch}-{step}.npz"))
    except OSError:
        return None


def _one_clause(folder: Path, error: BaseException) -> str:
    """The same for every file of a run, so that it is said once."""
    return f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}"


def _files(url: str, run_key: str) -> Iterator[tuple[tuple[int, int], Path]]:
    found = []
    for path in histogram_folder(url, run_key).glob("*.npz"):
        epoch, _, step = path.stem.partition("-")
        if epoch.isdecimal() and step.isdecimal():
            found.append(((int(epoch), int(step)), path))
    yield from sorted(found)
