"""Measuring: operations by rule, throughput in rounds, and who is measured when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from conftest import claim_one, machine_of, small_plan
from rich.console import Console
from support.recipes import RECIPES
from torch import nn

from ablate.drive import costs, turns
from ablate.drive.costs import MeasuringError, baseline_of, measure_costs, measuring_conditions
from ablate.measure.bench import Conditions, Network, make_bench
from ablate.measure.operations import OperationCounter
from ablate.measure.probe import Reading
from ablate.measure.profile import Profile
from ablate.measure.throughput import QUICK_PROCESSES, Protocol, Throughput, Turn, Unrecorded, quick
from ablate.measure.timings import Entrant, Timings
from ablate.plan import Plan
from ablate.result import Finished, Profiled, Started, Trace
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import find_machine
from ablate.system.software.environment import package_version

FINISHED = Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


def macs_of(net: nn.Module, *inputs: torch.Tensor) -> tuple[int, set[str]]:
    with torch.no_grad(), OperationCounter() as counter:
        net.eval()(*inputs)
    return counter.macs, counter.uncounted


@pytest.mark.parametrize(
    ("net", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 5, padding=2), (1, 3, 10, 12), 8 * 10 * 12 * 3 * 5 * 5),
        (nn.Conv2d(8, 8, 3, groups=4, stride=2), (1, 8, 9, 9), 8 * 4 * 4 * 2 * 3 * 3),
        (nn.Conv1d(4, 4, 3), (1, 4, 10), 4 * 8 * 4 * 3),
        (nn.Linear(20, 30), (1, 20), 20 * 30),
        (nn.Linear(20, 30, bias=False), (2, 7, 20), 2 * 7 * 20 * 30),
        (nn.BatchNorm2d(4), (1, 4, 5, 5), 0),
        (nn.MaxPool2d(2), (1, 4, 6, 6), 0),
    ],
)
def test_macs_by_formula(net: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert macs_of(net, torch.zeros(shape)) == (macs, set())


def test_batched_products_count_every_pair() -> None:
    class Products(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.bmm(a, b)

    a, b = torch.zeros(3, 4, 5), torch.zeros(3, 5, 6)
    assert macs_of(Products(), a, b) == (prod((3, 4, 5, 6)), set())


def test_an_operator_without_a_rule_is_named_and_not_zero() -> None:
    class Strange(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.inv(x)

    assert macs_of(Strange(), torch.eye(3))[0] == 0
    assert "aten.linalg_inv_ex" in macs_of(Strange(), torch.eye(3))[1]


def conditions(plan: Plan) -> Conditions:
    return Conditions(plan.study.recipe, plan.dataset, "cpu")


def networks(plan: Plan) -> tuple[Network, ...]:
    cells = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    return tuple(Network(variant, fingerprint) for fingerprint, variant in cells.items())


@pytest.mark.parametrize("name", RECIPES)
def test_costs_are_the_same_whatever_a_study_trains_by(name: str, url: str) -> None:
    """They are stored by network: what one study has measured, all others show."""
    store, machine = Store(url), find_machine("cpu")
    of_images = {"batch_size": 32, "augment": ["flip"]}
    other = {"epochs": 1, **of_images, **RECIPES[name], "batch_size": 32}
    if "phases" in other:
        del other["epochs"]
    plans = [small_plan(recipe=recipe) for recipe in ({"epochs": 1, **of_images}, other)]
    plain, measured = (measuring_conditions(plan, store, machine).recipe for plan in plans)
    store.close()
    assert plain == measured
    assert (plain.batch_size, plain.augment, plain.optimizer) == (32, ("flip",), "adam")


HERE = Started({"torch": package_version("torch")})


def timings(job: Throughput, speed: float = 1.0) -> Timings:
    """What a process gives that times everything at one speed."""
    names = [each.fingerprint for each in (*job.everyone, job.baseline)]
    speeds = {"train": [speed] * 2, "infer": [speed] * 2}
    entrants = [Entrant(name, speeds, {"infer": [1.0, 1.0]}, None) for name in names]
    device, still = find_machine("cpu").name, [Reading(1.0, 1.0)] * 2
    return Timings(device, "fp32", 64, True, entrants, still, [None] * 2, 1.0)


def test_where_one_network_cannot_be_recorded_all_are_measured_eagerly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[bool] = []

    class Process:
        def close(self) -> None: ...

        def results(self, job: Throughput, **_how: object) -> list[Any]:
            asked.append(job.conditions.recorded)
            given = Unrecorded("it syncs") if len(asked) == 2 else timings(job)
            return [HERE, given]

    plan = small_plan(seeds=1)
    how = replace(conditions(plan), recorded=True)
    job = Throughput(networks(plan), baseline_of(plan), how, quick(3))
    found, _ = costs._throughput(Process(), job, Console(stderr=True))  # type: ignore[arg-type]
    assert asked == [True, True, *[False] * QUICK_PROCESSES]
    assert {cost.mode for cost in found} == {"train", "infer"}
    assert "a network cannot be recorded: it syncs" in capsys.readouterr().err


def interrupted(
    _process: object, job: Throughput | Profile, **_how: object
) -> list[Started | Timings]:
    """A measuring process that is stopped before the profile is there."""
    if isinstance(job, Profile):
        raise KeyboardInterrupt
    return [HERE, timings(job)]


def test_only_finished_networks_without_a_cost_here_are_measured(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store, asked = small_plan(seeds=1), Store(url), []

    def events(process: object, job: Throughput | Profile, **_how: object) -> list[Any]:
        asked.append((type(job).__name__, [network.variant.name for network in job.networks]))
        device = find_machine("cpu").name
        if isinstance(job, Profile):
            return [Profiled(Trace(s.fingerprint, device, "eager"), ()) for s in job.networks]
        return interrupted(process, job)

    monkeypatch.setattr(costs.LocalExecutor, "results", events)
    plan = small_plan(seeds=1, recipe={"precision": "fp32"})
    store.register(plan)
    for expected in (["none"], ["se(pool1, r=8)"]):
        claim = claim_one(store, [str(cell.run_key) for cell in plan.cells])
        assert claim is not None
        store.finish(claim, FINISHED, {})
        measure_costs(plan, store, machine_of(plan), Console(quiet=True))
        parts = [("Throughput", expected)] * quick(2).processes
        assert asked == [*parts, ("Profile", expected)]
        asked.clear()
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    assert asked == []


def test_a_profile_that_was_interrupted_is_taken_the_next_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = small_plan(seeds=1, recipe={"precision": "fp32"}), Store(url)
    store.register(plan)
    claim = claim_one(store, [str(cell.run_key) for cell in plan.cells])
    assert claim is not None
    store.finish(claim, FINISHED, {})
    monkeypatch.setattr(costs.LocalExecutor, "results", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    jobs: list[str] = []
    monkeypatch.setattr(
        costs.LocalExecutor, "results", lambda _process, job: jobs.append(type(job).__name__) or []
    )
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    assert jobs == ["Profile"], "its throughput is there already"


def test_nothing_is_measured_beside_training(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store, jobs = small_plan(seeds=1), Store(url), list[object]()
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    first, _second = claim_one(store, keys), claim_one(store, keys)
    assert first is not None
    store.finish(first, FINISHED, {})
    monkeypatch.setattr(
        costs.LocalExecutor, "results", lambda _process, job: jobs.append(job) or []
    )
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    assert jobs == [], "the second run is being trained by a living process"


def test_a_training_set_smaller_than_a_batch_is_measured_at_the_batch_size(plan: Plan) -> None:
    recipe = plan.study.recipe.model_copy(update={"batch_size": 2000})
    bench = make_bench(Conditions(recipe, plan.dataset, "cpu"))
    assert len(bench.batch[1]) == 2000


@pytest.mark.slow
def test_a_measurement_that_fails_is_one_line() -> None:
    broken = Network(small_plan().cells[0].variant, "f")
    nothing = Conditions(small_plan().study.recipe, None, "cpu")  # type: ignore[arg-type]
    job = Throughput((broken,), broken, nothing, replace(quick(1), processes=3))
    with pytest.raises(MeasuringError, match="measuring failed: AttributeError") as caught:
        costs.run_throughput(job, Console(quiet=True))
    assert "\n" not in str(caught.value)


class Processes:
    """Measuring processes that are started and stopped, and what each does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lost: tuple[int, ...] = ()) -> None:
        self.fresh, self.numbers, self._lost = 0, list[int](), lost
        monkeypatch.setattr(costs.LocalExecutor, "results", self._results)
        monkeypatch.setattr(costs.LocalExecutor, "close", self._close)

    def _close(self) -> None:
        self.fresh += 1

    def _results(self, job: Throughput, waiting: Callable[[], None]) -> Iterator[Any]:
        self.numbers.append(job.process)
        yield HERE
        waiting()
        yield Turn(1, 2)
        if job.process in self._lost:
            raise MeasuringError("the measuring process was lost (-9)")
        yield Turn(2, 2)
        yield timings(job, speed=1.0 + job.process)


def eight_processes() -> Throughput:
    plan = small_plan()
    protocol = Protocol("full", processes=8, rounds=2, block_seconds=0.01)
    return Throughput(networks(plan), costs.baseline_of(plan), conditions(plan), protocol)


def test_each_part_has_a_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(monkeypatch)
    found = costs.run_throughput(eight_processes(), Console(quiet=True))
    assert processes.numbers == list(range(8))
    assert processes.fresh == 8 + 1, "one before each, one at the end"
    assert {(cost.processes, cost.rounds) for cost in found} == {(8, 16)}
    assert found[0].images_per_second == pytest.approx(math.prod(range(1, 9)) ** (1 / 8)), (
        "the geometric mean over all"
    )


def test_a_lost_process_is_named_and_the_others_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Processes(monkeypatch, lost=(0, 5))
    found = costs.run_throughput(eight_processes(), Console())
    assert {(cost.processes, cost.rounds) for cost in found} == {(6, 12)}
    said = capsys.readouterr().out
    assert "  process 1 of 8 is left out: the measuring process was lost (-9)" in said
    assert "  process 6 of 8 is left out" in said


def test_too_few_processes_are_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(monkeypatch, lost=(0, 1, 2, 3, 4, 6))
    with pytest.raises(MeasuringError, match="was lost"):
        costs.run_throughput(eight_processes(), Console(quiet=True))
    assert processes.numbers == list(range(7)), "two are left of three that an interval needs"


def test_how_far_it_is_is_said_while_a_process_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    shown = turns.Turns(Console(), quick(1))
    for begun in range(2):
        shown.process(begun)
        for _ in range(3):
            now[0] += 5
            shown.waiting()
        for number in range(1, 7):
            now[0] += 5
            shown.turn(Turn(number, 6))
    assert capsys.readouterr().out.splitlines() == [
        "  turns: process 1 of 4 starts",
        "  turns: 1 of 24, process 1 of 4",
        "  turns: 3 of 24, process 1 of 4, 2 min 45 s left",
        "  turns: 5 of 24, process 1 of 4, 2 min 35 s left",
        "  turns: 6 of 24, process 2 of 4, 2 min 30 s left",
        "  turns: 6 of 24, process 2 of 4, 2 min 30 s left",
        "  turns: 8 of 24, process 2 of 4, 2 min 00 s left",
        "  turns: 10 of 24, process 2 of 4, 1 min 50 s left",
        "  turns: 12 of 24, process 2 of 4, 1 min 40 s left",
    ]
