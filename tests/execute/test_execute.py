"""The contract of executors: one suite over every entry of EXECUTORS, and what only processes can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from support.executors import each, started

from ablate.errors import UnknownNameError
from ablate.execute import Died, Done, Executor, make_executor
from ablate.system.hardware.device_errors import ProcessSpentError
from ablate.system.process.signals import ENDING


@dataclass(frozen=True)
class Count:
    """A job that yields its numbers, then its process id."""

    upto: int

    def __call__(self) -> Iterator[int]:
        yield from range(self.upto)
        yield os.getpid()


class Raises:
    def __call__(self) -> Iterator[int]:
        yield 1
        raise ValueError("no good")


class Aborts:
    def __call__(self) -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)
        yield 2


class Spent:
    """A job that has said everything, and leaves its process in a state for no other one."""

    def __call__(self) -> Iterator[int]:
        yield os.getpid()
        raise ProcessSpentError


class IsAskedToEnd:
    """Gets the signals that a terminal or a job scheduler sends to every process of a group."""

    def __call__(self) -> Iterator[int]:
        for number in ENDING:
            os.kill(os.getpid(), number)
        yield 1


class Sleeps:
    def __call__(self) -> Iterator[int]:
        yield os.getpid()
        time.sleep(600)


def collect(executor: Executor, seconds: float = 60) -> list[tuple[str, Any]]:
    """All events until nothing is busy."""
    events, end = [], time.monotonic() + seconds
    while executor.busy and time.monotonic() < end:
        events += executor.wait(1.0)
    assert not executor.busy, "did not end in time"
    return events


@pytest.fixture(params=each())
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with started(request.param, 1) as made:
        yield made


@pytest.fixture(params=each(but="inprocess"))
def processes(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor of processes, with two slots."""
    with started(request.param, 2) as made:
        yield made


def test_events_arrive_in_order_and_end_with_done(executor: Executor) -> None:
    executor.submit("a", Count(3))
    events = collect(executor)
    assert [event for _, event in events[:3]] == [0, 1, 2]
    assert events[-1] == ("a", Done())
    assert {job_id for job_id, _ in events} == {"a"}


def test_a_job_that_raises_ends_with_its_traceback_and_stops_nobody(executor: Executor) -> None:
    executor.submit("a", Raises())
    *_, (_, end) = collect(executor)
    assert isinstance(end, Done)
    assert "ValueError: no good" in str(end.error)
    executor.submit("b", Count(1))
    assert collect(executor)[-1] == ("b", Done())


def test_slots_are_counted(executor: Executor) -> None:
    assert (executor.free, executor.busy) == (1, False)
    executor.submit("a", Count(1))
    assert (executor.free, executor.busy) == (0, True)
    with pytest.raises(RuntimeError, match="no slot is free"):
        executor.submit("b", Count(1))
    collect(executor)
    assert executor.free == 1


@pytest.mark.slow
def test_a_cancelled_job_is_gone_and_its_slot_free(executor: Executor) -> None:
    executor.submit("a", Count(100_000))
    executor.wait(30)
    executor.cancel("a")
    assert executor.free == 1
    executor.submit("b", Count(1))
    assert {job_id for job_id, _ in collect(executor)} == {"b"}


def test_unknown_executors_are_named() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown executor 'loca' \(did you mean 'local'\?\)"
    ):
        make_executor("loca", 1)


@pytest.mark.slow
def test_a_lost_process_is_an_event_and_a_new_one_takes_its_place(processes: Executor) -> None:
    processes.submit("a", Aborts())
    first, (job_id, end) = collect(processes)
    assert (first, job_id) == (("a", 1), "a")
    assert isinstance(end, Died)
    processes.submit("b", Count(1))
    assert collect(processes)[-1] == ("b", Done())


def test_a_process_of_this_machine_tells_how_it_ended() -> None:
    with make_executor("local", 1) as executor:
        executor.submit("a", Aborts())
        assert collect(executor)[-1] == ("a", Died(-signal.SIGKILL))


@pytest.mark.slow
def test_a_spent_process_ends_well_and_takes_no_other_job(executor: Executor) -> None:
    executor.submit("a", Spent())
    (_, first), end = collect(executor)
    assert end == ("a", Done(spent=True))
    executor.submit("b", Count(0))
    (_, second), end = collect(executor)
    assert end == ("b", Done())
    assert first != second or first == os.getpid(), "but for the process of everybody"


@pytest.mark.slow
def test_workers_run_side_by_side_and_are_used_again() -> None:
    with make_executor("local", 2) as executor:
        executor.submit("a", Count(1))
        executor.submit("b", Count(1))
        first = {event for _, event in collect(executor) if isinstance(event, int) and event > 1}
        executor.submit("c", Count(1))
        second = {event for _, event in collect(executor) if isinstance(event, int) and event > 1}
    assert len(first) == 2
    assert second < first


def test_jobs_end_in_the_order_of_their_work(processes: Executor) -> None:
    processes.submit("long", Sleeps())
    processes.submit("short", Count(1))
    events, end = [], time.monotonic() + 60
    while ("short", Done()) not in events and time.monotonic() < end:
        events += processes.wait(1.0)
    assert processes.free == 1
    assert ("short", Done()) in events


def test_leaving_the_executor_ends_its_workers(processes: Executor) -> None:
    processes.submit("a", Sleeps())
    [(_, pid)] = processes.wait(30)
    assert psutil.pid_exists(pid)
    began = time.monotonic()
    processes.close()
    while psutil.pid_exists(pid) and time.monotonic() - began < 10:
        time.sleep(0.01)
    assert time.monotonic() - began < 5


DRIVER = """
import sys, time
from tests_path import Sleeps
from ablate.execute import make_executor
if __name__ == "__main__":
    executor = make_executor(sys.argv[1], 1)
    executor.submit("a", Sleeps())
    [(_, pid)] = executor.wait(60)
    print(pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("name", each(but="inprocess"))
def test_a_killed_driver_leaves_no_worker_behind(tmp_path: Any, name: str) -> None:
    (tmp_path / "driver.py").write_text(DRIVER.replace("tests_path", "test_execute"))
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), name],
        stdout=subprocess.PIPE, text=True, env=environment,
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        assert psutil.pid_exists(worker)
        driver.kill()
        driver.wait()
    end = time.monotonic() + 10
    while psutil.pid_exists(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not psutil.pid_exists(worker)


def test_a_worker_leaves_it_to_the_driver_to_end() -> None:
    with make_executor("local", 1) as executor:
        executor.submit("a", IsAskedToEnd())
        assert collect(executor) == [("a", 1), ("a", Done())]


class Prints:
    def __call__(self) -> Iterator[int]:
        print("said by a job")
        yield 1


PRINTING = """
import sys
import time
from test_execute import Prints, collect
from ablate.execute import make_executor
if __name__ == "__main__":
    with make_executor(sys.argv[1], 1) as executor:
        executor.submit("a", Prints())
        print(len(collect(executor)))
        time.sleep(3 * (sys.argv[1] == "ray"))  # it passes on what was printed a moment later
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", each())
def test_what_a_job_prints_is_on_stderr(tmp_path: Any, name: str) -> None:
    (tmp_path / "printing.py").write_text(PRINTING)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "printing.py"), name], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )  # fmt: skip
    assert done.stdout == "2\n"
    said = [line for line in done.stderr.splitlines() if line.endswith("said by a job")]
    assert len(said) == 1, "behind the name of its process, as Ray says it"
