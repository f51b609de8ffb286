"""kill -9 near the end of a study, when every run that is not finished is under way, with the options of a
command that was given none.

What is chosen once for a device, the kernels of attention, is changed in the database after half of the
kills: the runs that have a checkpoint go on as they were begun all the same.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.drive.options import RunOptions
from ablate.drive.run import run_study
from ablate.execute import local
from ablate.plan import Plan
from ablate.result import Choice
from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.choices import ChoiceKey
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import find_machine
from tests.torture.acknowledged import count_unfinished, query, wait_until
from tests.torture.figures import Figures
from tests.torture.processes import Started, count_tracebacks, outlived, start
from tests.torture.study import keys, make_images, tiny_plan

CHOSEN, ANOTHER = "fused", "plain"


@dataclass(frozen=True)
class _Study:
    """One database of the study, in a folder of its own."""

    plan: Plan
    images: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'results.db'}"

    @property
    def log(self) -> Path:
        return self.folder / "life.log"

    def prepare(self) -> None:
        """A database that knows what was chosen: measured twice, two close kernels may change places."""
        self.folder.mkdir()
        store, machine = Store(self.url), find_machine("cpu", self.plan.study.recipe.precision)
        for attention in ("cbam", "se"):
            key = ChoiceKey(machine.name, machine.precision.name, "kernel", attention)
            store.choices.keep(key, Choice(CHOSEN, "for torture"))
        store.close()

    def choose_another(self) -> None:
        with closing(sqlite3.connect(self.folder / "results.db")) as connection, connection:
            connection.execute("UPDATE choices SET choice = ?", (f'"{ANOTHER}"',))

    def start(self, checkpoint_seconds: float | None) -> Started:
        return start(self.log, _run, self.plan, self.images, self.url, checkpoint_seconds)

    def statuses(self) -> list[str]:
        return [status for (status,) in query(self.url, "SELECT status FROM runs")]

    def saved(self) -> set[str]:
        return {key for (key,) in query(self.url, "SELECT run_key FROM checkpoints")}

    def are_all_under_way(self, *, saved: bool) -> bool:
        """Whether every run that is not finished is trained now, one with an epoch; `saved`: and all of
        them with a checkpoint.
        """
        found = dict(query(self.url, "SELECT run_key, status FROM runs"))
        running = {key for key, status in found.items() if status == "running"}
        if not running or set(found.values()) - {"running", "finished"}:
            return False
        if saved:
            return running <= self.saved()
        return bool(query(self.url, "SELECT 1 FROM epochs LIMIT 1"))

    def outcome(self) -> tuple[list[object], dict[str, bytes]]:
        """The numbers and the weights that the study ended with."""
        weights = {p.name: p.read_bytes() for p in (self.folder / "weights").glob("*.safetensors")}
        results = (
            "SELECT run_key, status, test_accuracy, test_loss, path FROM runs ORDER BY run_key"
        )
        return list(query(self.url, results)), weights


def kill_at_the_end(folder: Path, *, kills: int, epochs: int = 6) -> Figures:
    """Kill a command when nothing is left to begin, start it again, compare with one that had peace."""
    plan, begun = tiny_plan(folder, precision="amp", epochs=epochs), time.monotonic()
    images = make_images(folder)
    peace = _Study(plan, images, folder / "peace")
    peace.prepare()
    _complete(peace.start(None), peace)
    expected = peace.outcome()
    measured: dict[str, float] = dict.fromkeys(
        ("kills", "unequal", "unfinished", "miscounted", "damaged", "tracebacks", "workers_left"), 0
    )
    for number in range(kills):
        study = _Study(plan, images, folder / f"round{number}")
        study.prepare()
        _kill_and_complete(study, measured, with_checkpoints=number % 2 == 0)
        rows, weights = study.outcome()
        measured["unequal"] += int(rows != expected[0]) + int(weights != expected[1])
        measured["unfinished"] += count_unfinished(study.url, epochs, keys(plan))
        measured["damaged"] += len(check_integrity(study.url))
        measured["tracebacks"] += count_tracebacks(study.log)
    measured["seconds"] = time.monotonic() - begun
    return Figures(f"{measured['kills']:g} kills with every unfinished run under way", measured)


def _kill_and_complete(
    study: _Study, measured: dict[str, float], *, with_checkpoints: bool
) -> None:
    """With checkpoints after every epoch something else is chosen after the kill; without them, as a
    command has it that is shorter than their interval, everything begins anew.
    """
    seconds = 0.0 if with_checkpoints else None
    driver = study.start(seconds)
    wait_until(lambda: study.are_all_under_way(saved=with_checkpoints) or not driver.alive)
    if driver.alive:
        measured["workers_left"] += outlived(driver.kill())
        measured["kills"] += 1
    missing = sum(status != "finished" for status in study.statuses())
    if with_checkpoints:
        study.choose_another()
    said_before = len(study.log.read_text())
    _complete(study.start(seconds), study)
    said = study.log.read_text()[said_before:]
    measured["miscounted"] += f" {missing} to train " not in said


def _complete(driver: Started, study: _Study) -> None:
    if driver.wait() != 0:
        raise RuntimeError(f"a command failed: {study.log.read_text()[-2000:]}")


def _run(plan: Plan, images: Path, url: str, checkpoint_seconds: float | None) -> None:
    """`ablate run` as it is given, but for the device, whose runs must repeat, and for measuring."""
    # Workers of a warm driver are forked as well: it has one thread and no open connection yet.
    local._CONTEXT = multiprocessing.get_context("fork")
    torch.set_num_threads(1)
    options = RunOptions(device="cpu", measure=False, checkpoint_seconds=checkpoint_seconds)
    if run_study(plan.study, images, url, options):
        raise SystemExit(1)
