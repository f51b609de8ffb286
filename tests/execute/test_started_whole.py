"""A signal that comes while a worker process is started."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from ablate.execute import local
from ablate.execute.local import LocalExecutor
from ablate.system.process.signals import ENDING, whole


@pytest.mark.parametrize("number", ENDING)
def test_what_ends_a_process_comes_when_the_work_is_done(number: signal.Signals) -> None:
    def ended(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before, done = signal.signal(number, ended), list[str]()

    def work() -> None:
        with whole():
            signal.raise_signal(number)
            done.append("whole")

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["whole"]
        assert signal.getsignal(number) is ended
    finally:
        signal.signal(number, before)


def test_a_worker_that_was_started_meanwhile_is_known_and_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []

    start = local._CONTEXT.Process.start

    def interrupted(process: Any) -> None:
        signal.raise_signal(ENDING[-1])
        start(process)
        started.append(process)

    monkeypatch.setattr(local._CONTEXT.Process, "start", interrupted)
    before = signal.signal(ENDING[-1], signal.default_int_handler)
    executor = LocalExecutor(1)
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.submit("job", iter)
    finally:
        signal.signal(ENDING[-1], before)
    executor.close()
    assert len(started) == 1
    assert not started[0].is_alive()
