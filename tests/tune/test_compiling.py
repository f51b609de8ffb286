"""Networks compiled ahead: by how many processes, which of them, and that a cohort finds what they wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import message, small_plan
from support.graphs import Repeater

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.drive import options as options_module
from ablate.drive.options import RunOptions, choose_training
from ablate.errors import OptionError
from ablate.execute.inprocess import InProcessExecutor
from ablate.execute.local import LocalExecutor
from ablate.store.writing.store import Store
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.hardware.precision import BF16
from ablate.system.messages.language import amount
from ablate.tune import compiling
from ablate.tune.choose import Tuning
from ablate.tune.cohorts import MeasureCohorts
from ablate.tune.compiling import (
    PROCESS_BYTES,
    Compiled,
    CompileNetwork,
    compile_ahead,
    processes,
)

GPU = Machine(torch.device("cuda"), "a GPU", BF16, cores=16)
NETWORKS = tuple(complete(Variant("cbam_cnn(width=0.25)", "se", f"pool{n}")) for n in (1, 2, 3))
RECIPE = Recipe(batch_size=16, augment=(), optimizer="sgd")


def test_there_are_as_many_processes_as_have_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(networks: int, free: int) -> int:
        memory = type("", (), {"available": free})
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
        return processes(networks, GPU)

    assert found(27, 100 * PROCESS_BYTES) == 16, "one a core"
    assert found(5, 100 * PROCESS_BYTES) == 5, "one a network"
    assert found(27, 3 * PROCESS_BYTES) == 3


@dataclass(frozen=True)
class Tried:
    """In place of a network being compiled; one of them cannot be, and one takes its process down."""

    variant: Variant
    recipe: Recipe
    dataset: Any
    device: str

    def __call__(self) -> Iterator[None]:
        if self.variant.position == "pool2":
            raise ValueError("no code")
        if self.variant.position == "pool3":
            raise SystemExit(1)
        return
        yield


@pytest.mark.slow
def test_what_cannot_be_compiled_ends_nothing_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiling, "_TRIED", set())
    monkeypatch.setattr(compiling, "CompileNetwork", Tried)
    monkeypatch.setattr(compiling, "processes", lambda *_: 2)
    told: list[tuple[int, int]] = []
    dataset, machine = open_dataset("digits", None, 16), find_machine("cpu")
    networks = (*NETWORKS, NETWORKS[0])
    found = compile_ahead(networks, RECIPE, dataset, machine, lambda *each: told.append(each))
    assert (found.processes, found.failed) == (2, 2), "of four"
    assert found.reason in (
        "ValueError: no code", "the worker process ended with exit code 1",
    )  # fmt: skip
    assert told == [(done, 4) for done in range(5)]
    other = RECIPE.model_copy(update={"label_smoothing": 0.1})
    assert compile_ahead(networks, other, dataset, machine).processes == 0, "the same code"
    monkeypatch.setattr(compiling, "MOST_SECONDS", 0.0)
    deeper = RECIPE.model_copy(update={"accumulate": 2})
    late = compile_ahead(networks, deeper, dataset, machine)
    assert (late.processes, late.failed, late.reason) == (2, 4, "not done in 0 s")


@pytest.mark.slow
def test_every_phase_of_a_recipe_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is frozen is part of the code."""
    frozen: list[tuple[bool, ...]] = []

    def noted(net: torch.nn.Module) -> Any:
        def forward(images: torch.Tensor) -> Any:
            frozen.append(tuple(p.requires_grad for p in net.parameters()))
            return net(images)

        return forward

    monkeypatch.setattr(compiling, "compile_network", noted)
    phases = [{"epochs": 1, "freeze": "backbone"}, {"epochs": 2}]
    recipe = Recipe.model_validate({**RECIPE.model_dump(), "epochs": 3, "phases": phases})
    dataset = open_dataset("digits", None, 16)
    assert list(CompileNetwork(NETWORKS[2], recipe, dataset, "cpu")()) == []
    assert len(frozen) == 2
    assert not all(frozen[0])
    assert all(frozen[1])


def test_few_networks_are_left_to_the_cohort() -> None:
    dataset = open_dataset("digits", None, 16)
    assert compile_ahead(NETWORKS, RECIPE, dataset, find_machine("cpu")) == Compiled()


@pytest.mark.parametrize(
    ("step_path", "max_runs", "asked"),
    [("compiled", None, 3), ("compiled", 2, 2), ("graph", None, 0)],
)
def test_networks_that_are_now_to_be_trained_are_compiled_before_any_is(
    url: str, monkeypatch: pytest.MonkeyPatch, step_path: str, max_runs: int | None, asked: int
) -> None:
    plan, calls = small_plan(seeds=2), list[int]()

    def ahead(networks: list[Variant], *_rest: Any) -> Compiled:
        calls.append(len(networks))
        return Compiled(3, 1, "ValueError: no code")

    monkeypatch.setattr(options_module, "compile_ahead", ahead)
    monkeypatch.setattr(Tuning, "kernels", lambda *_: {})
    notes: list[str] = []
    options = RunOptions(step_path=step_path, cohort=4, max_runs=max_runs)
    store = Store(url)
    store.register(plan)
    how = choose_training(options, plan, store, GPU, InProcessExecutor(), notes.append)
    store.close()
    assert how.step_path == step_path
    assert calls == ([asked] if asked else [])
    if asked:
        assert f"compiled: {amount(asked - 1, 'network')} by 3 processes" in notes[0]
        assert notes[1] == (
            "compiled ahead: not 1 network, left to their cohort: ValueError: no code"
        )


def test_compiled_steps_that_repeat_are_refused(url: str) -> None:
    plan, store = small_plan(), Store(url)
    options = RunOptions(step_path="compiled", deterministic=True)
    said = message(
        OptionError,
        lambda: choose_training(options, plan, store, GPU, InProcessExecutor(), lambda _: None),
    )
    store.close()
    assert said.startswith("--deterministic --step-path compiled: ")
    assert "use --step-path graph" in said


@dataclass(frozen=True)
class Traced:
    """A job: another one, and how often its compiler found its work on the disk, and did not."""

    job: Any
    stand_in: bool

    def __call__(self) -> Iterator[Counter[str]]:
        from torch._dynamo.utils import counters  # noqa: PLC0415 - in the process that compiles

        from ablate.train.graphs import Graphs, compile_network, misses  # noqa: PLC0415
        from ablate.tune import cohorts  # noqa: PLC0415

        if self.stand_in:
            cohorts.TIMED_BATCHES, cohorts.ROUNDS = 2, 1
            cohorts.make_graphs = lambda _path: Graphs(Repeater, compile_network)
        for _ in self.job():
            pass
        yield Counter(counters["inductor"]) + misses()


@pytest.mark.slow
def test_a_cohort_finds_what_was_compiled_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    dataset, network = open_dataset("digits", None, 16), NETWORKS[2]
    jobs = (
        Traced(CompileNetwork(network, RECIPE, dataset, "cpu"), stand_in=False),
        Traced(MeasureCohorts((network,), RECIPE, dataset, "cpu", {}, "compiled"), stand_in=True),
    )
    found = []
    for job in jobs:
        with LocalExecutor(1) as executor:
            found += executor.results(job)
    ahead, cohort = found
    assert (ahead["fxgraph_cache_miss"], cohort["fxgraph_cache_miss"]) == (2, 0)
    assert cohort["fxgraph_cache_hit"] == 2, "forward and backward"
    assert (ahead["traced networks"], cohort["traced networks"]) == (1, 0)
