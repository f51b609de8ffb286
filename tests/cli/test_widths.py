"""What commands print on terminals of several widths: nothing is wider, no number is cut, names are whole."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import small_plan
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from support.every_command import EVERY, made_anew, working_folder

from ablate.commands.measure import _lines as measured_lines
from ablate.drive.costs import baseline_of
from ablate.report.files.export import MODES
from ablate.result import Cost
from ablate.system.messages.console import say


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the published results of the digits."""
    return working_folder(tmp_path_factory.mktemp("widths"))


def shown(folder: Path, width: int, arguments: tuple[str, ...], term: str) -> list[str]:
    """The lines that a command draws on a terminal of that width, without its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    env |= {
        "TERM": term,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "ABLATE_STATE": str(folder / "state"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "ablate", *arguments], cwd=folder, env=env, stdin=theirs,
        stdout=theirs, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        drawn = b""
        while piece := _read(ours):
            drawn += piece
    os.close(ours)
    assert process.returncode == 0, drawn
    if term == "dumb":
        assert b"\x1b" not in drawn, "no colours where none can be shown"
    # A line that moves is written over itself: what stands there at last is what is seen.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in drawn.decode().split("\n")]
    return [Text.from_ansi(line).plain for line in lines]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


NARROW = (40, "xterm")
OTHERS = ((60, "xterm"), (80, "dumb"), (200, "xterm"))
TABLES = ("status", "compare", "profile", "doctor")
TRIED = [
    *((command, *NARROW) for command in EVERY),
    *((command, *OTHERS[n % 3]) for n, command in enumerate(TABLES)),
    *(("plan", *other) for other in OTHERS),
]
"""Every command on the narrowest, those that draw tables on one of the others in turn; the plan's, which
chooses its columns, on each.
"""


@pytest.mark.slow
@pytest.mark.parametrize(("command", "width", "term"), TRIED)
def test_nothing_is_wider_than_the_terminal(
    folder: Path, command: str, width: int, term: str
) -> None:
    lines = shown(made_anew(folder), width, EVERY[command], term)
    if term == "dumb":
        width = 80  # what rich takes a dumb terminal for
    wider = [line for line in lines if cell_len(line) > width and not line.startswith("next: ")]
    assert wider == []
    assert not any("││" in line or "┃┃" in line for line in lines), "a column of no width"
    text = "\n".join(lines)
    if command == "plan":
        assert "variants" in text
        assert ("parameters" in text.split("not shown")[0]) == (width >= 60)
        assert ("activations" in text.split("not shown")[0]) == (width == 200)
        names = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
        assert "cbam_channel(pool*,r=16)" in names.replace(" ", ""), "a name is folded, not cut"
    if command == "status":
        assert "finished" in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_lines_of_a_measurement_are_no_wider(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself takes minutes: what it prints in the end is that of these costs."""
    plan = small_plan()
    costs = [
        Cost(fingerprint, "a machine", "fp32", mode, 64, 1234.5, 1200.0, 1300.0, None, None, 27, "full",
             1, baseline_of(plan).fingerprint, 0.9, 0.89, 0.91, processes=8)
        for fingerprint in {a.fingerprint for a in plan.variants.values()}
        for mode in MODES
    ]  # fmt: skip
    console = Console(width=width, force_terminal=True)
    for line in measured_lines(plan, costs):
        say(line, console)
    drawn = [Text.from_ansi(line).plain for line in capsys.readouterr().out.splitlines()]
    assert drawn
    assert [line for line in drawn if cell_len(line) > width] == []
