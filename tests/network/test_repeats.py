"""The same network twice under one seed, also by way of a checkpoint; and what importing it draws."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import message, small_plan

from ablate.errors import PlacementError
from ablate.measure.step_guards import StepAsked
from ablate.measure.step_proof import prove_step
from ablate.network.repeats import check_repeats
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import find_machine
from ablate.system.software.imports import import_object

NETS = """
import os, random, secrets, time
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)
        self.begin()
    def begin(self): pass
    def act(self, x): return x
    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))

class Drops(Net):
    def act(self, x): return F.dropout(x, 0.5) * random.random() * np.random.rand()

class Whole(Net):
    def act(self, x): return x if not self.training or torch.rand(()) < 0.4 else 0 * x

class DefaultRng(Net):
    def begin(self): self.conv.bias.data.fill_(np.random.default_rng().random())

class Urandom(Net):
    def begin(self): self.conv.bias.data.fill_(os.urandom(1)[0] / 7 + secrets.randbelow(99))

class Reseeds(Net):
    def __init__(self, classes):
        torch.seed()
        super().__init__(classes)

SHARED = torch.Generator().manual_seed(3)

class OneGenerator(Net):
    def begin(self): nn.init.normal_(self.conv.weight, generator=SHARED)

class Unseeded(Net):
    def begin(self): self.generator = np.random.default_rng()
    def act(self, x): return x * self.generator.random() if self.training else x

class Clock(Net):
    def act(self, x): return x * (time.perf_counter() % 1)

class ClassCounts(Net):
    calls = 0
    def act(self, x):
        ClassCounts.calls += 1
        return x / ClassCounts.calls

class OneList(Net):
    def __init__(self, classes, seen=[]):
        super().__init__(classes)
        self.seen = seen
    def act(self, x):
        self.seen.append(1)
        return x / len(self.seen)

class Evaluates(Net):
    seen = torch.zeros(())
    def act(self, x): return x if self.training else x * self.seen.add_(1)

class Counts(Net):
    calls = 0
    def act(self, x):
        self.calls += 1
        return x / self.calls

class Buffers(Net):
    def begin(self): self.register_buffer("seen", torch.zeros(()), persistent=False)
    def act(self, x): return x / self.seen.add_(1)

class Extra(Net):
    def get_extra_state(self): return {"a": 1}
    def set_extra_state(self, state): pass
"""


@pytest.fixture(autouse=True)
def nets(own_module: Callable[[str, str], None]) -> None:
    own_module("repeating", NETS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Net", None),
        ("Drops", None),
        ("Whole", None),
        ("Buffers", None),
        ("DefaultRng", "begins otherwise each time under one seed ('conv.bias' differs)"),
        ("Urandom", "begins otherwise each time under one seed ('conv.bias' differs)"),
        ("Reseeds", "begins otherwise each time under one seed ('conv.weight' differs)"),
        ("OneGenerator", "begins otherwise each time under one seed ('conv.weight' differs)"),
        ("Unseeded", "gives other values each time under one seed"),
        ("Clock", "gives other values each time under one seed"),
        ("ClassCounts", "gives other values each time under one seed"),
        ("OneList", "gives other values each time under one seed"),
        ("Evaluates", "gives other values each time under one seed"),
        ("Counts", "keeps what a forward leaves behind where no checkpoint holds it"),
    ],
)
def test_a_network_that_does_not_repeat_is_told(name: str, said: str | None) -> None:
    found = check_repeats(f"repeating:{name}", 10, 8)
    assert found is None if said is None else found is not None and said in found


def test_a_plan_says_so() -> None:
    plan = small_plan(backbone="repeating:Unseeded", grid=[{"attention": "none"}], seeds=1)
    assert any("gives other values each time under one seed" in note for note in plan.notes)


def test_ours_needs_no_look() -> None:
    assert check_repeats("cbam_cnn", 10, 32) is None


def test_extra_state_that_no_checkpoint_could_hold_is_refused() -> None:
    asked = StepAsked(
        Variant("repeating:Extra"), 10, 8, (4,), Recipe(), find_machine("cpu", "fp32")
    )
    said = message(PlacementError, lambda: prove_step(asked))
    assert "its state_dict has '_extra_state', which is no tensor" in said


def test_what_importing_draws_is_the_same_in_each_process_and_takes_nothing(
    tmp_path: Path, own_module: Callable[[str, str], None]
) -> None:
    own_module(
        "drawnfirst",
        "import random, numpy, torch\nK = random.random(), numpy.random.rand(), torch.rand(()).item()",
    )
    drawn = []
    for seed in (1, 2):
        sys.modules.pop("drawnfirst", None)
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state()
        drawn.append(import_object("drawnfirst:K"))
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[1]
