"""Figures are drawn in several processes: the same bytes, one clear error, and nothing that outlives it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.report_frames import TWO, make_frames

from ablate.errors import DrawingError, OptionError
from ablate.page import together
from ablate.page.together import all_of, can_fork
from ablate.report.gallery import draw_all
from ablate.report.summary import summarize
from ablate.system.messages.pulse import Pulse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """That figures are drawn in two processes, whatever else the tests have loaded."""
    monkeypatch.setattr(together, "count_cores", lambda: 2)
    monkeypatch.setattr(together, "can_fork", lambda: True)
    yield
    assert multiprocessing.active_children() == []
    assert gc.get_freeze_count() == 0


def hear(_done: int) -> None:
    """Nobody listens."""


@pytest.mark.usefixtures("forks")
def test_each_piece_is_done_elsewhere_and_comes_back_under_its_name() -> None:
    heard: list[int] = []
    work: dict[str, Callable[[], tuple[int, str]]] = {
        name: lambda name=name: (os.getpid(), 2 * name)
        for name in "abcdef"  # type: ignore[misc]
    }
    found = all_of(work, heard.append)
    assert {name: told for name, (_pid, told) in found.items()} == {n: 2 * n for n in "abcdef"}
    assert os.getpid() not in {pid for pid, _told in found.values()}
    assert heard == [0, 1, 2, 3, 4, 5, 6]
    assert all_of(work, heard.append, processes=1)["a"] == (os.getpid(), "aa")


@pytest.mark.usefixtures("forks")
def test_what_a_piece_raises_is_raised_here() -> None:
    def refuse() -> None:
        raise OptionError("a number that cannot be honoured")

    started = time.monotonic()
    with pytest.raises(OptionError, match="cannot be honoured"):
        all_of({"good": os.getpid, "bad": refuse, "slow": partial(time.sleep, 60)}, hear)
    assert time.monotonic() - started < 20, "the others are not waited for"


@pytest.mark.usefixtures("forks")
def test_a_process_that_dies_is_one_clear_error() -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(DrawingError, match=r"has died.*free some") as told:
        all_of({"dies": die, "slow": partial(time.sleep, 60)}, hear)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("forks")
def test_who_interrupts_waits_for_no_figure() -> None:
    started = time.monotonic()
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        all_of({"slow": partial(time.sleep, 60), "too": partial(time.sleep, 60)}, hear)
    assert time.monotonic() - started < 20


ALONE = """
import os, sys, time
from ablate.page import together
together.count_cores = lambda: 2
def wait(): os.write(1, f"{os.getpid()}\\n".encode()); time.sleep(120)
together.all_of({"a": wait, "b": wait}, lambda done: None)
"""


def test_no_process_outlives_the_one_that_asked() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdout is not None
        try:
            drawing = {int(asked.stdout.readline()) for _ in range(2)}
        finally:
            asked.kill()
    assert len(drawing - {asked.pid}) == 2
    until = time.monotonic() + 20
    while any(is_alive(pid) for pid in drawing) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in drawing)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_forks_only_beside_threads_that_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = {thread.name for thread in threading.enumerate()}
    if before <= {"MainThread", together.THREAD}:
        assert can_fork()
    pulse = Pulse()
    pulse.begin("report")
    assert can_fork() == (before <= {"MainThread", together.THREAD})
    pulse.end()
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    assert not can_fork()
    done.set()
    other.join()
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert not can_fork()


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_figures_are_the_same_bytes_in_one_process_and_in_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = summarize(make_frames(TWO, seeds=3))
    both = draw_all(summary, ("png",))
    monkeypatch.setattr(together, "count_cores", lambda: 1)
    alone = draw_all(summary, ("png",))
    assert list(both) == list(alone)
    assert both == alone
    assert all(each.picture.png and not each.picture.pdf for each in both.values())
