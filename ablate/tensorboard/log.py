"""The event file of one run: what is in it, and what comes behind that. Nothing is written over."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import metadata

from ablate.errors import OutputError
from ablate.store.reading.follow import FollowedRun
from ablate.system.files.all_or_none import made_folder
from ablate.system.files.inside import inside
from ablate.tensorboard.events import decode, encode

FILE = "events.out.tfevents.ablate"
EPOCH_TAG, STEP_TAG = "Train/Epoch_Loss", "Train/Batch_Loss"
PICTURES, WEIGHTS = "Attention/", "weights/"
LONGEST = 100


@dataclass
class Written:
    """What an event file has: the training loss of each epoch, the last step, the last step with
    histograms, and whether there are a start with HParams, pictures, a graph and an end.
    """

    epochs: dict[int, float] = field(default_factory=dict)
    step: int = 0
    histograms: int = 0
    started: bool = False
    pictures: bool = False
    graph: bool = False
    ended: bool = False

    def see(self, event: Event) -> None:
        self.graph |= event.HasField("graph_def")
        for value in event.summary.value:
            if value.tag == EPOCH_TAG:
                self.epochs[event.step] = value.simple_value
            elif value.tag == STEP_TAG:
                self.step = max(self.step, event.step)
            elif value.tag.startswith(WEIGHTS):
                self.histograms = max(self.histograms, event.step)
            self.pictures |= value.tag.startswith(PICTURES)
            self.started |= value.tag == metadata.SESSION_START_INFO_TAG
            self.ended |= value.tag == metadata.SESSION_END_INFO_TAG

    def agrees(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the database still says what was written: a run that began anew, elsewhere, may
        have other numbers.
        """
        return all(
            np.float32(self.epochs[row["epoch"]]) == np.float32(row["train_loss"])
            for row in epochs
            if row["epoch"] in self.epochs
        )


@dataclass
class Log:
    """One event file, and what it has."""

    folder: Path
    written: Written = field(default_factory=Written)

    @property
    def file(self) -> Path:
        return self.folder / FILE

    def append(self, events: Iterable[Event]) -> None:
        """Put events behind those that are there, in one write.

        Raises:
            OutputError: they cannot be written; none of them is there.
        """
        listed = list(events)
        if not listed:
            return
        try:
            with made_folder(self.folder):
                _append(self.file, encode(listed))
        except OSError as error:
            raise OutputError(f"{self.file}: cannot be written: {error.strerror}") from None
        for event in listed:
            self.written.see(event)


def open_log(base: Path, epochs: Sequence[Mapping[str, Any]]) -> Log:
    """The log that a run continues: in the folder `base`, or in `base-2`, `base-3`, … where that
    is taken by something else or by an earlier life of the run with other numbers.

    Raises:
        OutputError: a file there cannot be read.
    """
    folders = iter(_siblings(base))
    while True:
        folder = next(folders)
        log = Log(inside(folder.parent, folder.name))
        inside(log.folder, FILE)
        if not log.folder.exists():
            return log
        if log.file.exists():
            log.written = _read(log.file)
            if log.written.agrees(epochs):
                return log


def remove_logs(base: Path) -> None:
    """Delete the event files that were written for a run, and the folders that are empty then."""
    for folder in itertools.takewhile(Path.exists, _siblings(base)):
        inside(folder.parent, folder.name)
        try:
            (folder / FILE).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
        except OSError as error:
            raise OutputError(f"{folder}: cannot be rebuilt: {error.strerror}") from None


def remove_study_logs(logdir: Path, study: str) -> int:
    """Delete the event files that were written for a study, and the folders that are empty then; returns how
    many files. Links are left alone, and so is what is nobody's of ours.

    Raises:
        DatabaseError: a link in the place of the study's folder.
        OutputError: one of them cannot be deleted.
    """
    folder, removed = inside(logdir, study), 0
    try:
        for path, _, files in os.walk(folder, topdown=False):
            if FILE in files:
                (Path(path) / FILE).unlink()
                removed += 1
            if not any(Path(path).iterdir()):
                Path(path).rmdir()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be removed: {error.strerror}") from None
    return removed


def run_folder(logdir: Path, run: FollowedRun) -> Path:
    """`study/variant/seed-1-<run key>`, in characters that every file system and shell takes.

    The run key keeps variants apart whose names differ in other characters only.

    Raises:
        DatabaseError: a study or a run key that would lead elsewhere, or a link on the way.
    """
    fold = "" if run.fold is None else f"fold-{run.fold}-"
    return inside(logdir, run.study, safe(run.variant), f"seed-{run.seed}-{fold}{run.run_key}")


def safe(name: str) -> str:
    """`cbam(pool*, r=16, k=7)` → `cbam-poolX-r=16-k=7`; `pool1+pool3` → `pool1_pool3`."""
    plain = name.replace("*", "X").replace("+", "_")
    return re.sub(r"[^A-Za-z0-9_.=]+", "-", plain).strip("-.")[:LONGEST] or "variant"


def _append(path: Path, content: bytes) -> None:
    """Write behind what is there; where that fails the file is as it was, and one that was made is gone."""
    there = path.exists()
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
        except BaseException:
            os.truncate(path, end)
            if not there:
                path.unlink(missing_ok=True)
            raise


def _siblings(base: Path) -> Iterable[Path]:
    yield base
    yield from (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))


def _read(file: Path) -> Written:
    """What a file has; half of an event at its end, which a killed process left, is cut off."""
    try:
        content = file.read_bytes()
        events, end = decode(content)
        if end < len(content):
            os.truncate(file, end)
    except OSError as error:
        raise OutputError(f"{file}: cannot be read: {error.strerror}") from None
    written = Written()
    for event in events:
        written.see(event)
    return written
