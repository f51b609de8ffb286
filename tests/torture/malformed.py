"""Study files that no study can be: cut, flipped, retyped, renamed and swollen, a thousand of them."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ablate.errors import AblateError
from ablate.plan import make_plan
from ablate.study.file import load_study
from tests.torture.figures import Figures
from tests.torture.processes import ROOT

Random = np.random.Generator

SOURCE = """
name = "broken"
question = "Is there a clear line?"
dataset = "digits"
backbone = "cbam_cnn"
baseline = "none"
seeds = 2
baseline_seeds = 3
equivalence_margin = 0.01

[recipe]
epochs = 2
batch_size = 64
optimizer = "adam"
learning_rate = 1e-3
schedule = "cosine"
augment = ["crop", "rotate"]
precision = "amp"

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = ["pool1", "pool3"]
reduction = 16
"""

VALUES = (
    "nan", "-inf", "1e400", "0", "-1", "-0.0", "99999999999999999999999", "true", "''", '"\\u0000"',
    '"' + "x" * 300 + '"', "[]", "[[]]", "[[[[[[[[[[1]]]]]]]]]]", "{}", "{a = 1}", "1979-05-27",
    "07:32:00", '["none", 1, true]', '"../../etc/passwd"', '"$(id)"', '"se"', '"pool*"', "[1, [2]]",
    '"🙂"', "0x7fffffffffffffff", '"cbam_cnn(width=1e99)"', '"os:system"', '"torchvision:nothing"',
)  # fmt: skip
"""What stands in place of a value."""


def _flip(text: str, rng: Random) -> bytes:
    content = bytearray(text.encode())
    for _ in range(int(rng.integers(1, 6))):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    return bytes(content)


def _cut(text: str, rng: Random) -> bytes:
    content = text.encode()
    begin, end = sorted(int(i) for i in rng.integers(0, len(content), 2))
    return content[:begin] + content[end:]


def _retype(text: str, rng: Random) -> bytes:
    """Another value for one key."""
    lines = text.splitlines()
    chosen = int(rng.choice([i for i, line in enumerate(lines) if " = " in line]))
    key = lines[chosen].split(" = ")[0]
    lines[chosen] = f"{key} = {VALUES[int(rng.integers(len(VALUES)))]}"
    return "\n".join(lines).encode()


def _rename(text: str, rng: Random) -> bytes:
    """A key that has another name, is there twice, or is gone."""
    lines = text.splitlines()
    chosen = int(rng.choice([i for i, line in enumerate(lines) if " = " in line]))
    key, value = lines[chosen].split(" = ", 1)
    changed = (f"{key}x = {value}", f"{lines[chosen]}\n{lines[chosen]}", "", f"[{key}]")
    lines[chosen] = changed[int(rng.integers(len(changed)))]
    return "\n".join(lines).encode()


def _swell(text: str, rng: Random) -> bytes:
    """Too much of something: cells, depth, bytes, tables."""
    size = int(rng.integers(200, 3000))
    reductions = ", ".join(str(i) for i in range(1, size))
    more = (
        f'[[grid]]\nattention = "se"\nposition = "pool*"\nreduction = [{reductions}]\n' * 4,
        f"deep = {'[' * size}{']' * size}\n",
        "x = '" + "y" * 1_100_000 + "'\n",
        f"[recipe.{'.'.join(['a'] * (8 + size % 50))}]\nb = 1\n",
        f"[[recipe]]\nepochs = {size}\n",
        f"[[grid]]\nattention = 'se'\nposition = {['p' * size] * 3}\nreduction = 4\n",
    )
    return (text + more[int(rng.integers(len(more)))]).encode()


KINDS: tuple[Callable[[str, Random], bytes], ...] = (_flip, _cut, _retype, _rename, _swell)


def read_malformed(folder: Path, *, files: int, by_command: int, seed: int = 1) -> Figures:
    """Plan generated files until that many were refused; a part of them by the real command too.

    A mutation that leaves a valid study is none of them, and not counted.
    """
    begun, rng = time.monotonic(), np.random.default_rng(seed)
    measured = dict.fromkeys(("tracebacks", "unclear", "written", "wrong_exit_codes"), 0)
    slowest, refused, valid = 0.0, 0, 0
    path = folder / "broken.toml"
    every = max(1, files // max(1, by_command))
    while refused < files:
        path.write_bytes(KINDS[(refused + valid) % len(KINDS)](SOURCE, rng))
        started = time.monotonic()
        line = _refusal(path, measured)
        slowest = max(slowest, time.monotonic() - started)
        if line is None:
            valid += 1
            continue
        refused += 1
        measured["unclear"] += "\n" in line or not 5 < len(line) < 4000
        measured["written"] += sum(1 for _ in folder.iterdir()) != 1
        if by_command and refused % every == 0:
            _refuse_by_command(path, measured)
    done = f"{refused:,} files refused ({valid} mutations were valid)"
    return Figures(
        done, {**measured, "slowest_seconds": slowest, "seconds": time.monotonic() - begun}
    )


def _refusal(path: Path, measured: dict[str, int]) -> str | None:
    """The line that refuses a file; None for a valid one."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            make_plan(load_study(path))
    except AblateError as error:
        return str(error)
    except Exception as error:
        measured["tracebacks"] += 1
        path.with_name(f"../traceback-{measured['tracebacks']}.toml").write_bytes(path.read_bytes())
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _refuse_by_command(path: Path, measured: dict[str, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "run", str(path), "--db", str(path.parent / "results.db")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    measured["wrong_exit_codes"] += done.returncode != 2
    measured["tracebacks"] += "Traceback" in done.stderr
    measured["unclear"] += done.stderr.count("\n") != 1 or not done.stderr.startswith("ablate: ")
    measured["written"] += sum(1 for _ in path.parent.iterdir()) != 1
