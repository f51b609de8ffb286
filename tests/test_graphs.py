"""The step that a CUDA graph records, here recorded by a repeater: it trains what eager steps train.

What only a GPU can show, that CUDA captures it, is in test_gpu.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from conftest import small_plan
from torch import nn

from ablate import job as job_module
from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.drive.driver import Driver
from ablate.execute import make_executor
from ablate.execute.inprocess import InProcessExecutor
from ablate.job import Cohort, Run
from ablate.model import build
from ablate.result import Finished, Noted, Started
from ablate.store.store import Store
from ablate.study import Recipe, Variant
from ablate.system.machine import GPU_COHORT, Machine
from ablate.system.precision import AMP_FP32, BF16, FP32, Precision
from ablate.train.cohort import Member, Pass, step_eagerly, train_epoch
from ablate.train.data import Data, Part, to_device
from ablate.train.graphs import WARM_UP_STEPS, Graphs, compile_network
from ablate.train.histograms import HistogramTaker
from ablate.train.step import Forward, Trainer, make_trainer
from ablate.tune import choose as choose_module
from ablate.tune import cohorts, steps
from ablate.tune.choose import Tuning
from ablate.tune.cohorts import CohortSize, MeasureCohorts, best_size, sizes
from ablate.tune.steps import Comparison, MeasureSteps, StepPath, SteppedCohort

CPU = torch.device("cpu")
SEED = 3


@dataclass
class Repeater:
    """Stands in for a CUDA graph: repeats the work by doing it again."""

    device: torch.device
    branches: int
    error: Exception | None = None
    repeats: int = 0
    seed: int = 0
    work: Callable[[], None] = field(default=lambda: None)

    def side_by_side(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        results = []
        for work in works:
            torch.manual_seed(self.seed)
            results.append(work())
        return results

    def capture(self, work: Callable[[], None]) -> None:
        for _ in range(WARM_UP_STEPS):
            work()
        if self.error is not None:
            raise self.error
        self.work = work

    def replay(self, dropout_seed: int) -> None:
        self.seed, self.repeats = dropout_seed, self.repeats + 1
        self.work()


def make_members(
    recipe: Recipe, precision: Precision, names: Sequence[str] = ("none", "se", "cbam")
) -> list[Member]:
    members = []
    for name in names:
        position = None if name == "none" else "pool3"
        net = build(complete(Variant("cbam_cnn(width=0.25)", name, position)), 10, 32, SEED)
        trainer = make_trainer(net, recipe, CPU, precision)
        for group in trainer.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])  # as on a GPU
        members.append(Member(trainer))
    return members


@pytest.fixture(scope="module")
def data() -> Data:
    """Two whole batches of 64 and a rest."""
    whole = to_device(open_dataset("digits", None, 32).load(), "validation", 0.1, CPU)
    part = Part(whole.train.images[:150], whole.train.labels[:150])
    return Data(part, whole.val, whole.test, whole.mean, whole.std)


def train(members: list[Member], data: Data, recipe: Recipe, stepping: Any) -> list[Pass]:
    """Two epochs; after the first one the schedule has seen something."""
    passes = []
    for epoch in (1, 2):
        passes += train_epoch(members, data, recipe, SEED, epoch, stepping)
        for member in members:
            member.watched.append(1.0)
    return passes


def numbers(passes: list[Pass]) -> list[tuple[list[float], list[int], list[float]]]:
    return [(p.losses.tolist(), p.right.tolist(), p.rates.tolist()) for p in passes]


def states(members: list[Member]) -> list[dict[str, Any]]:
    return [state_of(member.trainer) for member in members]


def state_of(trainer: Trainer) -> dict[str, Any]:
    values = {name: t.clone() for name, t in trainer.net.state_dict().items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        values |= {f"{index}/{k}": v for k, v in state.items() if isinstance(v, torch.Tensor)}
    return values


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adam", FP32), ("adamw", BF16), ("sgd", FP32)]
)
def test_a_recorded_step_trains_what_the_eager_one_trains(
    data: Data, optimizer: str, precision: Precision
) -> None:
    recipe = Recipe(optimizer=optimizer, schedule="cosine", epochs=2, augment=("crop",))
    eager, recorded = (make_members(recipe, precision) for _ in range(2))
    made: list[Repeater] = []

    def recorder(device: torch.device, branches: int) -> Repeater:
        made.append(Repeater(device, branches))
        return made[-1]

    expected = numbers(train(eager, data, recipe, step_eagerly))
    graphs = Graphs(recorder)
    assert numbers(train(recorded, data, recipe, graphs)) == expected
    assert same(states(recorded), states(eager))
    assert graphs.trouble is None
    # Recorded once, and used for every whole batch: the rest of 22 images is stepped eagerly.
    assert [each.repeats for each in made] == [4]


def test_a_member_that_leaves_has_the_others_recorded_anew(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=())
    eager, recorded = (make_members(recipe, FP32) for _ in range(2))
    graphs = Graphs(Repeater)
    for members, stepping in ((eager, step_eagerly), (recorded, graphs)):
        train_epoch(members, data, recipe, SEED, 1, stepping)
        train_epoch(members[1:], data, recipe, SEED, 2, stepping)
    assert same(states(recorded), states(eager))


def test_a_step_that_cannot_be_recorded_is_stepped_eagerly_and_says_why(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=("crop",))
    eager, recorded = (make_members(recipe, FP32) for _ in range(2))
    error = RuntimeError("operation not permitted when stream is capturing\nmore")
    graphs = Graphs(lambda device, branches: Repeater(device, branches, error))
    expected = numbers(train(eager, data, recipe, step_eagerly))
    assert numbers(train(recorded, data, recipe, graphs)) == expected
    assert same(states(recorded), states(eager)), "what the warm-up did is undone"
    assert graphs.trouble == "RuntimeError: operation not permitted when stream is capturing"


def test_memory_that_runs_out_in_a_capture_is_no_reason_to_go_on(data: Data) -> None:
    broken = RuntimeError("capture failed")
    broken.__context__ = torch.OutOfMemoryError("out of memory")
    members = make_members(Recipe(), FP32, ["none"])
    graphs = Graphs(lambda device, branches: Repeater(device, branches, broken))
    with pytest.raises(torch.OutOfMemoryError):
        train_epoch(members, data, Recipe(), SEED, 1, graphs)


def test_images_that_fill_no_batch_are_stepped_eagerly(data: Data) -> None:
    recipe = Recipe(epochs=1, batch_size=512)
    members = make_members(recipe, FP32, ["none"])
    graphs = Graphs(lambda *_: pytest.fail("nothing to record"))
    [done] = train_epoch(members, data, recipe, SEED, 1, graphs)
    assert len(done.losses) == 1
    assert graphs.trouble is None


def test_histograms_are_those_of_the_step_that_was_recorded(data: Data) -> None:
    recipe = Recipe(epochs=2, batch_size=50, augment=())  # three whole batches, no rest
    latest = []
    for stepping in (step_eagerly, Graphs(Repeater)):
        [member] = make_members(recipe, FP32, ["se"])
        member.histograms = HistogramTaker()
        member.train_seconds = 1e9
        train([member], data, recipe, stepping)
        latest.append(member.histograms.latest)
    assert latest[0] is not None
    assert latest[0] == latest[1]


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


class Broken(Repeater):
    def capture(self, work: Callable[[], None]) -> None:
        super().capture(work)
        raise ValueError("it syncs")


def compare(data: Data, recipe: Recipe, names: Sequence[str], *, exact: bool) -> Comparison:
    def make(made: str) -> list[Member]:
        return make_members(recipe, AMP_FP32 if made == "fp32" else BF16, names)

    return Comparison(make, data, recipe, exact=exact)


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


def test_a_graph_that_agrees_and_is_speed_ratio_is_taken(
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


quickly = partial(compile_network, backend="aot_eager")
"""Traced and cut into forward and backward, in a second; no code is written."""


def test_a_compiled_step_trains_what_the_eager_one_trains(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=())
    # The second would get the code of the first if its attention, which hangs on a hook, were not looked at.
    eager, compiled = (make_members(recipe, BF16, ["none", "se"]) for _ in range(2))
    made: list[nn.Module] = []

    def compiler(net: nn.Module) -> Forward:
        made.append(net)
        return quickly(net)

    expected = train(eager, data, recipe, step_eagerly)
    graphs = Graphs(Repeater, compiler)
    found = train(compiled, data, recipe, graphs)
    assert graphs.trouble is None
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.losses == pytest.approx(theirs.losses, abs=1e-3), "but for its rounding"
    assert made == [member.trainer.net for member in compiled], "once, not for each epoch"


def test_more_networks_than_a_compiler_takes_by_itself_are_compiled() -> None:
    """Each is another architecture behind the same lines of code: torch gives up after eight."""
    variants = [Variant("cbam_cnn(width=0.25)")]
    variants += [
        Variant("cbam_cnn(width=0.25)", "se", position, (("reduction", r),))
        for position in ("pool1", "pool2", "pool3")
        for r in (1, 2, 4, 8)
    ]
    images = torch.rand(2, 3, 32, 32)
    for variant in variants:
        net = build(complete(variant), 10, 32, SEED).eval()
        compiled = compile_network(net, "eager")
        assert torch.equal(compiled(images), net(images)), "fullgraph: it raises where it gives up"


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


def test_compiling_is_tried_where_training_takes_long(
    compared: tuple[Comparison, StepPath], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, _ = compared
    assert comparison.worth_compiling(1e6)
    assert not comparison.worth_compiling(1.0)
    exact = compare(data, Recipe(augment=()), ["se"], exact=True)
    assert exact.graph(Graphs(Repeater)).path == "graph"
    assert not exact.worth_compiling(1e6)


def test_compiled_steps_are_taken_where_they_save_more_than_they_cost(
    compared: tuple[Comparison, StepPath],
) -> None:
    comparison, graph = compared
    taken = comparison.compiled(Graphs(Repeater, quickly), 1e6, graph)
    assert taken.path == "compiled"
    assert "compiled 2.00 times as fast" in taken.note
    kept = comparison.compiled(Graphs(Repeater, quickly), 1.0, graph)
    assert kept.path == "graph"
    assert kept.note.endswith("saves no time here")


def test_compiled_steps_that_fail_or_train_otherwise_leave_the_graph(
    compared: tuple[Comparison, StepPath],
) -> None:
    def broken(net: nn.Module) -> Forward:
        raise ValueError("no compiler")

    comparison, graph = compared
    for graphs, why in (
        (Graphs(Repeater, broken), "cannot be compiled: ValueError: no compiler"),
        (Graphs(Quick, quickly), "compiled it trains otherwise"),
    ):
        kept = comparison.compiled(graphs, 1e6, graph)
        assert kept.path == "graph"
        assert why in kept.note


def test_the_choice_of_a_cpu_is_eager() -> None:
    dataset = open_dataset("digits", None, 32)
    job = MeasureSteps((Variant("cbam_cnn"),), Recipe(), dataset, "cpu", {})
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


def test_a_larger_cohort_is_taken_where_it_is_clearly_speed_ratio() -> None:
    assert best_size(SIZES) == 6
    assert best_size(SIZES[:3]) == 2, "two per cent are not worth its memory"
    assert [sizes(n) for n in (1, 2, 6, 8, 100)] == [
        [1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8], [1, 2, 4, 8, 16, 32],
    ]  # fmt: skip


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
    job = MeasureCohorts(variants, recipe, open_dataset("digits", None, 32), "cpu", {}, "eager")
    measured = list(job())
    assert [each.size for each in measured] == [1, 2], "three do not fit"
    assert all(each.seconds_a_run > 0 for each in measured)


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
    store.close()


def test_a_cohort_that_cannot_be_a_graph_says_so_and_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "make_graphs", lambda _path: Graphs(Broken))
    run = Run("key", complete(Variant("cbam_cnn(width=0.25)")))
    recipe = Recipe(epochs=2, batch_size=256, augment=(), optimizer="sgd")
    job = Cohort((run,), 1, recipe, open_dataset("digits", None, 32), "cpu", step_path="graph")
    monkeypatch.setattr("ablate.train.graphs.set_learning_rate", lambda *_: None)  # a number here
    events = list(job())
    started, *notes = [event for key, event in events if key == ""]
    assert isinstance(started, Started)
    assert notes == [
        Noted("a cohort is stepped eagerly, it cannot be a graph: ValueError: it syncs")
    ]
    assert isinstance(events[-1][1], Finished)


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


def test_what_is_noted_about_a_cohort_is_told(url: str) -> None:
    told: list[str] = []
    progress: Any = SimpleNamespace(note=told.append)
    with make_executor("inprocess", 1) as executor:
        driver = Driver(small_plan(), Store(url), executor, progress)
        driver._handle("a job", ("", Noted("it cannot be a graph")))
    assert told == ["it cannot be a graph"]
