"""A result belongs to the images that its key names, whatever happens to them while it is trained."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import rows_of, study_document
from rich.console import Console
from support.disturbed import Disturbed, Meanwhile
from support.picture_sets import picture_set, swap_labels

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.drive.prepare import prepare_plan
from ablate.execute import make_executor
from ablate.job import Cohort, Run, forget_images
from ablate.plan import Plan
from ablate.result import Epoch, Failed, Finished
from ablate.store.writing.store import Store
from ablate.study.file import parse_study
from ablate.system.hardware.machine import find_machine

RESULTS = "SELECT status, failure, test_accuracy, test_loss FROM runs"


def planned(pictures: Path, epochs: int = 6) -> Plan:
    """One run that learns the colours, its images prepared."""
    document = study_document(
        dataset="images", backbone="cbam_cnn(width=0.25)", seeds=1, grid=[{"attention": "none"}],
        recipe={"epochs": epochs, "batch_size": 4, "augment": [], "precision": "fp32"},
    )  # fmt: skip
    machine = find_machine("cpu", "fp32")
    return prepare_plan(parse_study(document, "test"), pictures, Console(quiet=True), machine)


def train(
    plan: Plan,
    url: str,
    executor: str = "inprocess",
    at_start: Meanwhile | None = None,
    at_epoch: Meanwhile | None = None,
    progress: Disturbed | None = None,
) -> tuple[Any, ...]:
    """What is stored of the run when everything is over; a checkpoint was due after every epoch."""
    forget_images()
    store, progress = Store(url), progress or Disturbed(at_start, at_epoch)
    store.register(plan)
    store.retry_failed([str(cell.run_key) for cell in plan.cells])
    with make_executor(executor, 1) as made:
        Driver(
            plan, store, made, progress, TrainingOptions(device="cpu", checkpoint_seconds=0)
        ).run()
    store.close()
    [row] = rows_of(url, RESULTS)
    return tuple(row)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return picture_set(tmp_path / "pictures")


@pytest.fixture
def undisturbed(pictures: Path, tmp_path: Path) -> tuple[Any, ...]:
    found = train(planned(pictures), f"sqlite:///{tmp_path / 'undisturbed.db'}")
    assert found[0] == "finished"
    assert found[2] == 1.0
    return found


@pytest.mark.slow
def test_a_folder_that_is_swapped_while_the_worker_starts(
    pictures: Path, url: str, undisturbed: tuple[Any, ...]
) -> None:
    """With a real worker process, as `ablate run` has."""
    found = train(planned(pictures), url, "local", at_start=lambda: swap_labels(pictures))
    assert found == undisturbed


@pytest.mark.slow
def test_without_the_cache_it_is_a_failed_run_with_that_reason(
    pictures: Path, url: str, own_cache: Path, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)

    def lose_both() -> None:
        swap_labels(pictures)
        shutil.rmtree(own_cache)

    assert train(plan, url, at_start=lose_both) == ("failed", "data_changed", None, None)
    [(error,)] = rows_of(url, "SELECT error FROM runs")
    assert "has changed since it was looked at" in error
    assert "\n" not in error
    swap_labels(pictures)
    assert train(plan, url) == undisturbed, "brought back and tried again"


def replace_an_image(pictures: Path) -> None:
    """By one that looks the same to whoever asks for size and time only."""
    one, other = (pictures / "train" / name / "000.png" for name in ("cat", "dog"))
    before, content = one.stat(), other.read_bytes()[: one.stat().st_size]
    one.write_bytes(content.ljust(before.st_size, b"\0"))
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
def test_an_image_that_is_replaced_during_training(
    pictures: Path, url: str, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)
    assert train(plan, url, at_epoch=lambda: replace_an_image(pictures)) == undisturbed
    other = planned(pictures)
    assert other.dataset.content_hash() != plan.dataset.content_hash(), "the next plan sees it"


@pytest.mark.slow
def test_an_entry_of_the_cache_that_is_corrupted_under_a_running_worker(
    pictures: Path, url: str, own_cache: Path, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)

    def corrupt() -> None:
        array = np.load(next(own_cache.glob("images-*")) / "train_images.npy", mmap_mode="r+")
        array[0] = 255 - array[0]
        array.flush()

    assert train(plan, url, at_epoch=corrupt)[:3] == ("failed", "data_changed", None)
    [(error,)] = rows_of(url, "SELECT error FROM runs")
    assert "train_images changed in the cache while a network was trained on them" in error
    assert train(plan, url) == undisturbed, "the entry was built again"


class Corrupted(Disturbed):
    """After the first epoch an entry of the cache is another one, until some epochs later the worker is
    killed with SIGKILL and the entry is brought back, as a rebuild of the cache does.
    """

    def __init__(self, cache: Path, *, replaced: bool) -> None:
        super().__init__(None, None)
        self.cache, self.replaced, self.epochs, self.killed = cache, replaced, 0, 0
        self.sound = b""

    @property
    def array(self) -> Path:
        return next(self.cache.glob("images-*")) / "train_images.npy"

    def epoch(self, cell: object, epoch: Epoch) -> None:
        self.epochs += 1
        if self.epochs == 1:
            self.sound = self.array.read_bytes()
            stored = np.load(self.array, mmap_mode="r+")
            stored[:] = 255 - stored
            stored.flush()
        elif self.epochs == KILLED_AFTER:
            [worker] = multiprocessing.active_children()
            os.kill(int(worker.pid or 0), signal.SIGKILL)
            self.killed += 1
            self.bring_back()

    def ended(self, cell: object, result: Finished | Failed) -> None:
        super().ended(cell, result)
        self.bring_back()

    def bring_back(self) -> None:
        if self.replaced:
            shutil.rmtree(self.array.parent)
        else:
            self.array.write_bytes(self.sound)


KILLED_AFTER = 12


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [True, False], ids=["rebuilt", "restored in place"])
def test_nothing_goes_on_from_what_was_trained_on_corrupted_images(
    pictures: Path, url: str, own_cache: Path, tmp_path: Path, replaced: bool
) -> None:
    plan = planned(pictures, epochs=40)
    undisturbed = train(plan, f"sqlite:///{tmp_path / 'undisturbed.db'}")
    epochs = "SELECT epoch, train_loss, val_accuracy FROM epochs ORDER BY epoch"
    as_it_was = rows_of(f"sqlite:///{tmp_path / 'undisturbed.db'}", epochs)
    disturbed = Corrupted(own_cache, replaced=replaced)
    found = train(plan, url, "local", progress=disturbed)
    stored = rows_of(url, epochs)
    assert stored == as_it_was[: len(stored)], "no number of the corrupted images"
    if found[0] == "failed":
        assert found[1] == "data_changed"
        assert not rows_of(url, "SELECT file FROM checkpoints")
        found = train(planned(pictures, epochs=40), url, "local")
    assert found == undisturbed
    assert rows_of(url, epochs) == as_it_was


@pytest.mark.slow
def test_an_entry_of_the_cache_that_is_cut_short_under_a_running_worker(
    pictures: Path, url: str, own_cache: Path, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)

    def cut() -> None:
        os.truncate(next(own_cache.glob("images-*")) / "train_images.npy", 100)

    assert train(plan, url, "local", at_epoch=cut)[:3] == ("failed", "data_changed", None)
    assert train(plan, url, "local") == undisturbed, "the entry was built again"


@pytest.mark.slow
def test_a_set_in_memory_is_compared_with_the_run_keys_too(pictures: Path) -> None:
    """As where a worker's machine has other digits than the one that planned."""
    plan = planned(pictures)
    run = Run(str(plan.cells[0].run_key), plan.cells[0].variant)
    cohort = Cohort((run, replace(run, run_key="2")), 1, plan.study.recipe, plan.dataset, "cpu",
                    content_hash="0" * 64)  # fmt: skip
    _, *events = cohort()
    assert [(key, event.kind) for key, event in events] == [
        (run.run_key, "data_changed"),
        ("2", "data_changed"),
    ]
    assert "has other images here than where the run was planned" in events[0][1].error
