"""Rays of several commands at once, and of a command after others in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import OptionError
from ablate.execute import ray_cluster
from ablate.execute.ray_cluster import AUTH_MODE, LOOPBACK, TOKENS

START = """
import sys
from test_execute import Count, collect
from ablate.execute import make_executor
if __name__ == "__main__":
    with make_executor("ray", 1) as executor:
        executor.submit("a", Count(1))
        print(len(collect(executor, 120)))
"""

TWICE = """
import os
from test_execute import Count, collect
from ablate.execute import make_executor
from ablate.execute.ray_cluster import TOKENS
if __name__ == "__main__":
    for _ in range(2):
        with make_executor("ray", 1) as executor:
            executor.submit("a", Count(1))
            print(len(collect(executor, 120)))
        assert TOKENS[0] not in os.environ
"""

SHARED = """
from test_execute import collect
from test_several_gpus import Together
from ablate.execute import Where, make_executor
if __name__ == "__main__":
    with make_executor("ray", None, Where(workers=1, gpus=("0",), gpu_share=0.5)) as executor:
        print(executor.slots)
        for name in ("a", "b"):
            executor.submit(name, Together(name, "MEETING"))
        print(sorted(event for _, event in collect(executor, 120) if isinstance(event, str)))
"""


def start(folder: Path, text: str, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "start.py").write_text(text)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    return subprocess.Popen(
        [sys.executable, str(folder / "start.py")], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip


@pytest.mark.slow
def test_two_commands_start_their_rays_at_the_same_time_in_an_empty_home(tmp_path: Path) -> None:
    """Where no token was made yet; each has its own."""
    both = [start(tmp_path / str(number), START, HOME=str(tmp_path)) for number in range(2)]
    ends = [each.communicate(timeout=200) for each in both]
    assert [said for said, _ in ends] == ["3\n", "3\n"], ends
    assert not (tmp_path / ".ray").exists()


@pytest.mark.slow
def test_a_second_ray_of_a_process_has_a_token_of_its_own(tmp_path: Path) -> None:
    """The first one's, which this process has used, is not the second one's."""
    said, errors = start(tmp_path, TWICE, HOME="/nowhere").communicate(timeout=200)
    assert said == "3\n3\n", errors


@pytest.mark.slow
def test_two_jobs_share_a_pretended_gpu_at_the_same_time(tmp_path: Path) -> None:
    script = SHARED.replace("MEETING", str(tmp_path))
    said, errors = start(tmp_path / "driver", script).communicate(timeout=200)
    assert said == "2\n['a on 0', 'b on 0']\n", errors


class Starts:
    """In the place of Ray: fails so often, and then begins."""

    exceptions = _raylet = None

    def __init__(self, failures: int) -> None:
        self.failures, self.tried, self.ended = failures, 0, 0
        self.tokens: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **_where: Any) -> None:
        self.tried += 1
        self.tokens.append(os.environ[TOKENS[0]])
        if self.tried <= self.failures:
            raise Exception("The current node timed out during startup")

    def shutdown(self) -> None:
        self.ended += 1

    def get_runtime_context(self) -> Any:
        return type("Context", (), {"gcs_address": f"{LOOPBACK}:1"})


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.time, "sleep", lambda _seconds: None)
    monkeypatch.delenv(AUTH_MODE, raising=False)
    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_quick")
def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Starts(2)
    monkeypatch.setattr(ray_cluster, "_import_ray", lambda **_: ray)
    ray_cluster.connect(None, 1, 0)
    assert (ray.tried, ray.ended) == (3, 2)
    assert len(set(ray.tokens)) == 1
    assert len(ray.tokens[0]) >= 32


@pytest.mark.usefixtures("_quick")
def test_one_that_always_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Starts(99)
    monkeypatch.setattr(ray_cluster, "_import_ray", lambda **_: ray)
    with pytest.raises(OptionError) as caught:
        ray_cluster.connect(None, 1, 0)
    assert str(caught.value) == (
        "Ray at this machine cannot be used: Exception: The current node timed out during startup"
    )
    assert ray.tried == ray_cluster.STARTS
    assert TOKENS[0] not in os.environ
