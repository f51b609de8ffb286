"""What a user's network prints is on stderr, whatever the command and wherever its code runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NETS = """
import atexit, os, sys
from torch import nn
print("said: imported")
atexit.register(print, "said: ended")

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        print("said: built")
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, classes)

    def extra_repr(self):
        print("said: shown")
        return ""

    def train(self, mode=True):
        print("said: mode")
        return super().train(mode)

    def forward(self, x):
        print("said: called", file=sys.stdout)
        return self.fc(self.conv(x).mean((2, 3)))
"""
STUDY = """
name = "loud"
dataset = "digits"
backbone = "loudnets:Net"
seeds = 1
[recipe]
epochs = 1
batch_size = 256
augment = []
[[grid]]
attention = "none"
"""
QUICKLY = """
import runpy
from ablate.commands import measure
from ablate.measure.throughput import Protocol

measure.full = lambda *_: Protocol("full", 2, 3, 0.05)
runpy.run_module("ablate", run_name="__main__", alter_sys=True)
"""
"""The program, but that it measures in two processes and not in eight, in blocks that are shorter."""
RUN = ("run", "--no-measure", "--device", "cpu", "--workers", "1", "--seeds", "2")


def ablate(
    folder: Path, *arguments: str, program: tuple[str, str] = ("-m", "ablate")
) -> tuple[str, str]:
    """What the command prints on stdout, and on stderr."""
    command, *options = arguments
    targets = ["none", "--study"] if command == "explain" else []
    done = subprocess.run(
        [sys.executable, *program, command, *targets, "loud.toml", "--allow-import", "loudnets",
         "--db", f"sqlite:///{folder / 'results.db'}", *options],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "loudnets.py").write_text(NETS)
    (tmp_path / "loud.toml").write_text(STUDY)
    return tmp_path


@pytest.mark.slow
def test_stdout_is_the_commands_own(folder: Path) -> None:
    out, errors = ablate(folder, "plan", "--format", "json")
    assert json.loads(out)["missing"] == 1
    assert {"said: imported", "said: built", "said: called", "said: ended"} < set(
        errors.splitlines()
    )
    for arguments in ((*RUN, "--max-runs", "1"), (*RUN, "--executor", "inprocess"), ("explain",)):
        out, errors = ablate(folder, *arguments)
        assert out, arguments
        assert "said" not in out, arguments
        assert "said: called" in errors, arguments


@pytest.mark.slow
def test_measuring_prints_its_own_lines_alone(folder: Path) -> None:
    out, errors = ablate(folder, "measure", "--device", "cpu", program=("-c", QUICKLY))
    assert "said" not in out
    assert "images/s" in out
    assert "said: called" in errors
