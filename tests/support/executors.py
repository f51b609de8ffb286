"""Executors for tests: every entry of the table, Ray once for a whole test process."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

import pytest

from ablate.execute import EXECUTORS, RAY, Executor, make_executor
from ablate.execute.ray_cluster import connect


def each(but: str = "") -> list[Any]:
    """Their names as parameters; Ray takes seconds to start."""
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=slow if name == RAY else ()) for name in EXECUTORS if name != but
    ]


def started(name: str, workers: int) -> Executor:
    if name == RAY:
        _one_ray()
    return make_executor(name, workers)


@cache
def _one_ray() -> None:
    """A Ray of this process, which executors find and leave as it is."""
    atexit.register(connect(None, workers=2, gpus=0).close)
