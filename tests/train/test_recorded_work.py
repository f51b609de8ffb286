"""What a CUDA graph records must neither wait for the device nor bring numbers to it: both end a capture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.graphs import SEED, Repeater, data, make_members
from support.recipes import RECIPES
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.study import Recipe
from ablate.study.recipe import PROTOCOL_DEFAULTS
from ablate.system.hardware.precision import FP32
from ablate.train.cohort import train_epoch
from ablate.train.data import Data
from ablate.train.graphs import Graphs

__all__ = ["data"]  # a fixture

REFUSED = {
    "aten::lift_fresh": "a tensor made of the host's numbers",
    "aten::_local_scalar_dense": "a number read back",
    "aten::nonzero": "as many results as there are values",
    "aten::masked_select": "as many results as there are values",
    "aten::_unique2": "as many results as there are values",
}
BESIDE_A_STEP = {
    "epochs", "learning_rate", "schedule", "augment", "normalize", "split", "validation_fraction",
    "precision", "trainer",
}  # fmt: skip
"""Keys of a recipe that change numbers alone in what is recorded, or nothing."""


class Watched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.name().split(".")[0]
        if name in REFUSED:
            self.seen.append(f"{name}: {REFUSED[name]}")
        return func(*args, **(kwargs or {}))


def watching(seen: list[str]) -> type[Repeater]:
    """A recorder that notes what would end a capture."""

    class Watching(Repeater):
        def capture(self, work: Callable[[], None]) -> None:
            super().capture(work)
            with Watched() as watched:
                work()
            seen.extend(watched.seen)

    return Watching


@pytest.mark.parametrize("name", RECIPES)
def test_a_recorded_step_reads_nothing_back_and_brings_nothing(name: str, data: Data) -> None:
    recipe = Recipe(**{"augment": (), "epochs": 1, **RECIPES[name]})
    seen: list[str] = []
    graphs = Graphs(watching(seen))
    train_epoch(make_members(recipe, FP32, ["se"]), data, recipe, SEED, 1, graphs)
    assert graphs.trouble is None
    assert seen == []


def test_every_key_of_a_recipe_is_tried() -> None:
    tried = {key for recipe in RECIPES.values() for key in recipe}
    assert set(PROTOCOL_DEFAULTS) - tried <= BESIDE_A_STEP


def test_what_ends_a_capture_is_seen() -> None:
    with Watched() as watched:
        one = torch.ones(2)
        one.new_tensor([1.0, 2.0])
        float(one[0])
    assert [each.split(": ")[0] for each in watched.seen] == [
        "aten::lift_fresh",
        "aten::_local_scalar_dense",
    ]
