"""Where a result came from: commit, versions, machine and command line. No torch needed."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ablate.system.messages.command_line import command_line
from ablate.system.version import VERSION

SOURCE = Path(__file__).parents[3]
"""The folder that this program lies in: a checkout, or where packages are installed."""
PROJECT = "attention-ablate"
"""The name in this program's own project file."""
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")


@cache
def describe_environment() -> Mapping[str, Any]:
    """Everything about this process that a reader of its results may ask for.

    Asked once: the code that runs is that of the process's start, whatever is committed meanwhile.
    """
    return {
        "ablate": VERSION,
        "commit": _git("rev-parse", "HEAD"),
        "tree_clean": _tree_clean(),
        "lock_sha256": _lock_sha256(),
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


@cache
def nvidia_driver() -> str | None:
    """The version of NVIDIA's driver, None where `nvidia-smi` does not tell."""
    said = _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return said.splitlines()[0].strip() if said else None


def _lock_sha256() -> str | None:
    """Of the file that pins all packages, None where this program was not installed from it."""
    lock = SOURCE / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None


def _tree_clean() -> bool | None:
    status = _git("status", "--porcelain")
    return None if status is None else status == ""


def _git(*arguments: str) -> str | None:
    """What git says of this program's own checkout; None without git or outside one."""
    return _ask_git(*arguments) if _is_own_checkout() else None


def _is_own_checkout() -> bool:
    """Whether this program is what its repository is of: it lies at the top of it, under its own project
    file, and git follows its files. An environment of packages, or a copy of this program, may lie
    anywhere in somebody else's repository, whose commits say nothing about the code that runs.
    """
    top = _ask_git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != SOURCE.resolve():
        return False
    is_followed = _ask_git("ls-files", "--error-unmatch", "ablate/__init__.py") is not None
    return is_followed and _project_name() == PROJECT


def _project_name() -> object:
    try:
        document = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    project = document.get("project")
    return project.get("name") if isinstance(project, dict) else None


def _ask_git(*arguments: str) -> str | None:
    return _said("git", "-C", str(SOURCE), *arguments)


def _said(*command: str) -> str | None:
    """What a program prints, None where it is missing or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env=_neutral()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _neutral() -> dict[str, str]:
    """This environment without what points git at another repository, as its hooks find it set."""
    elsewhere = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE"}
    return {name: value for name, value in os.environ.items() if name not in elsewhere}
