"""The script for Slurm that docs/scale.md gives, with stand-ins for Slurm's own commands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script() -> str:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    [found] = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", page, flags=re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("code", "requeued"), [(0, ""), (1, ""), (2, ""), (130, "requeue 7_3\n")])
def test_a_job_comes_again_only_if_it_was_asked_to_end(
    tmp_path: Path, code: int, requeued: str
) -> None:
    said, queue = tmp_path / "said", tmp_path / "queue"
    queue.touch()
    for name, body in {
        "srun": f'echo "$@" > {said}; exit {code}',
        "scontrol": f'echo "$@" >> {queue}',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "STUDY": "a study.toml",
        "DB": "postgresql://ablate@host/results",
    }
    done = subprocess.run(["bash", "-c", script()], env=variables, check=False)
    assert done.returncode == code
    assert (
        said.read_text()
        == "ablate run a study.toml --db postgresql://ablate@host/results --no-measure\n"
    )
    assert queue.read_text() == requeued
