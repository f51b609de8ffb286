"""Networks that draw from whatever there is: a run repeats to the byte, and disturbs nobody's generator."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Shell, message, small_plan
from support.graphs import Repeater
from torch import nn

from ablate.errors import StudyError
from ablate.model import build
from ablate.network.fresh import check_seeds, make_network
from ablate.network.places import find_places
from ablate.study import Recipe, Variant
from ablate.system.hardware.precision import FP32
from ablate.system.process.randomness import HostDraws, restored, seed_all, seeded
from ablate.system.software.imports import ALLOWED, allow_imports
from ablate.train.cohort import Member, train_epoch
from ablate.train.data import Data, Part
from ablate.train.graphs import Graphs
from ablate.train.step import make_trainer

NETWORKS = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

class Base(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=4)
        self.fc = nn.Linear(8, classes)
    def change(self, x):
        return x
    def forward(self, x):
        return self.fc(self.change(self.a(x).relu()).mean((2, 3)))

class Numpy(Base):
    def __init__(self, classes):
        super().__init__(classes)
        values = torch.from_numpy(np.random.normal(0, 0.3, self.a.weight.shape)).float()
        self.a.weight = nn.Parameter(values)
    def change(self, x):
        return x * float(np.random.uniform(0.5, 1.5))

class Wired(Base):
    def __init__(self, classes):
        super().__init__(classes)
        self.edges = [random.random() < 0.5 for _ in range(8)]
    def change(self, x):
        gate = torch.tensor(self.edges, dtype=x.dtype).reshape(1, -1, 1, 1)
        return x * (1 + gate) * random.choice([0.5, 1.0, 1.5])

class Dropping(Base):
    def change(self, x):
        return F.dropout(x, 0.5)

class Depth(Base):
    def __init__(self, classes):
        super().__init__(classes)
        self.drop = StochasticDepth(0.5, "row")
    def change(self, x):
        return x + self.drop(x.tanh())

class Seeded(Base):
    def __init__(self, classes):
        torch.manual_seed(42)
        np.random.seed(42)
        random.seed(42)
        super().__init__(classes)

class Sized(nn.Sequential):
    def __init__(self, classes):
        width = random.randrange(8, 4096)
        super().__init__(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, classes))

class Activated(Base):
    def __init__(self, classes, *, act=nn.ReLU(), mean=torch.ones(8, 1, 1)):
        super().__init__(classes)
        self.act = act
        self.register_buffer("mean", mean)
    def forward(self, x):
        return self.fc(self.act(self.a(x) - self.mean).mean((2, 3)))
def activated(classes, act=nn.ReLU(), mean=torch.ones(8, 1, 1)):
    return Activated(classes, act=act, mean=mean)

HEAD = nn.Linear(8, 10)
class Headed(Base):
    def __init__(self, classes):
        super().__init__(classes)
        self.fc = HEAD
class Viewed(Base):
    def __init__(self, classes):
        super().__init__(classes)
        self.fc.weight = nn.Parameter(HEAD.weight.data)

class Stubborn(nn.ReLU):
    def __deepcopy__(self, memo):
        return self
ONE = Stubborn()
class Uncopied(Base):
    def __init__(self, classes):
        super().__init__(classes)
        self.act = ONE
"""

TRAIN = """
import hashlib, json, os, sys
from ablate.datasets import open_dataset
from ablate.job import Cohort, Run
from ablate.study import Recipe, Variant
from ablate.system.software.imports import allow_imports

allow_imports(["drawing"])
os.chdir(sys.argv[1])
recipe = Recipe(epochs=1, batch_size=256, augment=["crop"])
digits = open_dataset("digits", None, 32)

def bytes_of(*names):
    runs = tuple(Run(name, Variant(f"drawing.nets:{name}"), keep=True) for name in names)
    ends = {key: event for key, event in Cohort(runs, 1, recipe, digits, "cpu")() if key}
    return {key: [hashlib.sha256(end.kept.weights).hexdigest(), end.test_loss, end.val_accuracy,
                  hashlib.sha256(end.kept.snapshot).hexdigest()]
            for key, end in ends.items()}

_, _, side_by_side, *names = sys.argv
size = int(side_by_side)
ends = [bytes_of(*names[i : i + size]) for i in range(0, len(names), size)]
print(json.dumps({key: value for end in ends for key, value in end.items()}))
"""
DRAWING = ["Numpy", "Wired", "Dropping", "Depth"]


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the user's, which may be imported."""
    package = tmp_path / "drawing"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    allow_imports(["drawing"])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "drawing"]:
        del sys.modules[name]


@pytest.mark.slow
def test_a_run_of_a_network_that_draws_repeats_to_the_byte(nets: Path) -> None:
    """In processes of their own: all side by side, and each by itself."""
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, nets, side_by_side, *DRAWING],
            env=environment, stdout=subprocess.PIPE, text=True,
        )
        for side_by_side in ("4", "1")
    ]  # fmt: skip
    together, alone = (json.loads(process.communicate(timeout=300)[0]) for process in processes)
    assert together == alone
    assert set(together) == set(DRAWING)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("name", ["Numpy", "Wired"])
def test_variants_of_a_seed_share_what_numpy_and_random_draw(name: str) -> None:
    backbone = f"drawing.nets:{name}"
    plain = build(Variant(backbone), 10, 32, 1)
    attended = build(Variant(backbone, "se", "a", (("reduction", 4),)), 10, 32, 1)
    other = build(Variant(backbone), 10, 32, 2)

    def drawn(net: nn.Module) -> list[Any]:
        return [net.a.weight.tolist(), getattr(net, "edges", None)]

    assert drawn(plain) == drawn(attended)
    assert drawn(plain) != drawn(other)


def test_seeds_are_those_that_were_asked_for_and_nobody_is_disturbed() -> None:
    def draws() -> tuple[float, float, float]:
        numbers = np.random.random(), torch.rand(())
        return random.random(), *map(float, numbers)  # noqa: S311

    seed_all(2**63 - 1)
    first, state = draws(), draws()
    seed_all(2**63 - 1)
    assert draws() == first
    with seeded(3):
        third = draws()
    with restored():
        seed_all(3)
        assert draws() == third
    assert draws() == state, "as if nothing had been drawn between"


def some_data() -> Data:
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    part = Part(images, torch.arange(8) % 2)
    return Data(part, part, part, (0.0,) * 3, (1.0,) * 3)


class Rolling(nn.Module):
    """Draws from one generator in every forward."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.fc, self.source = nn.Linear(3, 2), source

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.fc(x.mean((2, 3))) * float(self.source())
        return y


@pytest.mark.parametrize("source", [random.random, np.random.random], ids=["random", "numpy"])
def test_a_step_that_draws_on_the_host_is_no_graph(source: Any) -> None:
    recipe, data = Recipe(batch_size=4, augment=(), epochs=1), some_data()
    passes = []
    for stepping in (Graphs(Repeater), None):
        with seeded(1):
            net = Rolling(source)
        trainer = make_trainer(net, recipe, torch.device("cpu"), FP32)
        for group in trainer.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        before = HostDraws(torch.device("cpu"))
        arguments = ([Member(trainer)], data, recipe, 1, 1)
        passes += train_epoch(*arguments, stepping) if stepping else train_epoch(*arguments)
        assert before.seen() is None, "the process's own generators are as they were"
        if stepping:
            assert stepping.trouble is not None
            assert "a network draws from " in stepping.trouble
    assert passes[0].losses.tolist() == passes[1].losses.tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("nets")
def test_a_network_that_seeds_itself_is_told_in_plan_and_run(shell: Shell, nets: Path) -> None:
    (shell.folder / "drawing").symlink_to(nets / "drawing")
    for name in DRAWING:
        assert check_seeds(f"drawing.nets:{name}", 10) is None
    assert check_seeds("cbam_cnn", 10) is None
    (shell.folder / "s.toml").write_text(
        'name = "s"\ndataset = "digits"\nbackbone = "drawing.nets:Seeded"\nseeds = 2\n'
        '[recipe]\nepochs = 1\naugment = []\n[[grid]]\nattention = "none"\n'
    )
    said = "drawing.nets:Seeded begins with the same weights under every seed"
    for command in (
        ["plan", "s.toml"],
        ["plan", "s.toml", "--format", "json"],
        ["run", "s.toml", "--max-runs", "0", "--no-measure", "--device", "cpu"],
    ):
        code, out, err = shell(*command, "--allow-import", "drawing")
        assert (code, err) == (0, "")
        assert out.count(said) == 1


@pytest.mark.usefixtures("nets")
def test_a_network_whose_sizes_are_drawn_is_refused() -> None:
    grid = [{"attention": "none"}]
    said = message(StudyError, lambda: small_plan(backbone="drawing.nets:Sized", grid=grid))
    assert said.startswith(
        "drawing.nets:Sized is another network under another seed: '0.weight' is ["
    )
    assert said.endswith("make what its constructor draws there an option")


@pytest.mark.usefixtures("nets")
def test_networks_of_a_process_share_nothing() -> None:
    def parts(net: nn.Module) -> set[int]:
        own = [*net.modules(), *net.parameters(), *net.buffers()]
        return {id(part) for part in own} | {t.data_ptr() for t in net.buffers()}

    name = "drawing.nets:activated"
    one, other = make_network(name, 10), make_network(name, 10)
    assert not parts(one) & parts(other)
    assert [path for path, place in find_places(name, 10, 32).items() if place.problem is None] == [
        "a",
        "act",
    ]
    variant = Variant(name, "se", "act", (("reduction", 4),))
    nets = [build(variant, 10, 32, seed) for seed in (1, 1, 2)]
    assert not parts(nets[0]) & parts(nets[1]) & parts(nets[2])
    image = torch.ones(1, 3, 32, 32)
    assert torch.equal(nets[0](image), nets[1](image))
    assert not torch.equal(nets[0](image), nets[2](image))


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Headed", "all networks of a process share the weights 'fc.weight', so that every run"),
        ("Viewed", "all networks of a process share the weights 'fc.weight', so that every run"),
        (
            "Uncopied",
            "its networks share 'act', which is not copied with them: make it in the constr",
        ),
    ],
)
def test_networks_that_share_weights_are_refused(name: str, said: str) -> None:
    grid = [{"attention": "none"}]
    for _ in range(2):
        do = lambda: small_plan(backbone=f"drawing.nets:{name}", grid=grid)  # noqa: E731
        assert message(StudyError, do).startswith(f"drawing.nets:{name}: {said}")
