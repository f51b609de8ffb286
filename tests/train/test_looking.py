"""No run fails by being looked at: what cannot be seen is one line, and the numbers are what they were."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import rows_of, run_events, small_plan
from torch import nn

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute import make_executor
from ablate.job import Cohort, Run, keep, session
from ablate.plan import Plan
from ablate.result import Checkpoint, Epoch, Finished, Histograms, Noted
from ablate.result.histograms import pack, unpack
from ablate.store.files import stored as stored_file
from ablate.store.writing.store import Store
from ablate.study import Recipe, Variant
from ablate.system.files.atomic import write_whole
from ablate.train import histograms
from ablate.train.histograms import HistogramTaker, take_histograms

EPOCHS = 2
LOOKS = {
    "histograms": (histograms, "take_histograms"),
    "packed histograms": (histograms, "pack"),
    "unmoved attention": (keep, "unmoved_attention"),
    "kernels": (keep, "use_kernels"),
    "weights": (keep, "weights_to_bytes"),
    "layers": (keep, "find_layers"),
    "feature maps": (keep, "capture"),
    "snapshot": (keep, "take"),
    "packed snapshot": (keep, "pack_snapshot"),
}
ERRORS = {
    "error": RuntimeError("no such layer"),
    "memory": MemoryError("of this machine"),
    "device memory": torch.OutOfMemoryError("CUDA out of memory"),
}


def cohort(**changes: Any) -> Cohort:
    run = Run("key", complete(Variant("cbam_cnn(width=0.25)", "se", "pool3")), keep=True)
    recipe = Recipe(epochs=EPOCHS, augment=(), batch_size=256, precision="fp32")
    run = replace(run, histograms=True)
    return Cohort((run,), 1, recipe, open_dataset("digits", None, 16), "cpu", **changes)


def numbers(events: list[Any]) -> list[Any]:
    """What is stored of a run, without times."""
    epochs = [(e.epoch, e.train_loss, e.val_loss, e.steps) for e in events if isinstance(e, Epoch)]
    [end] = [event for event in events if isinstance(event, Finished)]
    return [*epochs, end.test_accuracy, end.test_loss, end.test_correct]


def events_of(work: Cohort) -> list[Any]:
    return [event for _, event in run_events(work)]


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    events = events_of(cohort())
    assert not [event for event in events if isinstance(event, Noted)]
    assert [event for event in events if isinstance(event, Histograms)]
    return numbers(events)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        pytest.param(*LOOKS[look], ERRORS[error], marks=() if n % 4 == 0 else pytest.mark.slow)
        for n, (look, error) in enumerate(itertools.product(LOOKS, ERRORS))
    ],
    ids=[f"{look}-{error}" for look, error in itertools.product(LOOKS, ERRORS)],
)
def test_a_look_that_raises_is_one_line(
    undisturbed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    error: Exception,
) -> None:
    work = cohort()
    monkeypatch.setattr(module, name, raising(error))
    events = events_of(work)
    assert numbers(events) == undisturbed
    [noted] = [event for event in events if isinstance(event, Noted)]
    assert str(error) in noted.text
    assert noted.text.startswith("se(pool3, r=")
    assert "\n" not in noted.text


def test_a_run_without_checkpoints_is_trained_to_its_end(
    undisturbed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "pack", raising(ValueError("no tensor")))
    events = events_of(cohort(checkpoint_seconds=0.0))
    assert numbers(events) == undisturbed
    assert not [event for event in events if isinstance(event, Checkpoint)]
    [noted] = [event for event in events if isinstance(event, Noted)]
    assert (
        "has no checkpoints and begins anew if it is stopped: ValueError: no tensor" in noted.text
    )


# ── what networks are made of ─────────────────────────────────────────────────────────────────────


class Odd(nn.Module):
    """Parameters of every kind that a histogram could stumble over."""

    def __init__(self) -> None:
        super().__init__()
        self.complex = nn.Parameter(torch.tensor([1 + 2j, 3 - 4j]))
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.whole = nn.Parameter(torch.arange(4), requires_grad=False)
        self.small = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
        self.nan = nn.Parameter(torch.tensor([1.0, float("nan")]))
        self.infinite = nn.Parameter(torch.tensor([1.0, -float("inf")]))
        self.huge = nn.Parameter(torch.tensor([1e300, -1e300], dtype=torch.float64))
        self.table = nn.Embedding(3, 2, sparse=True)


def test_histograms_of_every_kind_of_parameter() -> None:
    net = Odd()
    net.table(torch.tensor([1])).sum().backward()
    found = take_histograms(net)
    assert set(found) == {
        "weights/complex", "weights/scalar", "weights/whole", "weights/small", "weights/table.weight",
        "grads/table.weight",
    }  # fmt: skip
    assert (found["weights/complex"].low, found["weights/complex"].high) == (-4, 3)
    assert found["weights/complex"].counts.sum() == 4
    assert found["grads/table.weight"].counts.sum() == 6
    assert unpack(pack(found)).keys() == found.keys()


def test_a_network_of_which_nothing_can_be_counted_has_no_histograms() -> None:
    net = nn.Module()
    net.nan = nn.Parameter(torch.tensor([float("nan")]))
    taker = HistogramTaker()
    taker.take(net, 1, 1, 1, train_seconds=1e9)
    assert (taker.latest, taker.trouble) == (None, None)
    net.nan = nn.Parameter(torch.empty(0))
    taker.take(net, 2, 1, 1, train_seconds=1e9)
    assert (taker.latest, taker.trouble) == (None, None)


# ── folders that cannot be written ────────────────────────────────────────────────────────────────


class Notes:
    """Listens to what is said, and to nothing else."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def started(self, cell: object) -> None: ...
    def resumed(self, cell: object, epoch: int) -> None: ...
    def given_back(self, cell: object, why: str) -> None: ...
    def epoch(self, cell: object, epoch: Epoch) -> None: ...
    def ended(self, cell: object, result: object) -> None: ...


def few_epochs() -> Plan:
    recipe = {"epochs": EPOCHS, "batch_size": 256, "augment": []}
    return small_plan(backbone="cbam_cnn(width=0.25)", seeds=1, recipe=recipe)


def driven(url: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """What a driver says of one run, and what is stored of it."""
    plan = few_epochs()
    store, notes = Store(url), Notes()
    store.register(plan)
    with make_executor("inprocess", 1) as executor:
        Driver(plan, store, executor, notes, TrainingOptions("cpu", max_runs=1)).run()
    store.close()
    finished = "SELECT test_accuracy, test_loss FROM runs WHERE status = 'finished'"
    return notes.notes, rows_of(url, finished)


def in_the_way(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "histograms").write_text("somebody's own")


def full(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.suffix == ".npz":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_whole(path, content)

    monkeypatch.setattr(stored_file, "write_whole", write)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [in_the_way, full])
def test_histograms_that_cannot_be_written_are_one_line(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    said, as_it_was = driven(f"sqlite:///{tmp_path / 'undisturbed.db'}")
    assert said == []
    for folder in (tmp_path / "histograms").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (tmp_path / "histograms").rmdir()
    trouble(tmp_path, monkeypatch)
    said, stored = driven(url)
    assert stored == as_it_was
    assert len(stored) == 1
    [line] = said
    assert ", seed 1: not all histograms are kept: " in line
    assert "histograms" in line
    assert "\n" not in line


def test_histograms_that_cannot_be_deleted_are_one_line(url: str, tmp_path: Path) -> None:
    plan = few_epochs()
    (tmp_path / "histograms" / str(plan.cells[0].run_key) / "9-9.npz").mkdir(parents=True)
    said, stored = driven(url)
    assert len(stored) == 1
    assert len(said) == 1
    assert "not all histograms are kept" in said[0]
