"""A stand-in for a CUDA graph, and small cohorts to step by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.system.hardware.precision import Precision
from ablate.train.cohort import Member, Pass, train_epoch
from ablate.train.data import Data, Part, to_device
from ablate.train.graphs import compile_network
from ablate.train.recorder import WARM_UP_STEPS
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
        net = build(complete(Variant("cbam_cnn(width=0.25)", name, position)), 10, 16, SEED)
        trainer = make_trainer(net, recipe, CPU, precision)
        for group in trainer.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])  # as on a GPU
        members.append(Member(trainer))
    return members


@pytest.fixture(scope="module")
def data() -> Data:
    """Two whole batches of 64 and a rest."""
    whole = to_device(open_dataset("digits", None, 16).load(), "validation", 0.1, CPU)
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


class Broken(Repeater):
    def capture(self, work: Callable[[], None]) -> None:
        super().capture(work)
        raise ValueError("it syncs")


quickly = partial(compile_network, backend="aot_eager")
"""Traced and cut into forward and backward, in a second; no code is written."""
