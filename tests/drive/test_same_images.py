"""A result belongs to the images that its key names, whatever happens to them while it is trained."""

from __future__ import annotations

import os
import shutil
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
from ablate.store.store import Store
from ablate.study.file import parse_study
from ablate.system.machine import find_machine

RESULTS = "SELECT status, failure, test_accuracy, test_loss FROM runs"


def planned(pictures: Path) -> Plan:
    """One run of six epochs that learns the colours, its images prepared."""
    document = study_document(
        dataset="images", backbone="cbam_cnn(width=0.25)", seeds=1, grid=[{"attention": "none"}],
        recipe={"epochs": 6, "batch_size": 4, "augment": [], "precision": "fp32"},
    )  # fmt: skip
    machine = find_machine("cpu", "fp32")
    return prepare_plan(parse_study(document, "test"), pictures, Console(quiet=True), machine)


def train(
    plan: Plan,
    url: str,
    executor: str = "inprocess",
    at_start: Meanwhile | None = None,
    at_epoch: Meanwhile | None = None,
) -> tuple[Any, ...]:
    """What is stored of the run when everything is over."""
    forget_images()
    store, progress = Store(url), Disturbed(at_start, at_epoch)
    store.register(plan)
    store.retry_failed([str(cell.run_key) for cell in plan.cells])
    with make_executor(executor, 1) as made:
        Driver(plan, store, made, progress, TrainingOptions(device="cpu")).run()
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


def test_a_folder_that_is_swapped_while_the_worker_starts(
    pictures: Path, url: str, undisturbed: tuple[Any, ...]
) -> None:
    """With a real worker process, as `ablate run` has."""
    found = train(planned(pictures), url, "local", at_start=lambda: swap_labels(pictures))
    assert found == undisturbed


def test_without_the_cache_it_is_a_failed_run_with_that_reason(
    pictures: Path, url: str, own_cache: Path, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)

    def lose_both() -> None:
        swap_labels(pictures)
        shutil.rmtree(own_cache)

    assert train(plan, url, "local", at_start=lose_both) == ("failed", "data_changed", None, None)
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


def test_an_image_that_is_replaced_during_training(
    pictures: Path, url: str, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)
    assert train(plan, url, at_epoch=lambda: replace_an_image(pictures)) == undisturbed
    other = planned(pictures)
    assert other.dataset.content_hash() != plan.dataset.content_hash(), "the next plan sees it"


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


def test_an_entry_of_the_cache_that_is_cut_short_under_a_running_worker(
    pictures: Path, url: str, own_cache: Path, undisturbed: tuple[Any, ...]
) -> None:
    plan = planned(pictures)

    def cut() -> None:
        os.truncate(next(own_cache.glob("images-*")) / "train_images.npy", 100)

    assert train(plan, url, "local", at_epoch=cut)[:3] == ("failed", "data_changed", None)
    assert train(plan, url, "local") == undisturbed, "the entry was built again"


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
