"""A package of a user's network in which one thing at a time can be another."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from support.own_code import forget_findings
from torch import Tensor, nn

from ablate.model import build, identify
from ablate.study import Variant
from ablate.system.software.imports import allow_imports

PACKAGE = "mutant"
SIZE = 8

NETS = """
import enum, functools, pathlib, types
from collections import OrderedDict, deque
from dataclasses import dataclass, field
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from .base import Base
from . import tools

HERE = pathlib.Path(__file__).parent

@dataclass
class Config:
    level: int = 1
    more: list = field(default_factory=list)

class Level(enum.Enum):
    low = 1
    high = 2

class Plain:
    def __init__(self, level): self.level = level
    def times(self, x): return x * self.level
    def __call__(self, x): return self.times(x)

class Slotted:
    __slots__ = ("level",)
    def __init__(self, level): self.level = level

class Words(dict):
    pass

def times(level, x): return x * level
def once(x): return x
def twice(x): return x * 2
LAMBDAS = {1: lambda x: x * 1, 2: lambda x: x * 2}

def closing(level):
    def inner(x): return x * level
    return inner

def made(level):
    class Made:
        def times(self, x): return x * level
    return Made

def fields(level):
    return type("Fields", (), {"level": level})

def setting(level):
    global SETTING
    SETTING = level

def elsewhere(level): tools.level = level
def labelled(level): Plain.label = level

KEEP = {
    "number": (lambda n: n, lambda k: k),
    "text": (str, int),
    "none": (lambda n: None if n == 1 else n, lambda k: k or 1),
    "list": (lambda n: [0, n], lambda k: k[1]),
    "tuple": (lambda n: (0, (n,)), lambda k: k[1][0]),
    "dict": (lambda n: {"a": {"b": n}}, lambda k: k["a"]["b"]),
    "order": (lambda n: {"a": 1, "b": 2} if n == 1 else {"b": 2, "a": 1}, lambda k: next(iter(k.values()))),
    "ordered": (lambda n: OrderedDict(a=n), lambda k: k["a"]),
    "words": (lambda n: Words(a=n), lambda k: k["a"]),
    "deque": (lambda n: deque([n]), lambda k: k[0]),
    "set": (lambda n: {"x", "y", "z", str(n)}, lambda k: 2 if "2" in k else 1),
    "range": (lambda n: range(n), len),
    "bytes": (lambda n: bytes([n]), lambda k: k[0]),
    "dataclass": (Config, lambda k: k.level),
    "enum": (Level, lambda k: k.value),
    "object": (Plain, lambda k: k.level),
    "slots": (Slotted, lambda k: k.level),
    "namespace": (lambda n: types.SimpleNamespace(a=[n]), lambda k: k.a[0]),
    "function": (lambda n: [once, twice][n - 1], lambda k: k(1)),
    "lambda": (lambda n: LAMBDAS[n], lambda k: k(1)),
    "closure": (closing, lambda k: k(1)),
    "partial": (lambda n: functools.partial(times, n), lambda k: k(1)),
    "method": (lambda n: Plain(n).times, lambda k: k(1)),
    "functor": (Plain, lambda k: k(1)),
    "class": (made, lambda k: k().times(1)),
    "class with a value": (fields, lambda k: k.level),
    "global": (setting, lambda k: SETTING),
    "global item": (lambda n: tools.CONFIG.update(level=n), lambda k: tools.CONFIG["level"]),
    "global of a module": (elsewhere, lambda k: tools.level),
    "value of a class": (labelled, lambda k: Plain.label),
    "module of python": (lambda n: [tools.one, tools.two][n - 1], lambda k: k.LEVEL),
    "scalar": (np.float32, float),
    "array": (lambda n: np.full(2, n), lambda k: int(k[0])),
    "tensor": (lambda n: torch.full((2,), float(n)), lambda k: k[0].item()),
    "dtype": (lambda n: [torch.float32, torch.float64][n - 1], lambda k: torch.finfo(k).bits // 32),
    "size": (lambda n: torch.Size([n]), lambda k: k[0]),
    "path": (lambda n: pathlib.Path(str(n)), lambda k: int(k.name)),
    "modules": (lambda n: [nn.Dropout(n / 10)], lambda k: k[0].p * 10),
}

def double(module, inputs, output): return output * 2

class Net(Base):
    def __init__(self, classes, form, level, act, corners):
        super().__init__()
        self.where = [HERE / "a.pt", str(HERE)]
        self.kept, self.form, self.act = KEEP[form][0](level), form, getattr(F, act)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=corners)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.first, self.second = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, classes)
    def forward(self, x):
        x = self.act(self.conv(self.up(x))) * KEEP[self.form][1](self.kept)
        x = self.second(tools.gain(self.first(x)))
        return self.fc(self.drop(self.pooled(x)))

class Resting(nn.Dropout):
    def train(self, mode=True): return super().train(False)

def make(classes, *, form="number", level=1, act="relu", corners=False, init="usual", weights="seed",
         frozen="", resting=False, hook=False, tied=False):
    net = Net(classes, form.replace("_", " "), level, act, corners)
    if init == "ortho": nn.init.orthogonal_(net.fc.weight)
    if init == "zero": nn.init.zeros_(net.fc.weight)
    if init == "small": net.fc.weight.data.mul_(0.9)
    if weights != "seed": net.conv.load_state_dict(torch.load(HERE / f"{weights}.pt"))
    if frozen: getattr(net, frozen).requires_grad_(False)
    if resting: net.drop = Resting(0.5)
    if hook: net.conv.register_forward_hook(double)
    if tied: net.second = net.first
    return net
"""
BASE = """
from torch import nn

class Base(nn.Module):
    def pooled(self, x): return x.mean((2, 3)) * BASE
"""
TOOLS = """
from . import one, two

CONFIG = {"level": 0}

def gain(x):
    from .deep import factor  # an import that only a call reaches
    return x * factor()
"""
DEEP = "def factor(): return DEEP\n"


@dataclass(frozen=True)
class Genome:
    """The options of the network, what its files say, and which weights lie beside it."""

    options: tuple[tuple[str, str], ...]
    base: int = 1
    deep: int = 1
    file: int = 1

    @property
    def backbone(self) -> str:
        return f"{PACKAGE}.nets:make({', '.join(f'{k}={v}' for k, v in self.options)})"


def write(genome: Genome, folder: Path) -> None:
    package = folder / PACKAGE
    package.mkdir(parents=True)
    files = {"__init__": "", "nets": NETS, "base": BASE.replace("BASE", str(genome.base))}
    files |= {"tools": TOOLS, "deep": DEEP.replace("DEEP", str(genome.deep))}
    files |= {"one": "LEVEL = 1\n", "two": "LEVEL = 2\n"}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    for number, name in enumerate("ab"):
        torch.manual_seed(10 * genome.file + number)
        torch.save(nn.Conv2d(3, 6, 3).state_dict(), package / f"{name}.pt")


@contextmanager
def imported(folder: Path, package: str = PACKAGE) -> Iterator[None]:
    """The packages of a folder can be imported, as by a new process."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    allow_imports([package])
    forget_findings()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]


def look(genome: Genome, folder: Path) -> tuple[str, list[Tensor | None]]:
    """The fingerprint, and what a seed gives: logits in both modes and every gradient."""
    write(genome, folder)
    with imported(folder):
        mark = identify(Variant(genome.backbone), 3, SIZE)
        net = build(Variant(genome.backbone), 3, SIZE, seed=4).train()
        images = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        logits = net(images)
        if logits.requires_grad:
            nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        numbers = [logits.detach(), net.eval()(images).detach()]
        return mark, [*numbers, *(p.grad for p in net.parameters())]


def equal(one: list[Tensor | None], two: list[Tensor | None]) -> bool:
    return len(one) == len(two) and all(
        (a is None) == (b is None) and (a is None or (b is not None and torch.equal(a, b)))
        for a, b in zip(one, two, strict=True)
    )
