"""How long every command takes until its first word and in all, beside `python -c "import numpy"`.

On a terminal of its own, as a person has it. Ratios, because a second says as much of the machine as of us.
"""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.options import Options, watch
from benchmarks.race import BenchmarkError

YARDSTICK = ("-c", "import numpy")
LOADING = ("-c", "import torch")
"""What every command that trains or builds a network takes at least."""
DIGITS = str(Path("studies/digits.toml").resolve())
SMALL = ("--set", "recipe.epochs=1", "--set", "seeds=2")
RESNET = """
name = "resnet-18"
dataset = "digits"
image_size = 64
backbone = "torchvision:resnet18"
baseline = "none"
seeds = 1
[[grid]]
attention = "none"
[[grid]]
attention = ["identity", "eca", "se", "cbam", "cbam_channel"]
position = ["layer1.*.bn2", "layer2.*.bn2", "layer3.*.bn2", "layer*.*.bn2"]
"""
PAIR = ("none", "cbam(pool*, r=4, k=7)", "--study", DIGITS, *SMALL)

COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", DIGITS, *SMALL, "--device", "cpu"),
    "plan": ("plan", DIGITS, *SMALL),
    "plan, 21 variants of a ResNet-18 at 64 px": ("plan", "resnet.toml"),
    "the same again": ("plan", "resnet.toml"),
    "status": ("status",),
    "compare": ("compare", *PAIR),
    "report": ("report", DIGITS, *SMALL),
    "profile": ("profile", *PAIR),
    "export": ("export",),
    "explain": ("explain", "none", "cbam(pool*, r=4, k=7)", "--study", DIGITS, *SMALL),
    "tensorboard": ("tensorboard", "--no-serve"),
    "doctor": ("doctor",),
}
"""In their order: those that ask have what those before them have trained. Without `measure`, whose time
is what it was asked to time."""
SHORT = ("plan, 21 variants of a ResNet-18 at 64 px", "the same again")


@dataclass(frozen=True)
class Times:
    """Seconds from a program's start to its first byte, and to its end."""

    first: float
    total: float


def measure_everyday(options: Options) -> dict[str, Any]:
    """Every command in a folder of its own, as often as there are rounds: medians, and ratios of them."""
    chosen = {k: v for k, v in COMMANDS.items() if not options.short or k in SHORT}
    shown, rounds = watch("everyday"), 1 if options.short else min(3, options.rounds)
    found: dict[str, list[Times]] = {name: [] for name in chosen}
    yardstick: list[float] = []
    loading: list[float] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "resnet.toml").write_text(RESNET)
            loading.append(time_program(LOADING, folder).total)
            for done, (command, arguments) in enumerate(chosen.items(), start=number * len(chosen)):
                yardstick.append(time_program(YARDSTICK, folder).total)
                found[command].append(time_program(("-m", "ablate", *arguments), folder))
                shown(done + 1, rounds * len(chosen))
    usual = statistics.median(yardstick)
    rows = {command: _row(times, usual) for command, times in found.items()}
    torch_seconds = statistics.median(loading)
    return {
        "numpy_seconds": usual,
        "torch_seconds": torch_seconds,
        "rounds": rounds,
        "commands": rows,
    }


def time_program(arguments: tuple[str, ...], folder: Path) -> Times:
    """Run Python with these arguments on a terminal.

    Raises:
        BenchmarkError: it ends with an error.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "ABLATE_CACHE": str(folder / "cache"), "COLUMNS": "120"}
    begun, first, said = perf_counter(), None, b""
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env=environment,
    ) as program:  # fmt: skip
        os.close(theirs)
        while part := _read(ours):
            first = first or perf_counter() - begun
            said = (said + part)[-2000:]
    total = perf_counter() - begun
    os.close(ours)
    if program.returncode:
        raise BenchmarkError(f"{' '.join(arguments)}: {said.decode(errors='replace')}")
    return Times(total if first is None else first, total)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end is closed
        return b""


def _row(times: list[Times], usual: float) -> dict[str, float]:
    first = statistics.median(each.first for each in times)
    total = statistics.median(each.total for each in times)
    return {
        "first_seconds": first,
        "total_seconds": total,
        "first_ratio": first / usual,
        "total_ratio": total / usual,
    }
