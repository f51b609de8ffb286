"""Networks of a user's from real reports: run keys differ where a number could, or one line says why not."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import message, small_plan
from support.mutant import imported

from ablate.errors import StudyError
from ablate.identity.known import origin
from ablate.identity.sources import _library
from ablate.model import identify
from ablate.study import Variant

PRETRAINED = """
import os, torch, torch.nn as nn

HERE = os.path.dirname(__file__)

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.block2 = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(32, classes)
    def forward(self, x):
        return self.head(self.block2(self.block1(x)).mean((2, 3)))

def scratch(classes):
    return Net(classes)

def pretrained(classes):
    net = Net(classes)
    net.load_state_dict(torch.load(os.path.join(HERE, "pre.pth")))
    return net

def frozen(classes):
    net = pretrained(classes)
    for p in net.parameters(): p.requires_grad_(False)
    return net

class Frozen(Net):
    def __init__(self, classes):
        super().__init__(classes)
        self.load_state_dict(torch.load(os.path.join(HERE, "pre.pth")))
        self.block1.requires_grad_(False)

    @classmethod
    def all(cls, classes):
        net = cls(classes)
        net.head.requires_grad_(False)
        return net

allfrozen = Frozen.all
"""
SETTINGS = """
import os, threading, torch, torch.nn as nn, torch.nn.functional as F
from ownlib import scaled

class Act(nn.Module):
    def __init__(self, classes, *, act="relu", dilation=1):
        super().__init__()
        self.act, self.d = getattr(F, act), [dilation, dilation]
        self.conv, self.fc = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, classes)
    def forward(self, x):
        x = F.avg_pool2d(self.act(self.conv(x)), 3, self.d)
        return self.fc(scaled(x.mean((2, 3))))

class Base(Act): pass

def locked(classes):
    net = Base(classes)
    net.conv.told = {"who": [1, threading.Lock()]}
    return net

def restless(classes):
    net = Base(classes)
    net.token = os.urandom(8)
    net.drawn = torch.rand(3)
    net.conv.extra_repr = lambda: repr(object())
    return net

def wrapped(classes):
    from torchvision.ops import SqueezeExcitation
    net = Base(classes)
    net.conv = nn.Sequential(net.conv, SqueezeExcitation(16, 4))
    return net

def one_weight(classes, *, at=0.0):
    net = Base(classes)
    weight = torch.linspace(-1, 1, 432).reshape(16, 3, 3, 3)
    weight[3, 1, 1, 1] += at
    net.conv.weight.data = weight
    return net

class Hidden(Base):
    def __init__(self, classes, *, offset=0.0, eps=1e-5, norm_first=False):
        super().__init__(classes)
        self.register_buffer("offset", torch.full((1,), offset), persistent=False)
        self.block = nn.TransformerEncoderLayer(16, 2, 8, norm_first=norm_first, batch_first=True)
        self.norm = nn.BatchNorm2d(16, eps=eps)
    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3)) + self.offset
        return self.fc(self.block(x[:, None])[:, 0])
"""
Keys = Callable[..., list[str | None]]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    """The run keys of a plan: none and SE after a module, in the packages of a folder."""
    (tmp_path / "ownpre.py").write_text(PRETRAINED)
    (tmp_path / "ownset.py").write_text(SETTINGS)
    (tmp_path / "ownlib.py").write_text("def scaled(x): return x\n")
    save(tmp_path / "pre.pth", seed=1)
    with ExitStack() as stack:
        for package in ("ownlib", "ownset", "ownpre"):
            stack.enter_context(imported(tmp_path, package))
        monkeypatch.setenv("ABLATE_ALLOW_IMPORT", "ownset,ownpre")

        def plan(backbone: str, position: str = "conv", **study: str) -> list[str | None]:
            se = {"attention": "se", "position": position, "reduction": 4}
            grid = [{"attention": "none"}, se]
            cells = small_plan(backbone=backbone, grid=grid, seeds=1, **study).cells
            return [cell.run_key for cell in cells]

        yield plan


def save(file: Path, seed: int | None) -> None:
    torch.manual_seed(seed or 0)
    with imported(file.parent, "ownpre"):
        from ownpre import Net  # noqa: PLC0415 - it is in the test's own folder

        state = Net(10).state_dict()
    torch.save({k: v if seed else torch.zeros_like(v) for k, v in state.items()}, file)


@pytest.mark.slow
def test_pretrained_scratch_and_frozen_networks_are_six_runs(keys: Keys, tmp_path: Path) -> None:
    names = ("scratch", "pretrained", "frozen", "Frozen", "allfrozen")
    found = [k for name in names for k in keys(f"ownpre:{name}", "block2")]
    assert len(set(found)) == len(found) == 10
    assert keys("ownpre:Net", "block2") == found[:2], "the same network by another name"
    for seed in (2, None):
        save(tmp_path / "pre.pth", seed)
        assert keys("ownpre:scratch", "block2") == found[:2], "it loads nothing"
        again = [k for name in names[1:] for k in keys(f"ownpre:{name}", "block2")]
        assert not set(again) & set(found)
        found += again


@pytest.mark.slow
def test_functions_lists_and_bases_are_told_apart(keys: Keys) -> None:
    names = ("Act", "Act(act=gelu)", "Act(act=silu)", "Act(dilation=2)", "Base")
    found = [k for name in names for k in keys(f"ownset:{name}")]
    assert len(set(found)) == len(found) == 10
    assert keys("ownset:Act(act=relu, dilation=1)") == found[:2], "defaults written out"


@pytest.mark.slow
def test_settings_that_torch_does_not_print_and_buffers_that_it_does_not_save(keys: Keys) -> None:
    names = ("Hidden", "Hidden(offset=0.5)", "Hidden(norm_first=true)", "Hidden(eps=0.1)")
    found = [keys(f"ownset:{name}")[0] for name in names]
    assert len(set(found)) == len(found)


@pytest.mark.slow
def test_one_loaded_weight_is_enough(keys: Keys) -> None:
    found = [keys(f"ownset:one_weight{at}")[0] for at in ("", "(at=0.000001)", "(at=0.5)")]
    assert len(set(found)) == len(found)
    assert keys("ownset:one_weight(at=0.0)")[0] == found[0]


def test_what_cannot_be_described_is_refused_or_named_by_hand(keys: Keys) -> None:
    said = message(StudyError, lambda: keys("ownset:locked"))
    assert said == (
        "ownset:locked: conv keeps \"told['who'][1]\" of type _thread.lock, which says nothing about "
        "itself that could tell two networks apart: keep it elsewhere, or name the network by hand with "
        'identity = "…" in the study, another name after every change'
    )
    first = keys("ownset:locked", identity="first")
    assert first == keys("ownset:locked", identity="first")
    assert not set(first) & set(keys("ownset:locked", identity="second"))


def test_an_identity_counts_for_any_network_and_none_adds_nothing() -> None:
    assert origin("cbam_cnn", 10) is None is origin("torchvision:resnet18", 10)
    plain = identify(Variant("cbam_cnn"), 10, 32)
    named = {identify(Variant("cbam_cnn"), 10, 32, name) for name in ("a", "b")}
    assert len(named) == 2
    assert plain not in named


def test_what_differs_from_build_to_build_does_not_count(keys: Keys) -> None:
    assert keys("ownset:restless") == keys("ownset:restless") != keys("ownset:Base")


@pytest.mark.slow
def test_an_edited_file_counts_if_the_network_reaches_it(keys: Keys, tmp_path: Path) -> None:
    before, other = keys("ownset:Act"), keys("ownpre:Net", "block2")
    (tmp_path / "ownlib.py").write_text("def scaled(x): return x * 2\n")
    after = keys("ownset:Act")
    assert not set(before) & set(after), "a package beside, that nobody installed"
    assert keys("ownpre:Net", "block2") == other
    (tmp_path / "ownlib.py").write_bytes(b"def scaled(x): return x * 2\r\n")
    assert keys("ownset:Act") == after, "another system's ends of lines"


@pytest.mark.slow
def test_a_library_counts_by_its_version(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = keys("ownset:wrapped"), keys("ownpre:Net", "block2")
    version = importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.metadata, "version", lambda n: "9" if n == "torchvision" else version(n)
        )
        _library.cache_clear()
        assert not set(keys("ownset:wrapped")) & set(before)
        assert keys("ownpre:Net", "block2") == other, "it does not use it"
    _library.cache_clear()
    assert keys("ownset:wrapped") == before


def test_a_library_that_replaces_a_builtin_is_none_of_the_network(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray does with `print`, and notebooks with more."""
    before = keys("ownpre:Net", "block2")
    monkeypatch.setattr("builtins.print", torchvision.io.read_image)
    assert keys("ownpre:Net", "block2") == before


@pytest.mark.slow
def test_another_process_finds_the_same(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from support.mutant import Genome, look; import sys\n"
        "for form in ('set', 'lambda', 'closure', 'class', 'enum', 'method'):\n"
        "    print(look(Genome((('form', form),)), Path(sys.argv[1], form))[0])"
    )
    tests = str(Path(__file__).parents[1])
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / seed)],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([tests, *sys.path]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert len(set(said[0].split())) == 6
