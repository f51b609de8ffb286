"""The step that a CUDA graph records, here recorded by a repeater: it trains what eager steps train.

What only a GPU can show, that CUDA captures it, is in test_gpu.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.train.cohort import Member, Pass, step_eagerly, train_epoch
from ablate.train.data import Data, Part, to_device
from ablate.train.graphs import WARM_UP_STEPS, Graphs
from ablate.train.histograms import HistogramTaker
from ablate.train.precision import BF16, FP32, Precision
from ablate.train.step import Trainer, make_trainer

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

    def record(self, work: Callable[[], None]) -> None:
        for _ in range(WARM_UP_STEPS):
            work()
        if self.error is not None:
            raise self.error
        self.work = work

    def repeat(self, dropout_seed: int) -> None:
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
