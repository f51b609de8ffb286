"""What several test files share: a small study, a plan of it, a database, a cache of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.errors import AblateError
from ablate.plan import Plan, make_plan
from ablate.study_file import parse_study

# One thread: tests run side by side, and training itself uses one.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` run where `-m gpu` asks for them, as `make gpu-check` does, and nowhere else."""
    if item.get_closest_marker("gpu") is None:
        return
    if item.config.option.markexpr != "gpu":
        pytest.skip("`make gpu-check` runs it, on a machine with a CUDA device")
    if not torch.cuda.is_available():
        pytest.fail("no CUDA device here: torch finds none")


def message(error: type[AblateError], do: Callable[[], Any]) -> str:
    """The one line that is raised."""
    with pytest.raises(error) as caught:
        do()
    text = str(caught.value)
    assert "\n" not in text
    return text


def remove(folder: Path) -> None:
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    folder.rmdir()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; missing it fails where CI promised to install it."""
    return found_or_skipped("chromium")


def found_or_skipped(program: str) -> str:
    """The path of a program that a test needs: absent, it skips the test, but fails it in CI."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def study_document(**changes: Any) -> dict[str, Any]:
    """A study of three variants and two seeds that trains in seconds."""
    recipe = {"epochs": 2, "batch_size": 64, "augment": ["crop"], **changes.pop("recipe", {})}
    return {
        "name": "small",
        "question": "Does it work?",
        "dataset": "digits",
        "backbone": "cbam_cnn",
        "seeds": 2,
        "recipe": recipe,
        "grid": [
            {"attention": "none"},
            {"attention": "se", "position": ["pool1", "pool3"], "reduction": 8},
        ],
        **changes,
    }


def small_plan(**changes: Any) -> Plan:
    return make_plan(parse_study(study_document(**changes), "test"))


@pytest.fixture
def plan() -> Plan:
    return small_plan()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'results.db'}"
