"""What only a CUDA device can show: `make gpu-check`. Everywhere else these are skipped."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_events
from support.cohorts import events_of, facts, make_cohort
from support.graphs import numbers, same, states
from support.recipes import RECIPES
from torch._dynamo.utils import counters

from ablate.attention import complete, fusable, use_kernels
from ablate.datasets import open_dataset
from ablate.execute import Died, Done, make_executor
from ablate.measure.bench import Conditions, Network
from ablate.measure.profile import Profile
from ablate.measure.throughput import Throughput, full
from ablate.measure.timings import Timings, costs_of
from ablate.model import build
from ablate.result import Checkpoint, Failed, Finished, Halved, Noted, Profiled
from ablate.study import Recipe, Variant
from ablate.system.hardware.device_errors import CaptureError, ProcessSpentError
from ablate.system.hardware.machine import describe_process, prepare_machine
from ablate.system.hardware.precision import AMP_FP32, BF16, FP16, FP32, Precision
from ablate.train import graphs as graphs_module
from ablate.train.cohort import Course, Member, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, to_device
from ablate.train.graphs import Graphs, RecordedCohort, kernels_on, make_graphs
from ablate.train.optimizers import OPTIMIZERS
from ablate.train.step import make_trainer
from ablate.tune.cohorts import MeasureCohorts
from ablate.tune.kernels import MeasureKernels
from ablate.tune.stepped import SteppedCohort, first_batches
from ablate.tune.steps import COMPARED_BATCHES, LEAST_TOLERANCE, Comparison, MeasureSteps

# Which warnings there are depends on the version of torch: none of them is a failure here.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

VARIANTS = ("none", "se", "cbam", "eca")
PRECISIONS = {"fp32": FP32, "bf16": BF16, "fp16": FP16}


@pytest.fixture(params=[True, False], ids=["deterministic", "free"])
def deterministic(request: pytest.FixtureRequest) -> Iterator[bool]:
    prepare_machine("cuda", deterministic=request.param)
    yield request.param
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def repeating() -> Iterator[None]:
    prepare_machine("cuda", deterministic=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def data() -> Data:
    images = open_dataset("digits", None, 32).load()
    return to_device(images, "validation", 0.1, torch.device("cuda"))


def cohort_of(names: Sequence[str], recipe: Recipe, precision: Precision) -> list[Member]:
    members = []
    for name in names:
        position = None if name == "none" else "pool2+pool3"
        net = build(complete(Variant("cbam_cnn(width=0.5)", name, position)), 10, 32, seed=1)
        use_kernels(net, {} if precision.exact else dict.fromkeys(fusable(), "fused"))
        members.append(Member(make_trainer(net, recipe, torch.device("cuda"), precision)))
    return members


def stepped(
    names: Sequence[str], data: Data, precision: Precision, stepping: Stepping, **recipe: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """Losses and states after two epochs."""
    given = Recipe(**{"epochs": 2, "augment": ("crop", "flip"), **recipe})
    members = cohort_of(names, given, precision)
    passes = []
    for epoch in (1, 2):
        passes += train_epoch(members, data, given, 1, epoch, stepping)
        for member in members:
            member.watched.append(1.0)
    if isinstance(stepping, Graphs):
        assert stepping.trouble is None, "no silent way back to eager steps"
    return numbers(passes), states(members)


# ── graphs ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_graph_gives_the_bytes_of_eager_steps(
    data: Data, repeating: None, precision: str, optimizer: str
) -> None:
    chosen = PRECISIONS[precision]
    eager = stepped(VARIANTS, data, chosen, step_eagerly, optimizer=optimizer)
    graph = stepped(VARIANTS, data, chosen, Graphs(), optimizer=optimizer)
    assert graph[0] == eager[0]
    assert same(graph[1], eager[1])


@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_gives_the_bytes_of_eager_steps_whatever_the_recipe(
    data: Data, repeating: None, name: str
) -> None:
    recipe = {"augment": (), **RECIPES[name]}
    eager = stepped(("se",), data, BF16, step_eagerly, **recipe)
    graph = stepped(("se",), data, BF16, Graphs(), **recipe)
    assert graph[0] == eager[0]
    assert same(graph[1], eager[1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_graph_has_the_rates_of_its_groups_and_follows_the_phases(
    data: Data, repeating: None, optimizer: str
) -> None:
    recipe: dict[str, Any] = {
        "optimizer": optimizer,
        "rates": {"conv1": 0.5, "fc*": 2.0},
        "attention_rate": 3.0,
        "phases": [{"epochs": 1, "freeze": "backbone"}, {"epochs": 1, "freeze": ["conv2"]}],
    }
    eager = stepped(VARIANTS, data, BF16, step_eagerly, **recipe)
    graph = stepped(VARIANTS, data, BF16, Graphs(), **recipe)
    assert graph[0] == eager[0]
    assert same(graph[1], eager[1])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_that_need_not_repeat_stays_within_the_tolerance(
    data: Data, precision: str
) -> None:
    prepare_machine("cuda")
    recipe = Recipe(augment=("crop",))
    make = lambda _path: cohort_of(VARIANTS, recipe, PRECISIONS[precision])  # noqa: E731
    chosen = Comparison(make, data, recipe, exact=False).graph(Graphs())
    assert "otherwise" not in chosen.note
    assert "cannot" not in chosen.note


def test_compiled_steps_stay_within_the_tolerance_and_are_compiled_once(data: Data) -> None:
    prepare_machine("cuda")
    recipe = Recipe(augment=("crop",))

    def make(made: str) -> list[Member]:
        members = cohort_of(VARIANTS, recipe, AMP_FP32 if made == "fp32" else BF16)
        for member in members:
            if made == "compiled":
                use_kernels(member.trainer.net, kernels_on("compiled", {}))
        return members

    comparison = Comparison(make, data, recipe, exact=False)
    graph = comparison.graph(Graphs())
    assert graph.path == "graph", graph.note
    counters.clear()
    chosen = comparison.compiled(make_graphs("compiled"), 1e9, graph)
    assert "otherwise" not in chosen.note
    assert "cannot" not in chosen.note
    compiled = counters["stats"]["unique_graphs"]
    assert compiled == len(VARIANTS), "one graph for each network, whole, and none compiled again"
    assert not counters["graph_break"]


def test_branches_beside_it_change_nothing_for_a_member(data: Data, deterministic: bool) -> None:
    together = stepped(VARIANTS, data, BF16, Graphs())
    if deterministic:
        for index, name in enumerate(VARIANTS):
            losses, state = stepped([name], data, BF16, Graphs())
            assert losses == together[0][index :: len(VARIANTS)]
            assert same(state, together[1][index : index + 1])
        return
    recipe, few = Recipe(augment=()), first_batches(data, Recipe(), COMPARED_BATCHES)
    for name in VARIANTS:
        # The cohort of four copies of one network, of which the first is compared with it alone.
        one = SteppedCohort(cohort_of([name], recipe, BF16), few, recipe, Graphs())
        four = SteppedCohort(cohort_of([name] * 4, recipe, BF16), few, recipe, Graphs())
        again = SteppedCohort(cohort_of([name], recipe, BF16), few, recipe, Graphs())
        four._losses, four._weights = four._losses[:1], four._weights[:1]
        assert four.distance(one) <= max(LEAST_TOLERANCE, 3 * again.distance(one))


def test_steps_are_repeated_and_never_recorded_again(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_machine("cuda")
    recorded: list[RecordedCohort] = []
    before = RecordedCohort.__init__

    def count(self: RecordedCohort, *given: Any) -> None:
        recorded.append(self)
        before(self, *given)

    monkeypatch.setattr(graphs_module.RecordedCohort, "__init__", count)
    stepped(VARIANTS, data, BF16, Graphs())
    assert len(recorded) == 1


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("path", ["eager", "graph"])
def test_no_step_waits_for_the_device(data: Data, precision: str, path: str) -> None:
    prepare_machine("cuda")
    recipe = Recipe(augment=())
    members = cohort_of(VARIANTS, recipe, PRECISIONS[precision])
    stepping: Stepping = Graphs() if path == "graph" else step_eagerly
    train_epoch(members, data, recipe, 1, 1, stepping)
    for member in members:
        member.trainer.net.train()

    looks: list[int] = []

    class Watched(Course):
        def take_histograms(self, _members: Sequence[Member], step: int) -> None:
            looks.append(step)
            # From the first step of the epoch to the last one.
            torch.cuda.set_sync_debug_mode("error" if step < self.steps else "default")

    steps = -(-len(data.train) // recipe.batch_size)
    rates = np.full((len(members), steps), 1e-3)
    try:
        stepping(members, data, recipe, Watched(1, 2, rates))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert looks == list(range(1, steps + 1))


def test_the_fp16_scale_grows_and_shrinks_inside_a_graph(data: Data, repeating: None) -> None:
    scales = []
    for stepping in (step_eagerly, Graphs()):
        recipe = Recipe(epochs=1, augment=())
        [member] = members = cohort_of(["none"], recipe, FP16)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40, growth_interval=5)
        member.trainer.scaler = scaler  # gradients overflow at first
        train_epoch(members, data, recipe, 1, 1, stepping)
        scales.append(scaler.state_dict())
    assert scales[0] == scales[1]
    assert scales[0]["scale"] < 2.0**40


def test_the_choice_is_made_from_start_to_end() -> None:
    dataset = open_dataset("digits", None, 32)
    variants = tuple(
        complete(Variant("cbam_cnn", name, None if name == "none" else "pool*"))
        for name in VARIANTS
    )
    for deterministic in (True, False):
        job = MeasureSteps(variants, Recipe(), dataset, "cuda", {}, deterministic)
        [chosen] = job()
        assert chosen.path == "graph" or "times as fast" in chosen.note, chosen
    torch.use_deterministic_algorithms(False)


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["eager", "graph"])
def test_a_run_does_not_depend_on_its_cohort(path: str) -> None:
    given = {"device": "cuda", "deterministic": True, "step_path": path}
    together = events_of(make_cohort(*VARIANTS, **given))
    assert set(together) == set(VARIANTS)
    for name, events in together.items():
        assert isinstance(events[-1], Finished), events[-1]
        assert facts(events) == facts(events_of(make_cohort(name, **given))[name])


@pytest.mark.parametrize("path", ["eager", "graph"])
def test_a_run_resumes_to_the_same_bytes(path: str) -> None:
    job = make_cohort(
        "none", device="cuda", deterministic=True, checkpoint_seconds=0, step_path=path
    )
    whole = [event for _, event in run_events(job)]
    assert not any(isinstance(event, Noted) for event in whole)
    start = next(event for event in whole if isinstance(event, Checkpoint))
    again = events_of(replace(job, runs=(replace(job.runs[0], start=start.content),)))["none"]
    expected = [event for event in whole if not isinstance(event, Checkpoint)]
    assert facts(again) == facts(expected)[start.epoch :]


@pytest.mark.parametrize("precision", ["amp", "fp32"])
def test_a_run_learns(precision: str) -> None:
    recipe = {"epochs": 4, "precision": precision, "batch_size": 64}
    [*_, result] = events_of(make_cohort("cbam", device="cuda", step_path="graph", recipe=recipe))[
        "cbam"
    ]
    assert isinstance(result, Finished)
    assert result.test_accuracy > 0.8


@dataclass(frozen=True)
class Capped:
    """Two runs under a cap that one network of this batch may not pass."""

    path: str

    def __call__(self) -> Iterator[Any]:
        prepare_machine("cuda")
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
        given = {"device": "cuda", "step_path": self.path, "recipe": {"batch_size": 1024}}
        yield from make_cohort("none", "se", **given)()


def of_worker(job: Any, *others: Any) -> list[list[Any]]:
    """What jobs give that are worked on one after the other, in one process while it is no worse for it."""
    found = []
    with make_executor("local", 1) as executor:
        for each in (job, *others):
            executor.submit("job", each)
            found.append([])
            while executor.busy:
                found[-1] += [event for _, event in executor.wait(1.0)]
    return found


@pytest.mark.parametrize("path", ["eager", "graph"])
def test_memory_that_runs_out_halves_the_cohort_and_fails_who_is_alone(path: str) -> None:
    """Out of memory, not an error; where it ran out in a capture in a process that then is spent."""
    [events] = of_worker(Capped(path))
    *events, end = events
    assert ("", Halved(1)) in events
    ends = {key: event.kind for key, event in events if isinstance(event, Failed)}
    assert set(ends.values()) <= {"oom"}
    assert end == Done(spent=True) or (end == Done() and set(ends) == {"none", "se"}), end


def test_a_profile_has_kernels(tmp_path: Any) -> None:
    variant = complete(Variant("cbam_cnn", "cbam", "pool*"))
    conditions = Conditions(Recipe(), open_dataset("digits", None, 32), "cuda")
    job = Profile((Network(variant, "0" * 16),), conditions, tmp_path)
    both = list(job())
    assert len(both) == 2, "as trained, and by module"
    for profiled in both:
        assert isinstance(profiled, Profiled)
        assert profiled.trace.reason is None
        assert sum(row.self_device_us for row in profiled.rows) > 0


# ── what ends a process ──────────────────────────────────────────────────────────────────────────


class Waits(torch.nn.Module):
    """It reads a value back, which no capture allows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.mean() > -1e9)


class Waiting:
    """A cohort with such a network, to be stepped by graph."""

    def __call__(self) -> Iterator[str]:
        prepare_machine("cuda")
        images = open_dataset("digits", None, 32).load()
        recipe = Recipe(epochs=1)
        members = cohort_of(["none"], recipe, BF16)
        members[0].trainer.net = torch.nn.Sequential(Waits(), members[0].trainer.net)
        try:
            train_epoch(
                members, to_device(images, "validation", 0.1, torch.device("cuda")),
                recipe, 1, 1, Graphs(),
            )  # fmt: skip
        except CaptureError as error:
            yield str(error)
            raise ProcessSpentError from error


class IllegalAccess:
    """A kernel that reads where nothing is; what is asked of the device next fails as well."""

    def __call__(self) -> Iterator[str]:
        there = torch.zeros(1, device="cuda")
        yield str(there[torch.tensor([5], device="cuda")].cpu())


def test_a_failed_capture_and_an_illegal_access_make_no_other_cohort_fail() -> None:
    trains = make_cohort("none", device="cuda", step_path="graph")
    captured, after, lost, again = of_worker(Waiting(), trains, IllegalAccess(), trains)
    assert captured[-1] == Done(spent=True), captured
    assert isinstance(lost[-1], Died)
    for events in (after, again):
        assert events[-1] == Done()
        assert isinstance(events[-2][1], Finished), events[-2]


# ── what is chosen and measured ──────────────────────────────────────────────────────────────────


def test_fp32_is_fp32_in_every_library() -> None:
    """TF32 gives 3e-4."""
    machine = prepare_machine("cuda", "fp32")
    place = describe_process(machine, {})
    assert (place["fp32_precision"], place["tf32"]) == ("ieee", False)
    torch.manual_seed(0)
    x, weight = torch.randn(64, 64, 16, 16), torch.randn(64, 64, 3, 3)
    rows, columns = torch.randn(512, 512), torch.randn(512, 512)
    lstm = torch.nn.LSTM(64, 64)
    steps = torch.randn(16, 8, 64)
    works = {
        "convolution": lambda to: torch.nn.functional.conv2d(to(x), to(weight), padding=1),
        "product": lambda to: to(rows) @ to(columns),
        "recurrence": lambda to: copy.deepcopy(lstm).to(to(steps))(to(steps))[0],
    }
    for name, work in works.items():
        exact = work(lambda value: value.double())
        found = work(lambda value: value.cuda()).double().cpu()
        assert (found - exact).norm() / exact.norm() < 1e-5, name


def test_kernels_are_chosen_by_replays() -> None:
    [chosen] = MeasureKernels("cuda", "amp")()
    assert set(chosen) == set(fusable())
    assert all("times as fast" in choice.reason for choice in chosen.values()), chosen


def test_costs_are_those_of_the_recorded_step() -> None:
    variant = complete(Variant("cbam_cnn", "cbam", "pool*"))
    dataset = open_dataset("digits", None, 32)
    network = Network(variant, "0" * 16)
    how = Conditions(Recipe(), dataset, "cuda", recorded=True)
    job = Throughput((network,), network, how, full(3, 1, 0.05))
    parts = [
        next(event for event in replace(job, process=number)() if isinstance(event, Timings))
        for number in range(3)
    ]
    found = {cost.mode: cost for cost in costs_of(parts, network.fingerprint, "full")}
    assert set(found) == {"train", "infer", "eager"}
    assert found["train"].images_per_second > found["eager"].images_per_second
    assert found["infer"].latency_ms < found["eager"].latency_ms


def test_as_many_runs_as_fit_are_measured_side_by_side() -> None:
    variants = tuple(
        complete(Variant("cbam_cnn", "se", "pool3", (("reduction", r),))) for r in (4, 8)
    )
    dataset = open_dataset("digits", None, 32)
    job = MeasureCohorts((*variants, *variants), Recipe(), dataset, "cuda", {}, "graph")
    assert [each.size for each in job()] == [1, 2, 4]
