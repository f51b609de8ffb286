"""Which path attention takes: measured when a database first needs it, the same ever after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import message, small_plan

from ablate.attention import KERNELS, fusable
from ablate.attention.se import SE
from ablate.drive.options import RunOptions, choose_training
from ablate.errors import DeviceError, MeasuringError
from ablate.execute import make_executor
from ablate.execute.inprocess import InProcessExecutor
from ablate.plan import Plan
from ablate.result import Choice
from ablate.store.writing.choices import ChoiceKey
from ablate.store.writing.store import Store
from ablate.system.hardware.device_errors import CaptureError
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.hardware.precision import AMP_FP32, BF16, FP32
from ablate.tune import choose as tuning
from ablate.tune import kernels as kernels_module
from ablate.tune.choose import Tuning
from ablate.tune.cohorts import CohortSize
from ablate.tune.kernels import choose_faster, measure_kernels
from ablate.tune.steps import MeasureSteps, StepPath

AMP = {"recipe": {"precision": "amp"}}


class Measured:
    """In place of the measurement: says what was asked for, and how often."""

    def __init__(self, **paths: str) -> None:
        self.paths, self.asked = paths, 0

    def __call__(self, device: str, precision: str) -> Any:
        self.asked += 1
        return self._job

    def _job(self) -> Iterator[dict[str, Choice]]:
        yield {name: Choice(path, "2 times as fast") for name, path in self.paths.items()}


def choose(plan: Plan, store: Store) -> dict[str, str]:
    with make_executor("inprocess", 1) as executor:
        machine = find_machine("cpu", plan.study.recipe.precision)
        return Tuning(plan, store.choices, machine).kernels(executor)


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def test_a_path_is_measured_once_and_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Measured(se="fused", cbam="plain")
    monkeypatch.setattr(tuning, "MeasureKernels", first)
    assert choose(small_plan(**AMP), store) == {"se": "fused"}, "those that the plan uses"
    monkeypatch.setattr(tuning, "MeasureKernels", Measured(se="plain"))
    assert choose(small_plan(**AMP), store) == {"se": "fused"}
    assert first.asked == 1


def test_of_two_that_measure_at_once_the_first_is_right(store: Store, url: str) -> None:
    key = ChoiceKey("a device", "fp32", "kernel", "se")
    first, second = Choice("fused", "2 times as fast as plain"), Choice("plain", "a tie")
    assert store.choices.keep(key, first) == first
    assert Store(url).choices.keep(key, second) == first
    assert store.choices.find(replace(key, device="another")) is None


def test_a_plan_without_attention_needs_no_measurement(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MeasureKernels", Measured())
    assert choose(small_plan(grid=[{"attention": "none"}], **AMP), store) == {}


def test_the_exact_precision_takes_the_plain_path(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unasked = Measured(se="fused")
    monkeypatch.setattr(tuning, "MeasureKernels", unasked)
    assert choose(small_plan(recipe={"precision": "fp32"}), store) == {}
    assert unasked.asked == 0
    assert FP32.exact
    assert not AMP_FP32.exact


def test_a_measurement_that_fails_is_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[Any]:
        raise ValueError("no clock")
        yield

    monkeypatch.setattr(tuning, "MeasureKernels", lambda *_: broken)
    text = message(MeasuringError, lambda: choose(small_plan(**AMP), store))
    assert "measuring failed" in text
    assert "no clock" in text


def test_the_faster_kernel_is_chosen_and_the_reason_says_by_how_much() -> None:
    assert choose_faster({"plain": 3.0, "fused": 1.5}) == Choice(
        "fused", "2.00 times as fast as plain"
    )
    assert choose_faster({"plain": 1.0, "fused": 1.25}).choice == "plain"


@pytest.mark.slow
def test_kernels_of_a_gpu_are_chosen_by_what_the_recording_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eagerly the fused one is slower here by far; recorded it is not, and that counts."""
    monkeypatch.setattr(SE, "fused", lambda self, x: time.sleep(0.1) or self.plain(x))
    made: list[Any] = []

    def record(_device: object, work: Any) -> Any:
        work()
        made.append(work)
        seconds = 0.001 * (1 + len(made) % 2)  # the first of each two is plain
        return lambda: time.sleep(seconds)

    machine = find_machine("cpu", "amp")
    found = measure_kernels(machine.device, machine.precision, record)
    assert len(made) == 2 * len(fusable())
    chosen = {choice.choice for choice in found.values()}
    assert chosen == {KERNELS[1]}, found


def test_kernels_that_cannot_be_recorded_leave_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Any:
        raise CaptureError("no graph")

    monkeypatch.setattr(kernels_module, "measure_kernels", broken)
    with make_executor("inprocess", 1) as executor:
        [found] = executor.results(kernels_module.MeasureKernels("cpu", "amp"))
    assert found["se"] == Choice("plain", "their steps cannot be recorded: no graph")


@pytest.mark.parametrize("step_path", ["graph", "compiled"])
def test_a_path_that_is_asked_for_is_taken_unmeasured(store: Store, step_path: str) -> None:
    machine = Machine(torch.device("cuda"), "a GPU", FP32, cores=2)
    asked = RunOptions(step_path=step_path, cohort=3)
    nobody: Any = None  # whoever measures would need an executor
    how = choose_training(asked, small_plan(), store, machine, nobody, print)
    assert (how.step_path, how.cohort, how.only_eager) == (step_path, 3, False)
    text = message(
        DeviceError,
        lambda: choose_training(asked, small_plan(), store, find_machine("cpu"), nobody, print),
    )
    assert f"--step-path {step_path}" in text


def test_one_process_chooses_everything_and_trains(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, asked = Machine(torch.device("cuda"), "a GPU", BF16, cores=2), []

    class Worker(InProcessExecutor):
        def results(self, job: Any, *_: Any, **__: Any) -> Iterator[Any]:
            asked.append(type(job).__name__)
            if isinstance(job, kernels_module.MeasureKernels):
                return iter([{name: Choice("fused", "2 times") for name in fusable()}])
            steps = isinstance(job, MeasureSteps)
            return iter([StepPath("graph", "3 times") if steps else CohortSize(1, 1.0)])

    monkeypatch.setattr(Machine, "cohort", property(lambda _self: 2))
    plan = small_plan(seeds=2)
    how = choose_training(RunOptions(), plan, store, machine, Worker(), print)
    assert asked == ["MeasureKernels", "MeasureSteps", "MeasureCohorts"]
    assert (how.step_path, how.cohort, how.kernels["se"]) == ("graph", 1, "fused")


@pytest.mark.slow
def test_the_real_measurement_is_of_the_real_modules(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fused SE that sleeps is slower than the plain one, whatever this machine is like."""
    machine = find_machine("cpu", "amp")
    monkeypatch.setattr(SE, "fused", lambda self, x: time.sleep(0.1) or self.plain(x))
    found = measure_kernels(machine.device, machine.precision)
    assert set(found) == set(fusable())
    assert found["se"].choice == "plain"
    ratio = float(found["se"].reason.partition(" ")[0])
    assert ratio > 1, found["se"].reason
    assert choose(small_plan(**AMP), store) == {"se": "plain"}
    kept = store.choices.find(ChoiceKey(machine.name, machine.precision.name, "kernel", "se"))
    assert kept is not None
    assert "times as fast as fused" in kept.reason
