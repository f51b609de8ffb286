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
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import describe_process, prepare_machine
from ablate.system.messages.command_line import command_line
from ablate.system.software import environment
from ablate.system.software.environment import describe_environment, nvidia_driver

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


PROJECT = f'[project]\nname = "{environment.PROJECT}"\n'


def described() -> Mapping[str, object]:
    describe_environment.cache_clear()  # as in a new process
    known = describe_environment()
    describe_environment.cache_clear()
    return known


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", folder, *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder: Path) -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


def install(folder: Path, project: str | None = PROJECT) -> None:
    """Something like this program, in a folder."""
    (folder / "ablate").mkdir(parents=True)
    (folder / "ablate" / "__init__.py").write_text("")
    if project is not None:
        (folder / "pyproject.toml").write_text(project)


def test_a_tree_is_clean_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "SOURCE", tmp_path)
    assert described()["commit"] is described()["lock_sha256"] is None
    git(tmp_path, "init", "-q")
    install(tmp_path)
    assert described()["commit"] is None, "nothing is committed"
    commit = commit_all(tmp_path)
    assert (described()["commit"], described()["tree_clean"]) == (commit, True)
    describe_environment()
    (tmp_path / "new.py").write_text("")
    assert describe_environment()["tree_clean"] is True, "as it was when the process began"
    assert described()["tree_clean"] is False


@pytest.mark.parametrize(
    ("place", "project", "followed"),
    [
        (".venv/lib/python3.12/site-packages", None, False),
        (".venv/lib/python3.12/site-packages", PROJECT, True),
        ("vendor/ablate", PROJECT, True),
        (".", '[project]\nname = "theirs"\n', True),
        (".", "", True),
        (".", PROJECT, False),
    ],
)
def test_a_repository_around_this_program_is_not_its_own(
    place: str, project: str | None, followed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed below another project, copied into one, or installed flat at the top of one."""
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.py").write_text("")
    commit_all(tmp_path)
    install(tmp_path / place, project)
    if followed:
        commit_all(tmp_path)
    monkeypatch.setattr(environment, "SOURCE", tmp_path / place)
    known = described()
    assert (known["commit"], known["tree_clean"]) == (None, None)


def test_a_hook_of_another_repository_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git sets these while it runs one, and they say more than the folder that it is asked in."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        install(tmp_path / name)
        (tmp_path / name / "file").write_text(name)
    ours, theirs = commit_all(tmp_path / "ours"), commit_all(tmp_path / "theirs")
    assert ours != theirs
    monkeypatch.setattr(environment, "SOURCE", tmp_path / "ours")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "theirs"))
    assert described()["commit"] == ours


def test_a_process_describes_its_device_and_precision() -> None:
    place = describe_process(prepare_machine("cpu", "fp32"), {})
    assert (place["fp32_precision"], place["tf32"], place["deterministic"]) == ("ieee", False, True)
    assert place["cuda"] is place["nvidia_driver"] is None
    assert "cores" in place["device"]


def test_what_is_said_of_tf32_is_what_is_in_force() -> None:
    machine = prepare_machine("cpu", "fp32")
    # As torch 2.11 leaves it where only the setting above all others is made.
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    place = describe_process(machine, {})
    assert place["tf32"] is True
    assert place["fp32_precision"] == "cudnn.conv tf32, cudnn.rnn ieee, cuda.matmul ieee"
    assert describe_process(prepare_machine("cpu", "fp32"), {})["tf32"] is False


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
