"""Where a result came from: all of it, and no password."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from conftest import claim_one, rows_of

from ablate.plan import Plan
from ablate.result import Failed
from ablate.store.store import Store
from ablate.system import environment
from ablate.system.environment import command_line, describe_environment, nvidia_driver
from ablate.system.machine import describe_process, find_machine

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("--db=postgresql://me:se@cr/et@host/db", "--db=postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?sslmode=a&password=secret", "postgresql://host/db?sslmode=a&password=***"),
        ("sqlite:///results/a.db", "sqlite:///results/a.db"),
        ("recipe.epochs=1", "recipe.epochs=1"),
    ],
)  # fmt: skip
def test_the_command_line_has_no_password(argument: str, shown: str) -> None:
    said = command_line(["/usr/bin/ablate", "run", argument])
    assert said.replace("'", "") == f"ablate run {shown}"


def test_it_names_commit_lock_and_versions_wherever_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = describe_environment()
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    assert known["commit"] == (done.stdout.strip() or None)
    lock = (ROOT / "requirements.lock").read_bytes()
    assert known["lock_sha256"] == hashlib.sha256(lock).hexdigest()
    assert known["torch"].startswith(torch.__version__.partition("+")[0])


def test_a_tree_is_clean_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described() -> Mapping[str, object]:
        describe_environment.cache_clear()  # as in a new process
        return describe_environment()

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", tmp_path, *author, *arguments], check=True)

    monkeypatch.setattr(environment, "SOURCE", tmp_path)
    assert described()["commit"] is described()["lock_sha256"] is None
    git("init", "-q")
    assert described()["tree_clean"] is None, "somebody's repository, in which we are installed"
    (tmp_path / "pyproject.toml").write_text("")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert described()["tree_clean"] is True
    (tmp_path / "new.py").write_text("")
    assert describe_environment()["tree_clean"] is True, "as it was when the process began"
    assert described()["tree_clean"] is False
    describe_environment.cache_clear()


def test_a_process_describes_its_device_and_precision() -> None:
    place = describe_process(find_machine("cpu", "fp32"), {})
    assert (place["fp32_precision"], place["tf32"], place["deterministic"]) == ("ieee", False, True)
    assert place["cuda"] is place["nvidia_driver"] is None
    assert "cores" in place["device"]


def test_the_drivers_version_is_what_nvidia_smi_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --query-gpu=driver_version ] && echo 570.1 && echo 570.1\n'
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    nvidia_driver.cache_clear()
    assert nvidia_driver() is None, "it may not be executed"
    program.chmod(0o755)
    nvidia_driver.cache_clear()
    assert nvidia_driver() == "570.1"
    nvidia_driver.cache_clear()


def test_a_failed_run_points_to_its_environment_too(plan: Plan, url: str) -> None:
    store = Store(url)
    store.register(plan)
    claim = claim_one(store, [str(cell.run_key) for cell in plan.cells])
    assert claim is not None
    store.fail(claim, Failed("diverged", "nan"), {"commit": "abc"})
    joined = "SELECT content FROM environments JOIN runs USING (environment_id)"
    assert rows_of(url, joined) == [('{"commit": "abc"}',)]
