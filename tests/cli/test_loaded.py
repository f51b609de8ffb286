"""What commands load that ask for what is stored: no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASKING = ("compare", "report", "status", "transfer")


@pytest.mark.slow
def test_commands_that_ask_load_no_torch() -> None:
    modules = ", ".join(f"ablate.commands.{name}" for name in ASKING)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
