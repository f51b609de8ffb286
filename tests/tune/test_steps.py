"""How a device steps cohorts, and how large they are: what is measured, compared, chosen and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from conftest import small_plan
from support.graphs import (
    Broken,
    Repeater,
    data,
    make_members,
    quickly,
)
from torch import nn

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.drive.options import RunOptions
from ablate.execute import make_executor
from ablate.execute.inprocess import InProcessExecutor
from ablate.store.writing.store import Store
from ablate.study import Recipe, Variant
from ablate.system.hardware.device_errors import CaptureError
from ablate.system.hardware.machine import GPU_COHORT, Machine
from ablate.system.hardware.precision import AMP_FP32, BF16
from ablate.train.cohort import Member, step_eagerly
from ablate.train.data import Data
from ablate.train.graphs import Graphs
from ablate.train.step import Forward, make_trainer
from ablate.tune import choose as choose_module
from ablate.tune import cohorts, steps
from ablate.tune.choose import Tuning
from ablate.tune.cohorts import CohortSize, MeasureCohorts, best_size, sizes
from ablate.tune.stepped import SteppedCohort
from ablate.tune.steps import Comparison, MeasureSteps, StepPath

__all__ = ["data"]  # a fixture


@pytest.fixture(autouse=True)
def few_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU needs a while for 64 batches."""
    monkeypatch.setattr(steps, "TIMED_BATCHES", 2)
    monkeypatch.setattr(cohorts, "TIMED_BATCHES", 2)


# ── the choice ────────────────────────────────────────────────────────────────────────────────────


class Astray(Repeater):
    """A graph whose dropout is that of another step."""

    def replay(self, dropout_seed: int) -> None:
        super().replay(dropout_seed + 1)


class Slow(Repeater):
    """A graph that is right and does its work twice as slowly."""

    def replay(self, dropout_seed: int) -> None:
        super().replay(dropout_seed)
        time.sleep(0.02)


def compare(data: Data, recipe: Recipe, names: Sequence[str], *, exact: bool) -> Comparison:
    def make(made: str) -> list[Member]:
        return make_members(recipe, AMP_FP32 if made == "fp32" else BF16, names)

    return Comparison(make, data, recipe, exact=exact)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (Astray, "the graph trains otherwise"),
        (Slow, "times as fast"),
        (Broken, "the step cannot be a graph: ValueError: it syncs"),
    ],
)
def test_a_graph_that_is_wrong_or_slow_or_none_is_not_taken(
    data: Data, recorder: Any, why: str, exact: bool
) -> None:
    recipe = Recipe(augment=())
    comparison = compare(data, recipe, ["cbam"], exact=exact)
    chosen = comparison.graph(Graphs(recorder))
    assert chosen.path == "eager"
    assert why in chosen.note


@pytest.mark.slow
def test_a_graph_that_agrees_and_is_faster_is_taken(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any) -> Any:
        time.sleep(0.1)
        return step_eagerly(*arguments)

    monkeypatch.setattr(steps, "step_eagerly", slowly)
    recipe = Recipe(augment=())
    chosen = compare(data, recipe, ["none"], exact=True).graph(Graphs(Repeater))
    assert chosen.path == "graph"
    assert "0 apart" in chosen.note


class Quick(Repeater):
    """Not done at all: no graph is quicker, nor further from the truth."""

    def replay(self, dropout_seed: int) -> None:
        self.repeats += 1


@pytest.fixture
def compared(data: Data, monkeypatch: pytest.MonkeyPatch) -> tuple[Comparison, StepPath]:
    """Eager steps and a graph that is as slow as can be told."""
    monkeypatch.setattr(steps, "_speed_ratio", lambda *_: 2.0)
    comparison = compare(data, Recipe(augment=()), ["se"], exact=False)
    chosen = comparison.graph(Graphs(Repeater))
    assert chosen.path == "graph"
    return comparison, chosen


@pytest.mark.slow
def test_compiling_is_tried_where_training_takes_long(
    compared: tuple[Comparison, StepPath], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, _ = compared
    assert comparison.compiling_seconds(1e6) > 1
    assert comparison.compiling_seconds(1.0) == 0
    comparison.compiled_times = 1e9
    assert comparison.compiling_seconds(1e6) == 0, "too long for so many networks"
    comparison.compiled_times = 1.0
    exact = compare(data, Recipe(augment=()), ["se"], exact=True)
    assert exact.graph(Graphs(Repeater)).path == "graph"
    assert exact.compiling_seconds(1e6) == 0


@pytest.mark.slow
def test_compiling_takes_no_more_than_a_tenth_of_what_it_can_save(
    compared: tuple[Comparison, StepPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler is not begun with another network when the time for all is over."""
    comparison, graph = compared
    graph_seconds = comparison.compiling_seconds(1e6) / (1e6 * 0.1 * 0.5)
    assert 0 < graph_seconds < 10, "a tenth of half the time by graph"
    monkeypatch.setattr(comparison, "compiling_seconds", lambda _passes: 0.05)
    begun: list[nn.Module] = []

    def slow(net: nn.Module) -> Forward:
        begun.append(net)
        time.sleep(0.1)
        return net

    kept = comparison.compiled(Graphs(Repeater, slow), 1e6, graph)
    assert kept.path == "graph"
    assert (
        "cannot be compiled: TimeoutError: it takes longer than 0 s, its part of a tenth"
        in kept.note
    )
    assert len(begun) == 1


@pytest.mark.parametrize(("name", "agrees"), [("0.bias", True), ("0.weight", False)])
def test_a_bias_before_a_batch_norm_is_not_compared(data: Data, name: str, agrees: bool) -> None:
    """Its gradient is rounding, of which Adam makes whole steps, as far as others go."""
    recipe, made = Recipe(augment=()), list[nn.Module]()

    class Rounded(Repeater):
        def replay(self, dropout_seed: int) -> None:
            super().replay(dropout_seed)
            with torch.no_grad():
                made[-1].get_parameter(name).add_(recipe.learning_rate)

    def make(_made: str) -> list[Member]:
        torch.manual_seed(0)
        pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
        made.append(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *pool))
        trainer = make_trainer(made[-1], recipe, torch.device("cpu"), AMP_FP32)
        for group in trainer.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        return [Member(trainer)]

    chosen = Comparison(make, data, recipe, exact=False).graph(Graphs(Rounded))
    assert "cannot" not in chosen.note
    assert ("otherwise" not in chosen.note) == agrees, chosen.note


@pytest.mark.slow
def test_a_failed_capture_is_told_and_ends_the_process(data: Data) -> None:
    def failing(*given: Any) -> Repeater:
        return Repeater(*given, CaptureError("it syncs"))

    comparison = compare(data, Recipe(augment=()), ["none"], exact=False)
    assert comparison.graph(Graphs(failing)) == StepPath(
        "eager", "the step cannot be a graph: it syncs"
    )
    assert comparison.spent
    broken = compare(data, Recipe(augment=()), ["none"], exact=False)
    error = torch.AcceleratorError("CUDA error: an illegal memory access")
    with pytest.raises(torch.AcceleratorError):
        broken.graph(Graphs(lambda *given: Repeater(*given, error)))


@pytest.mark.slow
def test_compiled_steps_are_taken_where_they_save_more_than_they_cost(
    compared: tuple[Comparison, StepPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of so many passes that no load of this machine makes compiling too long to be tried."""
    comparison, graph = compared
    taken = comparison.compiled(Graphs(Repeater, quickly), 1e6, graph)
    assert taken.path == "compiled"
    assert "compiled 2.00 times as fast" in taken.note
    monkeypatch.setattr(steps, "_speed_ratio", lambda *_: 1.0)
    kept = comparison.compiled(Graphs(Repeater, quickly), 1e6, graph)
    assert kept.path == "graph"
    assert "compiled 1.00 times as fast" in kept.note
    assert kept.note.endswith("saves no time here")
    monkeypatch.setattr(steps, "_speed_ratio", lambda *_: 2.0)
    monkeypatch.setattr(comparison, "compiling_seconds", lambda _passes: 1e9)
    comparison.compiled_times = 1e12  # networks that stand behind this one
    kept = comparison.compiled(Graphs(Repeater, quickly), 1e6, graph)
    assert kept.note.endswith("saves no time here")


def test_what_compiling_takes_counts_all_networks_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eight = tuple(Variant("cbam_cnn", "se", "pool1", (("reduction", r),)) for r in range(1, 9))

    def times(networks: int, at_once: int) -> float:
        monkeypatch.setattr(steps, "processes", lambda *_: at_once)
        job = MeasureSteps(eight, Recipe(), None, "cuda", {}, networks=networks)  # type: ignore[arg-type]
        return job._compiled_times(GPU)

    assert times(8, 16) == 1.0
    assert times(27, 16) == 1.0, "what was compiled to be measured is no faster for that"
    assert times(64, 2) == 4.0
    assert times(27, 0) == times(27, 1) == 27 / 8, "without room for two they come one by one"


def _as_it_is(net: nn.Module) -> Forward:
    """A compiler that changes nothing."""
    return net


def _broken(net: nn.Module) -> Forward:
    raise ValueError("no compiler")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graphs", "why"),
    [
        (Graphs(Repeater, _broken), "cannot be compiled: ValueError: no compiler"),
        (Graphs(Quick, _as_it_is), "compiled it trains otherwise"),
        pytest.param(
            Graphs(Quick, quickly), "compiled it trains otherwise", marks=pytest.mark.slow
        ),
    ],
    ids=["none", "another", "a real one"],
)
def test_compiled_steps_that_fail_or_train_otherwise_leave_the_graph(
    compared: tuple[Comparison, StepPath], graphs: Graphs, why: str
) -> None:
    comparison, graph = compared
    kept = comparison.compiled(graphs, 1e6, graph)
    assert kept.path == "graph"
    assert why in kept.note


def test_the_choice_of_a_cpu_is_eager() -> None:
    dataset = open_dataset("digits", None, 16)
    job = MeasureSteps((Variant("cbam_cnn(width=0.25)"),), Recipe(), dataset, "cpu", {})
    [chosen] = job()
    assert chosen.path == "eager"


GPU = Machine(torch.device("cuda"), "a GPU", BF16, cores=2)
"""As far as the choice of a path can see."""


def choose(url: str, measured: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """What is chosen, what is noted, and what was asked for."""
    notes: list[str] = []
    asked: list[tuple[Any, ...]] = []

    def job(*given: Any) -> Callable[[], Iterator[Any]]:
        asked.append(given)
        return measured

    monkeypatch.setattr(choose_module, "MeasureSteps", job)
    store = Store(url)
    tuning = Tuning(small_plan(), store.choices, GPU, note=notes.append, **changes)
    with make_executor("inprocess", 1) as worker:
        path = tuning.step_path(worker, {})
    store.close()
    return path, notes, asked


def test_the_path_is_measured_once_for_each_setting_and_kept(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def graph() -> Iterator[StepPath]:
        yield StepPath("graph", "3 times as fast")

    path, notes, asked = choose(url, graph, monkeypatch)
    assert (path, notes) == ("graph", ["steps: graph, 3 times as fast"])
    assert [variant.name for variant in asked[0][0]] == [
        "none", "se(pool1, r=8)", "se(pool3, r=8)",
    ]  # fmt: skip
    assert choose(url, graph, monkeypatch) == ("graph", [], [])
    *_, asked = choose(url, graph, monkeypatch, deterministic=True)
    assert len(asked) == 1, "another question"


@pytest.mark.slow
def test_a_measurement_that_fails_means_eager_and_is_tried_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[Any]:
        raise ValueError("no clock")
        yield

    for _ in range(2):
        path, notes, asked = choose(url, broken, monkeypatch)
        assert path == "eager"
        assert notes == ["steps: eager, measuring failed: ValueError: no clock"]
        assert len(asked) == 1


def test_a_compiler_that_takes_the_process_down_leaves_the_graph(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job() -> Iterator[StepPath]:
        yield StepPath("graph", "3 times as fast")
        raise ValueError("no compiler")

    path, notes, _ = choose(url, job, monkeypatch)
    assert path == "graph"
    assert notes == [
        "steps: graph, 3 times as fast; cannot be compiled: measuring failed: ValueError: no compiler"
    ]
    assert choose(url, job, monkeypatch) == ("graph", [], []), "and is not tried again"


# ── the size of a cohort ──────────────────────────────────────────────────────────────────────────

SIZES = [CohortSize(1, 1.0), CohortSize(2, 0.6), CohortSize(4, 0.59), CohortSize(6, 0.5)]


def test_a_larger_cohort_is_taken_where_it_is_clearly_faster() -> None:
    assert best_size(SIZES) == 6
    assert best_size(SIZES[:3]) == 2, "two per cent are not worth its memory"
    assert [sizes(n) for n in (1, 2, 6, 8, 100)] == [
        [1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8], [1, 2, 4, 8, 16, 32],
    ]  # fmt: skip


@pytest.mark.parametrize("error", [CaptureError("no"), ValueError("it syncs")])
@pytest.mark.slow
def test_a_size_whose_graph_failed_is_never_the_best(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def recorder(device: torch.device, branches: int) -> Repeater:
        return Repeater(device, branches, error if branches > 1 else None)

    monkeypatch.setattr(cohorts, "make_graphs", lambda _path: Graphs(recorder))
    monkeypatch.setattr("ablate.train.graphs.set_learning_rate", lambda *_: None)  # a number here
    variants = (complete(Variant("cbam_cnn(width=0.25)")),) * 2
    recipe = Recipe(batch_size=16, augment=(), optimizer="sgd")
    job = MeasureCohorts(variants, recipe, open_dataset("digits", None, 16), "cpu", {}, "graph")
    with make_executor("inprocess", 1) as worker:
        assert [each.size for each in worker.results(job)] == [1]


@pytest.mark.slow
def test_cohorts_are_measured_until_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def few_batches(members: list[Member], *rest: Any) -> SteppedCohort:
        if len(members) > 2:
            raise torch.OutOfMemoryError("no memory")
        return SteppedCohort(members, *rest)

    monkeypatch.setattr(cohorts, "SteppedCohort", few_batches)
    variants = tuple(
        complete(Variant("cbam_cnn(width=0.25)", "se", "pool3", (("reduction", r),)))
        for r in (1, 2, 4)
    )
    recipe = Recipe(batch_size=16, augment=())
    job = MeasureCohorts(variants, recipe, open_dataset("digits", None, 16), "cpu", {}, "eager")
    measured = list(job())
    assert [each.size for each in measured] == [1, 2], "three do not fit"
    assert all(each.seconds_a_run > 0 for each in measured)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("taken", "shared_by", "fit"),
    [(0.1, 1, 3), (0.5, 1, 1), (0.3, 2, 1), (0.15, 4, 1), (0.15, 2, 3)],
)
def test_a_cohort_has_its_part_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, taken: float, shared_by: int, fit: int
) -> None:
    monkeypatch.setattr(cohorts, "_memory_taken", lambda _device: taken)
    monkeypatch.setattr(cohorts, "TIMED_BATCHES", 1)
    variants = (complete(Variant("cbam_cnn(width=0.25)")),) * 4
    recipe, dataset = Recipe(batch_size=16, augment=()), open_dataset("digits", None, 16)
    job = MeasureCohorts(variants, recipe, dataset, "cpu", {}, "eager", shared_by=shared_by)
    assert len(list(job())) == fit


def test_how_many_cohorts_share_a_gpu() -> None:
    two = replace(GPU, gpus=("0", "1"))
    assert RunOptions().jobs_on_a_gpu(two) == 1
    assert RunOptions(workers=2).jobs_on_a_gpu(two) == 1
    assert RunOptions(workers=5).jobs_on_a_gpu(two) == 3
    assert RunOptions(executor="inprocess", workers=5).jobs_on_a_gpu(two) == 1
    assert RunOptions(executor="ray", gpu_share=0.3333).jobs_on_a_gpu(two) == 3
    assert RunOptions(executor="ray").jobs_on_a_gpu(two) == 1


def test_the_size_is_measured_once_for_each_setting_and_kept(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(measured: Callable[[], Iterator[Any]], **changes: Any) -> tuple[int, list[str]]:
        notes: list[str] = []
        monkeypatch.setattr(choose_module, "MeasureCohorts", lambda *_: measured)
        tuning = Tuning(small_plan(), store.choices, GPU, note=notes.append, **changes)
        with make_executor("inprocess", 1) as worker:
            return tuning.cohort(worker, {}, "graph"), notes

    def broken() -> Iterator[Any]:
        raise ValueError("no clock")
        yield

    def broken_off() -> Iterator[Any]:
        yield from SIZES[:2]
        raise ValueError("the device is gone")

    store = Store(url)
    size, notes = chosen(broken)
    assert (size, notes) == (
        GPU_COHORT,
        [f"runs side by side: {GPU_COHORT} for now, measuring failed: ValueError: no clock"],
    )
    assert chosen(broken_off)[0] == 2, "the best of what was measured"
    size, [note] = chosen(lambda: iter(SIZES))
    assert size == 6
    assert note.startswith(
        "runs side by side: 6 (speed of a run by their number: 1: 1.00×, 2: 1.67×"
    )
    assert chosen(broken) == (6, []), "as it is stored"
    assert chosen(lambda: iter(SIZES[:1]), deterministic=True)[0] == 1, "another question"
    assert chosen(lambda: iter(SIZES[:2]), shared_by=2)[0] == 2, "and another"
    assert chosen(broken) == (6, [])
    store.close()


class Hanging(InProcessExecutor):
    """An executor whose job gives these and then nothing more."""

    busy = True

    def __init__(self, *events: StepPath) -> None:
        self._events = [("", event) for event in events]

    def submit(self, job_id: str, job: Any) -> None: ...

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        time.sleep(0.02)
        events, self._events = self._events, []
        return events

    def cancel(self, job_id: str) -> None:
        self.busy = False


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), "eager"), ((StepPath("graph", "3 times as fast"),), "graph")],
)
def test_a_measurement_that_hangs_ends_with_what_it_gave(
    url: str, monkeypatch: pytest.MonkeyPatch,
    given: tuple[StepPath, ...], expected: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(choose_module, "MOST_SECONDS", 0.2)
    notes: list[str] = []
    store, hanging = Store(url), Hanging(*given)
    tuning = Tuning(small_plan(), store.choices, GPU, note=notes.append)
    path = tuning.step_path(cast("Any", hanging), {})
    store.close()
    assert path == expected
    assert "measuring took more than" in notes[0]
    assert not hanging.busy, "and its process is ended"
