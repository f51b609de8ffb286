"""`make ablation`: says what it takes, and makes the report whatever happened to the runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STUDY = """
name = "hopeless"
question = "What happens when every run fails?"
dataset = "digits"
backbone = "cbam_cnn"
seeds = 1

[recipe]
epochs = 1
learning_rate = 1e30
precision = "fp32"
augment = []

[[grid]]
attention = "none"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile beside an environment that is installed already: this one."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".venv" / ".ready").touch()
    (tmp_path / "hopeless.toml").write_text(STUDY)
    return tmp_path


def make(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    # Variables of the make that runs these tests are not those of a user.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STUDY", "DATA"):
        environment.pop(name, None)
    return subprocess.run(
        ["make", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_failed_runs_do_not_stop_the_report_but_are_an_error(project: Path) -> None:
    done = make(project, "ablation", "STUDY=hopeless.toml")
    assert done.stdout.startswith("ablation: hopeless.toml (as asked with STUDY=)\n")
    assert "FAILED (diverged)" in done.stdout
    assert "diverged" in (project / "reports/hopeless/report.html").read_text()
    assert "Error 1" in done.stderr
    assert done.returncode != 0


def test_a_quote_in_a_path_is_a_quote(project: Path) -> None:
    folder = project / "it's here; echo 'so"
    folder.mkdir()
    done = make(project, "ablation", f"STUDY={folder}/absent.toml", f"DATA={folder}")
    assert f"ablate: {folder}/absent.toml: cannot be read" in done.stderr


def test_bad_input_makes_no_report(project: Path) -> None:
    done = make(project, "ablation", "STUDY=absent.toml")
    assert "ablate: absent.toml: cannot be read" in done.stderr
    assert "Error 2" in done.stderr
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    ("gpus", "first_line"),
    [
        (0, "ablation: studies/digits.toml (no NVIDIA GPU here"),
        (2, "ablation: studies/attention.toml (nvidia-smi lists 2 GPU(s)"),
    ],
)
def test_the_first_line_says_which_study_and_why(project: Path, gpus: int, first_line: str) -> None:
    tools = project / "tools"
    tools.mkdir()
    listing = "\n".join(f"echo 'GPU {i}: NVIDIA H200 (UUID: GPU-{i})'" for i in range(gpus))
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\n{listing or 'exit 1'}\n")
    (tools / "nvidia-smi").chmod(0o755)
    done = make(project, "--dry-run", "ablation", path=str(tools))
    assert first_line in done.stdout.splitlines()[0]
    assert ("--device cuda" in done.stdout) == (gpus > 0)
    own = make(project, "--dry-run", "ablation", "DATA=pictures", path=str(tools))
    study = "digits-grid" if gpus == 0 else "attention"
    assert own.stdout.startswith(f"ablation: studies/{study}.toml ")


def test_the_help_names_the_two_commands(project: Path) -> None:
    done = make(project)
    assert done.returncode == 0
    assert "make ablation" in done.stdout
    assert "make test" in done.stdout
