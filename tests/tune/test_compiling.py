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
from conftest import small_plan
from support.graphs import Repeater

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.drive import options as options_module
from ablate.drive.options import RunOptions, choose_training
from ablate.execute.inprocess import InProcessExecutor
from ablate.execute.local import LocalExecutor
from ablate.store.writing.store import Store
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.hardware.precision import BF16
from ablate.tune import compiling
from ablate.tune.choose import Tuning
from ablate.tune.cohorts import MeasureCohorts
from ablate.tune.compiling import PROCESS_BYTES, CompileNetwork, compile_ahead, processes

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
class Compiled:
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
    monkeypatch.setattr(compiling, "CompileNetwork", Compiled)
    monkeypatch.setattr(compiling, "processes", lambda *_: 2)
    told: list[tuple[int, int]] = []
    dataset, machine = open_dataset("digits", None, 16), find_machine("cpu")
    networks = (*NETWORKS, *NETWORKS)
    count = compile_ahead(networks, RECIPE, dataset, machine, lambda *each: told.append(each))
    assert count == 2
    assert told == [(done, 6) for done in range(7)]
    other = RECIPE.model_copy(update={"label_smoothing": 0.1})
    assert compile_ahead(networks, other, dataset, machine) == 0, "the same code"
    wider = RECIPE.model_copy(update={"batch_size": 32})
    assert compile_ahead(networks, wider, dataset, machine) == 2


def test_few_networks_are_left_to_the_cohort() -> None:
    dataset = open_dataset("digits", None, 16)
    assert compile_ahead(NETWORKS, RECIPE, dataset, find_machine("cpu")) == 0


@pytest.mark.parametrize(("step_path", "asked"), [("compiled", 1), ("graph", 0)])
def test_networks_that_are_still_to_be_trained_are_compiled_before_any_is(
    url: str, monkeypatch: pytest.MonkeyPatch, step_path: str, asked: int
) -> None:
    plan, calls = small_plan(seeds=2), Counter[str]()

    def ahead(networks: list[Variant], *_rest: Any) -> int:
        calls["calls"] += 1
        calls["networks"] = len(networks)
        return 3

    monkeypatch.setattr(options_module, "compile_ahead", ahead)
    monkeypatch.setattr(Tuning, "kernels", lambda *_: {})
    notes: list[str] = []
    options = RunOptions(step_path=step_path, cohort=4)
    store = Store(url)
    store.register(plan)
    how = choose_training(options, plan, store, GPU, InProcessExecutor(), notes.append)
    assert (how.step_path, calls["calls"]) == (step_path, asked)
    if asked:
        networks = {cell.architecture.fingerprint for cell in plan.cells}
        assert calls["networks"] == len(networks)
        [said] = [note for note in notes if note.startswith("compiled: ")]
        assert f"{len(networks)} networks by 3 processes" in said


@dataclass(frozen=True)
class Traced:
    """A job: another one, and how often its compiler found its work on the disk, and did not."""

    job: Any
    stand_in: bool

    def __call__(self) -> Iterator[Counter[str]]:
        from torch._dynamo.utils import counters  # noqa: PLC0415 - in the process that compiles

        from ablate.train.graphs import Graphs, compile_network  # noqa: PLC0415
        from ablate.tune import cohorts  # noqa: PLC0415

        if self.stand_in:
            cohorts.TIMED_BATCHES, cohorts.ROUNDS = 2, 1
            cohorts.make_graphs = lambda _path: Graphs(Repeater, compile_network)
        for _ in self.job():
            pass
        yield counters["inductor"]


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
