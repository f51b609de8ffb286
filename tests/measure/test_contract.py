"""`ablate check-attention`: what public modules hold, and that each check can fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Shell, message

from ablate.errors import StudyError
from ablate.measure.contract import cost_of, look_at, subject_of
from ablate.measure.contract_checks import CHECKS, FIRST

PUBLIC = Path(__file__).parents[1] / "support" / "public_attention.py"
BROKEN = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
    def gate(self, x): return self.fc(x).sigmoid()
    def forward(self, x): return x * self.gate(x)
class GateOnly(Base):
    def forward(self, x): return self.gate(x).mean((2, 3), keepdim=True)
class Only64(Base):
    def __init__(self, channels):
        super().__init__(64)
class Wide(Base):
    def forward(self, x): return x * self.gate(x) * x.unfold(3, 2, 1).mean().detach().exp()
class Half(Base):
    def forward(self, x):
        if torch.is_autocast_enabled("cpu"): return (x * float("nan")).to(x.dtype)
        return super().forward(x)
class Detached(Base):
    def forward(self, x): return x * self.gate(x).detach()
class InPlace(Base):
    def forward(self, x):
        y = x * self.gate(x)
        with torch.no_grad(): x.zero_()
        return y
class Draws(Base):
    def forward(self, x): return x * self.gate(x) * torch.rand(1)
class Counts(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.seen = 0
    def forward(self, x):
        self.seen += self.training
        return x * self.gate(x) * (1 + self.seen)
class View(Base):
    def forward(self, x): return x * self.gate(x.view(len(x), -1).view_as(x))
class NoState(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.drawn = torch.rand(channels, 1, 1)
    def forward(self, x): return super().forward(x) * self.drawn
class Lambda(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.act = lambda x: x.sigmoid()
class Squeezes(Base):
    def forward(self, x):
        pooled = x.mean((2, 3)).squeeze()
        return x * self.gate(x) * pooled.sigmoid()[:, :, None, None]
class OverBatch(Base):
    def forward(self, x): return x * self.gate(x - x.mean(0, keepdim=True))
"""
FAILING = {
    FIRST: "GateOnly",
    "takes other numbers of channels": "Only64",
    "takes maps of any size": "Wide",
    "keeps the type, in bf16 too": "Half",
    "every parameter and the input get a gradient": "Detached",
    "leaves its input as it is": "InPlace",
    "repeats in evaluation": "Draws",
    "keeps nothing but buffers": "Counts",
    "channels last equals contiguous": "View",
    "its state can be stored": "NoState",
    "can be pickled and copied": "Lambda",
    "takes one image": "Squeezes",
    "images do not depend on each other": "OverBatch",
}
"""Each check and a module that does not hold it."""
PUBLIC_ONES = ("SELayer", "CoordAtt", "SimAM", "ECALayer", "ContextBlock", "TripletAttention")


@pytest.fixture(autouse=True)
def modules(own_module: Callable[[str, str], None]) -> None:
    own_module("brokenatts", BROKEN)
    own_module("publicatts", PUBLIC.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC_ONES)
def test_public_modules_hold_all_of_it(name: str) -> None:
    found = list(look_at(subject_of(f"publicatts:{name}", {})))
    assert [held.check for held in found] == list(CHECKS)
    assert [held for held in found if not held.held] == []


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_finds_what_it_is_for(check: str) -> None:
    found = {held.check: held for held in look_at(subject_of(f"brokenatts:{FAILING[check]}", {}))}
    assert not found[check].held
    assert "\n" not in f"{found[check].wrong}"
    assert len(found) == (1 if check == FIRST else len(CHECKS))


def test_an_unbroken_module_holds_all_of_it() -> None:
    assert all(held.held for held in look_at(subject_of("brokenatts:Base", {})))


def test_the_cost_is_that_of_the_paper() -> None:
    cost = cost_of(subject_of("publicatts:SELayer", {"reduction": 4}))
    assert (cost.parameters, cost.operations.macs) == (2 * 64 * 16, 2 * 64 * 16)
    ours = cost_of(subject_of("se", {"reduction": 4}))
    assert (ours.parameters, ours.operations.macs) == (cost.parameters, cost.operations.macs)


@pytest.mark.slow
def test_the_command_ends_with_0_1_or_2(shell: Shell) -> None:
    (shell.folder / "cmdatts.py").write_text(BROKEN + "class Needs(Base):\n    def __init__(self, "
                                             "channels, oup): super().__init__(channels)\n")  # fmt: skip
    allow = ("--allow-import", "cmdatts")
    code, told, _ = shell("check-attention", "cmdatts:Base", *allow)
    assert code == 0
    assert "13 checks held, 0 not" in told
    assert "on a map of 64×32×32: 4,160 parameters, 4,194,304 MACs" in told
    code, told, _ = shell("check-attention", "cmdatts:View", *allow)
    assert code == 1
    assert "write .reshape instead of .view" in told
    for wrong, said in {
        "cmdatts:Bas": "cmdatts has no 'Bas' (did you mean 'Base'?)",
        "cmdatts:Needs": "cmdatts:Needs needs oup",
        "cmdatts:Base(reduction=4)": "cmdatts:Base takes no 'reduction'; it takes no options",
        "sse": "unknown attention 'sse' (did you mean 'se'?)",
    }.items():
        code, told, error = shell("check-attention", wrong, *allow)
        assert (code, told, error.count("\n")) == (2, "", 1)
        assert said in error
    assert shell("check-attention", "cmdatts:Needs(oup=channels)", *allow)[0] == 0


def test_for_programs_it_is_json(shell: Shell) -> None:
    code, told, _ = shell("check-attention", "se(reduction=4)", "--format", "json")
    found = json.loads(told)
    assert (code, found["attention"], found["held"]) == (0, "se(reduction=4)", True)
    assert [check["check"] for check in found["checks"]] == list(CHECKS)
    assert found["cost"]["parameters"] == 2048


def test_what_may_not_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_ALLOW_IMPORT", "")
    said = message(StudyError, lambda: subject_of("brokenatts:Base", {}))
    assert said.endswith("add --allow-import brokenatts")
