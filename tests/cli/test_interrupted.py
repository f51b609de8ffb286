"""Ctrl-C at any moment from the program's first line on: one line and exit code 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILL = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
SWALLOWED = (
    "import os, signal\nclass Gone:\n"
    "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); sum(range(10000))\n"
    "Gone()\n"
)
"""Python prints what a finalizer raises, and goes on."""
MAIN = "from ablate.__main__ import main; main()"
FIRST_LINE = (
    "import os, sys\nclass Seen:\n"
    "    def find_spec(name, *_):\n"
    "        if name == 'ablate.system.process.signals': os.write(1, b'x')\n"
    "sys.meta_path.insert(0, Seen)\n"
)
"""Writes a letter when the program's first line runs: before it, Ctrl-C is Python's own."""
STARTS = {"python -m ablate": ["-m", "ablate"], "ablate": ["-c", MAIN]}
ENDED = (130, "ablate: interrupted\n")


def started(folder: Path, python: list[str], *words: str) -> subprocess.Popen[str]:
    """The program, with modules of that folder in the place of others, and Ctrl-C as in a terminal."""
    return subprocess.Popen(
        [sys.executable, *python, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}, cwd=folder,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said but for its pulse."""
    said = process.communicate(timeout=60)[1].splitlines(keepends=True)
    return process.returncode, "".join(line for line in said if not line.startswith("… "))


@pytest.mark.parametrize("code", [KILL, SWALLOWED], ids=["raised", "swallowed"])
@pytest.mark.parametrize("module", ["typer", "rich"])
@pytest.mark.parametrize("start", STARTS)
def test_while_it_is_being_loaded(start: str, module: str, code: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(code)
    assert end_of(started(tmp_path, STARTS[start], "--help")) == ENDED


def test_while_a_commands_rooms_are_being_loaded(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text(SWALLOWED)
    assert end_of(started(tmp_path, STARTS["ablate"], "export")) == ENDED


@pytest.mark.slow
def test_while_code_runs_that_was_made_from_text(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"exec({KILL!r})")
    (tmp_path / "s.toml").write_text(
        'name = "s"\ndataset = "digits"\nbackbone = "mine:Net"\n[[grid]]\nattention = "none"\n'
    )
    ended = end_of(
        started(tmp_path, STARTS["python -m ablate"], "plan", "s.toml", "--allow-import", "mine")
    )
    assert ended == ENDED


def test_while_python_ends(tmp_path: Path) -> None:
    late = f"import atexit; atexit.register(lambda: exec({KILL!r})); {MAIN}"
    assert end_of(started(tmp_path, ["-c", late], "--version")) == ENDED


@pytest.mark.slow
def test_at_whatever_moment(tmp_path: Path) -> None:
    """Of the half second from the program's first line on, at whose end it has perhaps ended."""
    ends = []
    for moment in range(16):
        process = started(tmp_path, ["-c", FIRST_LINE + MAIN], "--help")
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(moment / 30)
        process.send_signal(signal.SIGINT)
        ends.append(end_of(process))
    # In its very last moments Python has put the handlers away: the work is done, and nothing is printed.
    assert set(ends) <= {ENDED, (0, ""), (-signal.SIGINT, "")}
    assert ends[:3] == [ENDED] * 3
