"""Wheels for a machine that has torch and no network: which ones, and only what is missing there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks import wheelhouse
from benchmarks.wheelhouse import Pin, is_meant_for, needed, read_pins, unpack, wanted

LOCK = """alpha==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:aa
    # via beta
alpha==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
    # via beta
beta==1 \\
    --hash=sha256:cc
    # via
    #   attention-ablate (pyproject.toml)
    #   torch
gamma==3 \\
    --hash=sha256:dd
    # via torch
torch==2.15.0 \\
    --hash=sha256:ee
    # via attention-ablate (pyproject.toml)
"""


def test_the_lock_is_read_and_what_only_torch_needs_is_left_out() -> None:
    pins = list(read_pins(LOCK))
    assert pins[0] == Pin("alpha", "1.0", "python_full_version < '3.12'", ("beta",))
    chosen = [pin for pin in needed(pins, ["beta", "torch"]) if is_meant_for(pin, "3.12")]
    assert [(pin.name, pin.version) for pin in chosen] == [("alpha", "2.0"), ("beta", "1")]


def test_ours_needs_no_torch_no_postgresql_and_what_runs_the_tests() -> None:
    names = {pin.name for pin in wanted()}
    assert {"alembic", "sqlalchemy", "mako", "optuna", "pydantic-core", "pytest-xdist"} <= names
    assert not {name for name in names if name.startswith(("nvidia", "torch-", "psycopg"))} - {
        "torch-tb-profiler"
    }
    assert not {"torch", "torchvision", "triton", "ruff", "mypy"} & names


def test_only_what_is_missing_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house, into = tmp_path / "house", tmp_path / "into"
    house.mkdir()
    for name in ("pydantic_core-2-py3-none-any", "mako-1-py3-none-any"):
        with zipfile.ZipFile(house / f"{name}.whl", "w") as wheel:
            wheel.writestr(f"{name.partition('-')[0]}/__init__.py", "")
    there = {pin.name: "1" for pin in wanted() if pin.name != "pydantic-core"}
    monkeypatch.setattr(wheelhouse, "have", lambda: there)
    assert unpack(house, into) == 0
    assert [path.name for path in into.iterdir()] == ["pydantic_core"]
    assert "1 of 2 packages" in capsys.readouterr().out
    assert unpack(tmp_path, into) == 2, "a folder without wheels"


@pytest.mark.slow
def test_tests_of_a_gpu_need_no_postgresql_client() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None; import pytest; "
        "sys.exit(pytest.main(['tests/test_gpu.py', '-n', '0', '--collect-only', '-q']))"
    )
    root = Path(wheelhouse.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/test_gpu.py: " in done.stdout
