"""What no setting says, and no source: values that modules read, hide or change, code from elsewhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import message

from ablate.errors import NetworkChangedError, StudyError
from ablate.identity.known import forget_origins
from ablate.identity.origin import find_origin
from ablate.identity.proof import name_network, prove_origin
from ablate.identity.statements import read_statements

NET = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)
    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))
"""
BESIDE = {
    "named in text": 'import importlib\ndef act(x): return importlib.import_module("{0}").scaled(x)',
    "named by __import__": 'def act(x): return __import__("{0}").scaled(x)',
    "loaded from a path": """
import importlib.util as util
spec = util.spec_from_file_location("nobody", "{0}.py")
module = util.module_from_spec(spec)
spec.loader.exec_module(module)
act = module.scaled""",
    "run": 'import runpy\nact = runpy.run_path("{0}.py")["scaled"]',
    "executed": 'import pathlib\nexec(pathlib.Path("{0}.py").read_text())\nact = scaled',
    "compiled": """
import pathlib
exec(compile(pathlib.Path("{0}.py").read_text(), "{0}.py", "exec"))
act = scaled""",
}
READS = {
    "a constant": """
import json, pathlib
K = json.loads(pathlib.Path("k.json").read_text())["k"]
def act(x): return x * K""",
    "a block": """
with open("k.json") as file:
    TABLE = [float(line.split(":")[1].rstrip("}}")) for line in file]
def act(x): return x * TABLE[0]""",
    "a function that reads": """
import json, pathlib
def load(): return json.loads(pathlib.Path("k.json").read_text())
class Settings:
    def __init__(self): self.k = load()["k"]
SETTINGS = Settings()
def act(x): return x * SETTINGS.k""",
    "a default": """
import json, pathlib
def scale(x, k=json.loads(pathlib.Path("k.json").read_text())["k"]): return x * k
def act(x): return scale(x)""",
}
LAID = """
import functools, re, types
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

class Hides:
    def __init__(self, k): self.k = k
    def __getstate__(self): return {}

class Reduced(Hides):
    def __reduce__(self): return Reduced, (0,)

def scaled(x): return x * scaled.k
def laid(k):
    scaled.k = k
    return scaled

def collected(k):
    linear = nn.Linear(2, 2)
    linear.weight.register_post_accumulate_grad_hook(functools.partial(grown, k))
    return linear
def grown(k, parameter): parameter.grad.mul_(k)

def in_one_memory(k):
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = nn.Parameter(first.weight.data if k == 1 else first.weight.data.clone())
    return nn.Sequential(first, second)

def quantized(k): return torch.quantize_per_tensor(torch.ones(2), k / 10, 0, torch.qint8)
def masked(k): return np.ma.array([1, 2], mask=[k == 1, False])
def rests(k): return [nn.Dropout().train(k == 1)]

class Bare(nn.Module):
    def __init__(self, k): super().__init__(); self.k = k
    def set_extra_state(self, state): pass

TABLE: dict[str, int] = {"k": 1}
GROWN, LEVEL = torch.zeros(2), 1
def aliased(k):
    table = TABLE
    write(table, k)
def write(into, k): into["k"] = k
def filled(k): GROWN.fill_(k)
def by_name(k): globals()["LEVEL"] = k
def patched(k): nn.Hardswish.forward = functools.partialmethod(times, k)
def times(self, x, k): return x * k
def replaced(k): F.hardswish = functools.partial(times, k)

KEPT = {f.__name__: f for f in (
    Hides, Reduced, laid, collected, in_one_memory, quantized, masked, rests, Bare,
    aliased, filled, by_name, patched, replaced,
)} | {
    "pattern": lambda k: re.compile("a" * k),
    "ufunc": lambda k: [np.sin, np.cos][k - 1],
    "longdouble": lambda k: np.array([k], np.longdouble),
    "eight_bits": lambda k: torch.full((2,), float(k)).to(torch.float8_e4m3fn),
}

class Net(Base):
    def __init__(self, classes, *, form="Hides", k=1):
        super().__init__(classes)
        self.kept = KEPT[form](k)
    def act(self, x): return x

def nested(classes):
    net = Net(classes)
    net.kept = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    return net
"""
OTHERS = """
class Net(Base):
    def act(self, x): return act(x)
"""
Found = Callable[..., str]


@pytest.fixture
def found(own_module: Callable[[str, str], None], tmp_path: Path) -> Found:
    """The digest of a network in these files, imported anew."""

    def find(name: str = "hiding:Net", **files: str) -> str:
        for module, source in files.items():
            if module == "k":
                (tmp_path / "k.json").write_text(source)
            else:
                own_module(module, source)
                sys.modules.pop(module, None)
        importlib.invalidate_caches()
        return find_origin(name, 10, image_size=8).digest

    return find


@pytest.mark.parametrize("way", BESIDE)
def test_code_that_is_found_by_name_or_path_counts(found: Found, way: str) -> None:
    source = NET + BESIDE[way].format("beside") + OTHERS
    two, three, again = (
        found(hiding=source, beside=f"def scaled(x): return x * {k}\n") for k in (2, 3, 3)
    )
    assert two != three == again


@pytest.mark.parametrize("way", READS)
def test_what_a_module_reads_when_it_is_imported_counts(found: Found, way: str) -> None:
    source = NET + READS[way] + OTHERS
    two, three, again = (found(hiding=source, k=f'{{"k": {k}}}') for k in (2, 3, 3))
    assert two != three == again


def test_what_cannot_be_described_there_hinders_nobody(found: Found) -> None:
    locked = """
import threading
HELD = nn.Identity()
HELD.lock = threading.Lock()
LOCK = [HELD.lock]"""
    source = NET + locked + READS["a constant"] + OTHERS
    two, three = (found(hiding=source, k=f'{{"k": {k}}}') for k in (2, 3))
    assert two != three


def test_a_worker_that_read_another_value_is_refused(found: Found) -> None:
    source = NET + READS["a constant"] + OTHERS
    found(hiding=source, k='{"k": 2}')
    forget_origins()
    named = name_network("hiding:Net", 10, None, 8)
    assert named is not None
    prove_origin(named, 8)
    found(hiding=source, k='{"k": 3}')
    said = message(NetworkChangedError, lambda: prove_origin(named, 8))
    assert "(other values that are read, hiding.K)" in said


FORMS = (
    "Hides", "Reduced", "laid", "collected", "in_one_memory", "quantized", "masked", "rests", "Bare",
    "pattern", "ufunc", "longdouble", "eight_bits", "aliased", "filled", "by_name", "patched", "replaced",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("form", FORMS)
def test_what_shows_in_no_setting_counts(
    found: Found, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Hardswish, "forward", torch.nn.Hardswish.forward)
    monkeypatch.setattr(torch.nn.functional, "hardswish", torch.nn.functional.hardswish)
    one = found(f"hiding:Net(form={form})", hiding=NET + LAID)
    two, again = (found(f"hiding:Net(form={form}, k=2)") for _ in range(2))
    assert one != two == again


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_tensor_that_cannot_be_described_is_refused_in_one_line(found: Found) -> None:
    said = message(StudyError, lambda: found("hiding:nested", hiding=NET + LAID))
    assert "the network keeps 'kept' of type torch.Tensor, which says nothing about itself" in said


ASKS = {
    "another name": "from os import getenv as ask\ndef k(): return ask('NET_SCALE', '1')",
    "a constant": "import os\nNAME = 'NET_SCALE'\ndef k(): return os.environ.get(NAME, '1')",
    "a function": "import os\ndef ask(n): return os.getenv(n, '1')\ndef k(): return ask('NET_SCALE')",
    "a copy": "import os\ndef k(): return dict(os.environ).get('NET_SCALE', '1')",
}


@pytest.mark.parametrize("way", ASKS)
def test_a_variable_counts_however_it_is_asked_for(
    found: Found, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{NET}\n{ASKS[way]}\nHOSTED = 'HOSTNAME'\ndef act(x): return x * float(k()){OTHERS}"
    unset = found(hiding=source)
    monkeypatch.setenv("HOSTNAME", "another machine")
    assert found() == unset
    monkeypatch.setenv("NET_SCALE", "3")
    assert found() != unset


def test_a_value_as_it_is_written_adds_nothing() -> None:
    said = read_statements(
        b"""
import math
A, B, C, D = 1, [], {}, 2
TABLE, HALF = [1, {"a": 2}], math.pi / 2
LEVEL = 3
GROWS = []
GROWS.append(1)
def loads(path): return open(path).read()
class Net:
    def __init__(self): self.state = loads("w.pt")
"""
    )
    assert (said.literals, said.reads) == (
        {"A": 1, "B": [], "C": {}, "D": 2, "TABLE": [1, {"a": 2}], "LEVEL": 3},
        False,
    )
    assert said.callers == {"loads": {"open", "read"}, "Net": {"loads"}}
