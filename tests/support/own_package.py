"""A package of a user's whose network loads a checkpoint and calls a helper, and what can happen to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

PACKAGE = "ownrun"
NETS = """
import os, torch
from torch import nn
from ownrun.helper import scaled

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.steps = 0
        self.conv, self.head = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, classes)
        self.conv.load_state_dict(torch.load(os.path.join(os.path.dirname(__file__), "pre.pth")))

    def forward(self, x):
        self.steps += self.training
        if self.steps > 30:
            from ownrun.late import scaled as last
            return self.head(last(self.conv(x).relu().mean((2, 3))))
        return self.head(scaled(self.conv(x).relu().mean((2, 3))))
"""
HELPER = "def scaled(x): return x * 1\n"
EDITED = "def scaled(x): return x * 3\n"


def write_package(folder: Path) -> Path:
    package = folder / PACKAGE
    package.mkdir()
    files = {"__init__": "", "nets": NETS, "helper": HELPER, "late": HELPER}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    save_checkpoint(package, seed=1)
    return package


def save_checkpoint(package: Path, seed: int) -> None:
    torch.manual_seed(seed)
    torch.save(torch.nn.Conv2d(3, 8, 3).state_dict(), package / "pre.pth")


def zero_checkpoint(package: Path) -> None:
    state = torch.load(package / "pre.pth")
    torch.save(
        {name: torch.zeros_like(value) for name, value in state.items()}, package / "pre.pth"
    )


def edit(package: Path, name: str) -> None:
    """Another file of the same size and time, which Python would take for the one that it compiled."""
    file = package / f"{name}.py"
    before, text = file.stat(), file.read_text()
    file.write_text(
        EDITED if text == HELPER else text.replace("nn.Conv2d(3, 8, 3, 4)", "nn.Conv2d(3, 8, 3, 2)")
    )
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.read_text() != text


DISTURBANCES: dict[str, tuple[Callable[[Path], None], str]] = {
    "swapped": (
        lambda package: save_checkpoint(package, 2),
        "other weights conv.weight, conv.bias",
    ),
    "zeroed": (zero_checkpoint, "other weights conv.weight, conv.bias"),
    "deleted": (lambda package: (package / "pre.pth").unlink(), "No such file or directory"),
    "helper": (lambda package: edit(package, "helper"), "other source ownrun.helper"),
    "factory": (lambda package: edit(package, "nets"), "other source ownrun.nets"),
    "imported when called": (lambda package: edit(package, "late"), "other source ownrun.late"),
}
"""What happens to the package, and what a run that it happened to says."""


def forget_package() -> None:
    """As in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
