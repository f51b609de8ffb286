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
from rich.cells import cell_len
from rich.text import Text

from ablate.plan import make_plan
from ablate.store.store import Store
from ablate.study.file import load_study

DIGITS = Path(__file__).parents[2] / "studies" / "digits-grid.toml"
COMMANDS = {
    "plan": ("plan", str(DIGITS), "--no-probe"),
    "status": ("status",),
    "doctor": ("doctor",),
    "report": ("report", str(DIGITS)),
    "init": ("init", "--study", "digits", "--out", "mine.toml"),
    "export": ("export",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study of which nothing is trained."""
    path = tmp_path_factory.mktemp("widths")
    store = Store(f"sqlite:///{path / 'results' / 'ablation.db'}")
    store.register(make_plan(load_study(DIGITS)))
    store.close()
    return path


def shown(folder: Path, width: int, arguments: tuple[str, ...], term: str) -> list[str]:
    """The lines that a command draws on a terminal of that width, without its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    env |= {
        "TERM": term,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "ABLATE_STATE": str(folder / "s"),
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


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("width", "term"), [(40, "xterm"), (60, "xterm"), (80, "dumb"), (200, "xterm")]
)
def test_nothing_is_wider_than_the_terminal(
    folder: Path, command: str, width: int, term: str
) -> None:
    (folder / "mine.toml").unlink(missing_ok=True)
    lines = shown(folder, width, COMMANDS[command], term)
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
        assert "planned" in text
