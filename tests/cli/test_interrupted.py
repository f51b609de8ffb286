"""Ctrl-C before the command line has been loaded: one line, whatever is being imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
STARTS = {
    "python -m ablate": ["-m", "ablate"],
    "ablate": ["-c", "from ablate.__main__ import main; main()"],
}


@pytest.mark.parametrize("module", ["typer", "rich"])
@pytest.mark.parametrize("start", STARTS)
def test_while_it_is_being_loaded(start: str, module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPTED)
    asked = subprocess.run(
        [sys.executable, *STARTS[start], "--help"], capture_output=True, text=True, timeout=20, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (asked.returncode, asked.stderr) == (130, "ablate: interrupted\n")
