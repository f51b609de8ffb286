"""Where a result came from: commit, versions, machine and command line. No torch needed."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ablate", "torch", "torchvision", "numpy", "pillow", "scikit-learn")


def describe_environment() -> dict[str, Any]:
    """Everything about this process that a reader of its results may ask for."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "tree_clean": _tree_clean(),
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "command": command_line(sys.argv),
    }


def package_version(name: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def command_line(arguments: list[str]) -> str:
    """The command line as it can be typed again, without the path of the program."""
    return shlex.join([Path(arguments[0]).name, *arguments[1:]])


def _tree_clean() -> bool | None:
    status = _git("status", "--porcelain")
    return None if status is None else status == ""


def _git(*arguments: str) -> str | None:
    """What git says of the working directory; None outside a repository or without git."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
