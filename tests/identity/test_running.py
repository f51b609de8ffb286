"""What is no part of a built network and changes its numbers: the environment, what a forward loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import message

from ablate.errors import NetworkChangedError
from ablate.identity.known import forget_origins
from ablate.identity.origin import find_origin
from ablate.identity.proof import name_network, prove_origin
from ablate.identity.statements import read_statements

NETS = """
import os
import torch
from torch import nn

SHIFT = float(os.getenv("NET_SHIFT", "0"))

class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)

    @property
    def scale(self):
        return float(os.environ.get("NET_SCALE", "1"))

    def forward(self, x):
        here = os.environ.get("NET_CACHE", "")
        return self.fc(self.a(x).mean((2, 3))) * self.scale + SHIFT

class Late(Plain):
    loaded = False

    def forward(self, x):
        if not self.loaded:
            self.loaded = True
            self.load_state_dict(torch.load("late.pth"))
        return super().forward(x)

class Counts(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)
"""


@pytest.fixture
def origin(
    own_module: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    own_module("runningnets", NETS)
    monkeypatch.chdir(tmp_path)
    return lambda name: find_origin(f"runningnets:{name}", 10, image_size=8).digest


def save(seed: int) -> None:
    torch.manual_seed(seed)
    conv, fc = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 10)
    state = {f"a.{k}": v for k, v in conv.state_dict().items()}
    torch.save(state | {f"fc.{k}": v for k, v in fc.state_dict().items()}, "late.pth")


@pytest.mark.parametrize("variable", ["NET_SCALE", "NET_SHIFT"])
def test_a_variable_that_a_network_reads_counts_while_it_is_set(
    origin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    unset = origin("Plain")
    found = [unset]
    for value in ("1", "3"):
        monkeypatch.setenv(variable, value)
        found.append(origin("Plain"))
    assert len(set(found)) == 3
    monkeypatch.delenv(variable)
    monkeypatch.setenv("NET_CACHE", "/somewhere")
    assert origin("Plain") == unset, "where something lies is another on every machine"


def test_a_worker_with_another_variable_is_refused(
    origin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_origins()
    named = name_network("runningnets:Plain", 10, None, 8)
    assert named is not None
    prove_origin(named, 8)
    monkeypatch.setenv("NET_SCALE", "3")
    said = message(NetworkChangedError, lambda: prove_origin(named, 8))
    assert "(other environment variable NET_SCALE)" in said


def test_weights_that_the_first_forward_loads_count(origin: Callable[[str], str]) -> None:
    save(1)
    first = origin("Late")
    assert origin("Late") == first
    named = name_network("runningnets:Late", 10, None, 8)
    assert named is not None
    save(2)
    assert origin("Late") != first
    said = message(NetworkChangedError, lambda: prove_origin(named, 8))
    assert "other weights that a forward changes, a.bias" in said


def test_a_forward_that_changes_nothing_adds_nothing(origin: Callable[[str], str]) -> None:
    found = find_origin("runningnets:Plain", 10, image_size=8)
    assert set(found.network) & {"tensors after a forward", "environment"} == set()
    assert origin("Counts") == origin("Counts")


def test_every_way_to_read_a_variable_is_seen() -> None:
    source = b"""
import os
from os import environ, getenv
a = os.environ["A"], environ["B"], os.getenv("C"), getenv("D", 1), os.environ.get("E"), "F" in environ
b = environ.setdefault("G", "1"), os.environ[name], other["H"], os.environ.copy()
"""
    assert read_statements(source).variables == set("ABCDEFG")
