"""Cohorts: what a run gets depends on nothing but the run; what fails, fails alone; exact resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_events
from support.cohorts import VARIANTS, events_of, facts, make_cohort
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.attention import complete, fusable, use_kernels
from ablate.datasets import open_dataset
from ablate.datasets.augment import augment
from ablate.job import Cohort, Run
from ablate.job import finish as finish_module
from ablate.job import session as session_module
from ablate.job.checkpoints import checkpoint_interval
from ablate.model import build
from ablate.result import Anew, Checkpoint, Epoch, Failed, Finished, GivenBack, Halved, Noted
from ablate.study import Recipe, Variant
from ablate.system.hardware.device_errors import CaptureError, ProcessSpentError
from ablate.system.hardware.precision import BF16, FP32
from ablate.train import cohort as cohort_module
from ablate.train.optimizers import OPTIMIZERS
from ablate.train.step import Trainer, make_trainer


@pytest.fixture(scope="module")
def alone() -> dict[str, list[dict[str, Any]]]:
    """Each run by itself."""
    return {name: facts(events_of(make_cohort(name))[name]) for name in VARIANTS}


@pytest.mark.slow
@pytest.mark.parametrize("names", [["none", "se", "cbam"], ["eca", "cbam", "se", "none"]])
def test_a_run_does_not_depend_on_its_cohort(names: list[str], alone: Any) -> None:
    events = events_of(make_cohort(*names))
    assert {name: facts(events[name]) for name in names} == {name: alone[name] for name in names}


def test_dropout_differs_from_step_to_step() -> None:
    net = build(Variant("cbam_cnn(width=0.5)"), 10, 32, seed=1)
    trainer = make_trainer(net.train(), Recipe(), torch.device("cpu"), FP32)
    x = torch.randn(8, 3, 32, 32)
    outputs = []
    for seed in (1, 2, 1):
        trainer.prepare(0.0, seed)
        outputs.append(net(x))
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [
        pytest.param(o, p, marks=() if (o, p) == ("sgd", "fp32") else pytest.mark.slow)
        for o in OPTIMIZERS
        for p in ("amp", "fp32")
    ],
)
def test_a_resumed_run_ends_with_the_same_bytes(optimizer: str, precision: str) -> None:
    recipe = {"epochs": 3, "optimizer": optimizer, "precision": precision, "schedule": "plateau"}
    job = make_cohort("cbam", recipe=recipe, checkpoint_seconds=0)
    whole = [event for key, event in run_events(job) if key]
    checkpoints = [event for event in whole if isinstance(event, Checkpoint)]
    assert [checkpoint.epoch for checkpoint in checkpoints] == [1, 2], "none after the last epoch"
    expected = facts([event for event in whole if not isinstance(event, Checkpoint)])
    for checkpoint in checkpoints:
        runs = (replace(job.runs[0], start=checkpoint.content),)
        again = events_of(replace(job, runs=runs))["cbam"]
        assert facts(again) == expected[checkpoint.epoch :]


@pytest.mark.slow
def test_a_run_with_every_augmentation_resumes_to_the_byte() -> None:
    augment = ["resized_crop", "translate", "trivial_augment", "rand_augment", "erase"]
    recipe = {"epochs": 2, "augment": augment, "normalize": "imagenet"}
    job = make_cohort("none", recipe=recipe, checkpoint_seconds=0)
    whole = [event for key, event in run_events(job) if key]
    (start,) = [event.content for event in whole if isinstance(event, Checkpoint)]
    again = events_of(replace(job, runs=(replace(job.runs[0], start=start),)))["none"]
    expected = facts([event for event in whole if not isinstance(event, Checkpoint)])
    assert facts(again) == expected[1:]


@pytest.mark.slow
def test_runs_that_are_ahead_wait_for_the_others(alone: Any) -> None:
    job = make_cohort("none", "se", checkpoint_seconds=0)
    start = next(
        e.content for key, e in run_events(job) if key == "se" and isinstance(e, Checkpoint)
    )
    none, se = job.runs
    events = events_of(replace(job, runs=(none, replace(se, start=start))))
    assert facts(events["none"]) == alone["none"]
    assert facts(events["se"]) == alone["se"][1:]


@pytest.mark.slow
def test_a_checkpoint_that_was_made_otherwise_is_not_continued() -> None:
    """And never in silence; what is computed otherwise for its neighbours alone does not concern it."""
    job = make_cohort("se", checkpoint_seconds=0, kernels={"cbam": "plain", "se": "plain"})
    start = next(event.content for _, event in run_events(job) if isinstance(event, Checkpoint))
    resumed = replace(job, runs=(replace(job.runs[0], start=start),))
    for same in ({}, {"kernels": {"cbam": "fused", "se": "plain"}}, {"deterministic": True}):
        [epoch, finished] = events_of(replace(resumed, **same))["se"]
        assert (epoch.epoch, type(finished)) == (2, Finished)
    exact = job.recipe.model_copy(update={"precision": "fp32"})
    for changes, said in (
        ({"kernels": {"se": "fused"}}, "kernels se=plain (here se=fused)"),
        ({"recipe": exact}, "(here fp32)"),
    ):
        anew, *epochs, _ = events_of(replace(resumed, **changes))["se"]
        assert isinstance(anew, Anew)
        assert said in anew.reason
        assert [event.epoch for event in epochs] == [1, 2]


def test_checkpoints_come_no_more_often_than_asked() -> None:
    job = make_cohort("none", checkpoint_seconds=3600)
    assert not [event for _, event in run_events(job) if isinstance(event, Checkpoint)]


def test_checkpoints_take_a_fiftieth_of_the_time_at_most() -> None:
    assert checkpoint_interval(20.0, 0.1) == 20.0
    assert checkpoint_interval(20.0, 2.0) == 100.0
    assert checkpoint_interval(0.0, 2.0) == 0.0, "after each epoch, as was asked for"


Step = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def full_with(most: int) -> Step:
    """A device whose memory holds that many runs."""
    real = cohort_module.step_together

    def step(trainers: list[Trainer], *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if len(trainers) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return real(trainers, *rest)

    return step


@pytest.mark.slow
def test_a_cohort_that_does_not_fit_goes_on_in_halves(
    monkeypatch: pytest.MonkeyPatch, alone: Any
) -> None:
    monkeypatch.setattr(cohort_module, "step_together", full_with(1))
    job = make_cohort("none", "se", "cbam")
    halved = [event for _, event in run_events(job) if isinstance(event, Halved)]
    assert halved == [Halved(2), Halved(1)]
    assert {name: facts(events) for name, events in events_of(job).items()} == {
        name: alone[name] for name in ("none", "se", "cbam")
    }


@pytest.mark.slow
def test_alone_it_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_module, "step_together", full_with(0))
    events = events_of(make_cohort("none", "se"))
    assert [[event.kind for event in events[name]] for name in events] == [["oom"], ["oom"]]


@dataclass
class Failing:
    """In place of graphs: whatever is to be recorded fails."""

    error: Exception
    trouble: str | None = None

    def __call__(self, *_: Any) -> Any:
        raise self.error


def spent_events(monkeypatch: pytest.MonkeyPatch, error: Exception, *names: str) -> list[Any]:
    """What a cohort yields whose capture failed, until it gives its process up."""
    monkeypatch.setattr(session_module, "make_graphs", lambda _path: Failing(error))
    events = iter(make_cohort(*names, step_path="graph")())
    next(events)
    found = []
    with pytest.raises(ProcessSpentError):
        found.extend(events)  # which keeps what came before
    return found


def test_a_failed_capture_gives_the_whole_cohort_back(monkeypatch: pytest.MonkeyPatch) -> None:
    [(key, given)] = spent_events(monkeypatch, CaptureError("it syncs"), "none", "se")
    assert (key, type(given), given.step_path) == ("", GivenBack, "eager")
    assert "it cannot be a graph: it syncs" in given.reason


def test_a_capture_without_memory_halves_or_fails_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = CaptureError("capture failed")
    full.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    (_, halved), (_, given) = spent_events(monkeypatch, full, "none", "se", "cbam")
    assert (halved, type(given), given.step_path) == (Halved(2), GivenBack, None)
    (key, failed), (_, given) = spent_events(monkeypatch, full, "none")
    assert (key, failed) == ("none", Failed("oom", "CUDA out of memory"))
    assert given.step_path is None


def test_a_broken_device_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halved, all would fail within milliseconds by what one of them did."""
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(Trainer, "step", broken_at(3, error))
    events = []
    with pytest.raises(torch.AcceleratorError):
        events.extend(make_cohort("none", "cbam", "se")())
    assert not [event for _, event in events if isinstance(event, Failed)]


def broken_at(step: int, error: Exception | None) -> Step:
    """CBAM raises at that step, or loses its loss if there is no error to raise."""
    real = Trainer.step
    taken = [0]

    def broken(trainer: Trainer, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, right = real(trainer, batch)
        if any(type(module).__name__ == "CBAM" for module in trainer.net.modules()):
            taken[0] += 1
            if taken[0] >= step and error is not None:
                raise error
            if taken[0] >= step:
                loss = loss * float("nan")
        return loss, right

    return broken


@pytest.mark.slow
def test_what_raises_fails_alone(monkeypatch: pytest.MonkeyPatch, alone: Any) -> None:
    monkeypatch.setattr(Trainer, "step", broken_at(3, ValueError("a broken network")))
    events = events_of(make_cohort("none", "cbam", "se"))
    [failed] = events["cbam"]
    assert (failed.kind, "ValueError: a broken network" in failed.error) == ("error", True)
    assert facts(events["none"]) == alone["none"]
    assert facts(events["se"]) == alone["se"]


@pytest.mark.slow
def test_what_diverges_leaves_the_cohort(monkeypatch: pytest.MonkeyPatch, alone: Any) -> None:
    monkeypatch.setattr(Trainer, "step", broken_at(7, None))
    events = events_of(make_cohort("none", "cbam", "se"))
    first, failed = events["cbam"]
    assert isinstance(first, Epoch)
    assert (failed.kind, failed.epoch) == ("diverged", 2)
    assert facts(events["none"]) == alone["none"]
    assert facts(events["se"]) == alone["se"]


@pytest.mark.slow
def test_what_raises_late_goes_on_from_checkpoints(
    monkeypatch: pytest.MonkeyPatch, alone: Any
) -> None:
    monkeypatch.setattr(Trainer, "step", broken_at(7, ValueError("a broken network")))
    events = events_of(make_cohort("none", "cbam", checkpoint_seconds=0))
    assert [type(event) for event in events["cbam"]] == [Epoch, Failed]
    assert facts(events["none"]) == alone["none"], "its first epoch was not trained again"


@pytest.mark.slow
def test_times_are_shared_out() -> None:
    events = events_of(make_cohort("none", "cbam"))
    assert set(events) == {"none", "cbam"}
    for run in events.values():
        *epochs, result = run
        assert isinstance(result, Finished)
        assert 0 < sum(epoch.seconds for epoch in epochs) < result.seconds


class NoWaiting(TorchDispatchMode):
    """Refuses every operator that hands a tensor's values to the host or makes shapes from them."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        masks = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype is torch.bool
            for indices in args[1:2]
            for index in (indices if isinstance(indices, (list, tuple)) else [indices])
        )
        assert not masks, f"{func} with a mask"
        assert name not in self.WAITING, func
        return func(*args, **(kwargs or {}))


def test_waiting_for_the_device_is_noticed() -> None:
    x = torch.ones(3)
    for wait in (x.sum().item, lambda: x[x > 0], lambda: bool(x.sum() > 1)):
        with pytest.raises(AssertionError), NoWaiting():
            wait()


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["plain", "fused"])
@pytest.mark.parametrize("precision", [FP32, BF16])
def test_the_step_of_a_cohort_never_waits_for_the_device(kernel: str, precision: Any) -> None:
    trainers = []
    for name in ("none", *fusable()):
        variant = complete(Variant("cbam_cnn", name, None if name == "none" else "pool*"))
        net = build(variant, 10, 32, seed=1).train()
        use_kernels(net, dict.fromkeys(fusable(), kernel))
        trainers.append(make_trainer(net, Recipe(), torch.device("cpu"), precision))
    rates, busy = np.full(len(trainers), 1e-3), np.zeros(len(trainers))
    recipe = Recipe(batch_size=8)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    with NoWaiting():
        augmented = augment(images, recipe.augment, torch.Generator())
        batch = augmented.float(), torch.zeros(8, dtype=torch.long)
        losses, right = cohort_module.step_together(trainers, batch, rates, 1, busy)
    assert losses.shape == right.shape == (len(trainers),)
    assert (busy > 0).all()


VIEWING = '''
import torch
from torch import nn
from torch.nn import functional as F

class LeNet(nn.Module):
    """a view of a map that is not 1 × 1: it wants the memory in PyTorch's own order"""
    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 5)
        self.fc = nn.Linear(8 * 5 * 5, num_classes)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.view(x.size(0), -1))

class Shy(LeNet):
    """takes no image alone"""
    def forward(self, x):
        if x.shape[0] == 1 and x.abs().sum() == 0 and getattr(self, "ready", False):
            raise ValueError("one black image is too few")
        self.ready = self.training or getattr(self, "ready", False)
        return super().forward(x)

class Told(LeNet):
    """says something of itself that is no tensor, which no file of weights can hold"""
    def get_extra_state(self): return {"version": 3}
    def set_extra_state(self, state): pass
'''


def trained(network: str) -> tuple[list[Noted], Finished]:
    """What is said of a run of a network, and its result."""
    variant = complete(Variant(f"viewing:{network}", "se", "conv2", (("reduction", 4),)))
    recipe = Recipe(epochs=1, augment=(), batch_size=256, precision="fp32")
    job = Cohort(
        (Run("key", variant, keep=True),), 1, recipe, open_dataset("digits", None, 32), "cpu"
    )
    events = [event for _, event in run_events(job)]
    assert isinstance(events[-1], Finished)
    return [event for event in events if isinstance(event, Noted)], events[-1]


@pytest.mark.slow
def test_pictures_see_images_as_training_did(own_module: Callable[[str, str], None]) -> None:
    own_module("viewing", VIEWING)
    noted, result = trained("LeNet")
    assert noted == []
    assert result.kept is not None
    assert result.kept.snapshot is not None


@pytest.mark.slow
def test_no_run_fails_by_being_looked_at(own_module: Callable[[str, str], None]) -> None:
    own_module("viewing", VIEWING)
    [noted], result = trained("Shy")
    assert noted.text == (
        "se(conv2, r=4), seed 1, was trained, but there are no pictures of it: "
        "ValueError: one black image is too few"
    )
    assert result.kept is not None
    assert result.kept.snapshot is None
    assert result.kept.weights
    [noted], result = trained("Told")
    assert "was trained, but its weights cannot be kept: AttributeError" in noted.text
    assert result.kept is None


def test_what_is_noted_of_a_run_says_which_seed_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish_module, "_one_class", lambda *_: "says '3' of every test image")
    job = replace(make_cohort("none", recipe={"epochs": 1}), seed=7)
    noted = [event.text for _, event in run_events(job) if isinstance(event, Noted)]
    assert "none, seed 7, was trained, but says '3' of every test image" in noted
