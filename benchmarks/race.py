"""SteppedCohorts in processes of their own, one lap at a time: whoever runs has the whole machine.

Rounds are interleaved: in each one every contestant runs once, the order reversed from round to
round, so that a clock that drifts or a neighbour that works hits all alike.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

import torch

from ablate.errors import AblateError
from benchmarks.field import Entry, Field
from benchmarks.options import watch

PLAYERS = {
    "today": "benchmarks.opponents.today",
    "lightning": "benchmarks.opponents.lightning",
    "timm": "benchmarks.opponents.timm",
    "airbench": "benchmarks.opponents.airbench",
    "ablate": "benchmarks.ours",
}
"""Modules with a function `play(field, entry, turn)`. Each is imported in its own process only."""

GPU_PLAYERS = {"compiled": "benchmarks.opponents.compiled"}
"""Likewise, of races on a CUDA device only: on a CPU it would compile for longer than all others run."""

# Never fork: a forked child would share torch's threads.
_CONTEXT = multiprocessing.get_context("spawn")
_PATIENCE_SECONDS = 10.0


class BenchmarkError(AblateError):
    """A contestant could not run to its end."""


@dataclass(frozen=True, slots=True)
class Lap:
    """What one contestant did in one round; `loss` is its mean training loss."""

    images: int
    seconds: float
    loss: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


class Turn:
    """A contestant's side of the race: `begin` waits for its turn, `end` stops its clock."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._started = 0.0

    def begin(self) -> None:
        """Raises SystemExit when the race is over."""
        try:
            self._pipe.recv()
        except EOFError:
            raise SystemExit(0) from None
        self._started = time.perf_counter()

    def end(self, images: int, loss: float) -> None:
        """`loss` was read from the device, so everything before it is done."""
        self._pipe.send(Lap(images, time.perf_counter() - self._started, loss))


class Player:
    """A contestant's process; a context manager that ends it. Not a daemon: data loaders have children."""

    def __init__(self, entry: Entry, field: Field) -> None:
        self.entry = entry
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_play, args=(entry, field, theirs))
        self._process.start()
        theirs.close()

    def start(self) -> None:
        """Begin a lap, which `finish` waits for.

        Raises:
            BenchmarkError: its process is gone.
        """
        try:
            self._pipe.send(None)
        except OSError:
            raise BenchmarkError(f"{self.entry.player}: its process ended") from None

    def finish(self) -> Lap:
        """The lap that was begun.

        Raises:
            BenchmarkError: it raised, or its process is gone.
        """
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise BenchmarkError(f"{self.entry.player}: its process ended") from None
        if isinstance(answer, Lap):
            return answer
        raise BenchmarkError(f"{self.entry.player}: {answer}")

    def lap(self) -> Lap:
        """Let it run one lap while everybody else waits.

        Raises:
            BenchmarkError: as `start` and `finish`.
        """
        self.start()
        return self.finish()

    def __enter__(self) -> Self:
        return self

    def leave(self) -> None:
        """Tell it that the race is over; it may take its time to end."""
        self._pipe.close()

    def __exit__(self, *_error: object) -> None:
        self.leave()
        self._process.join(_PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def race(contestants: Sequence[tuple[Entry, Field]], rounds: int, what: str) -> list[list[Lap]]:
    """The laps of each contestant, in their order; a first lap for warming up is dropped.

    `what` names the race to whoever watches.
    """
    laps: list[list[Lap]] = [[] for _ in contestants]
    with ExitStack() as stack:
        players = [stack.enter_context(Player(entry, field)) for entry, field in contestants]
        # All at once in the end: each takes seconds to free a device, or to stop a compiler's helpers.
        stack.callback(_leave, players)
        # Side by side, as nothing is timed: they load, compile and record for half a minute each.
        for player in players:
            player.start()
        for player in players:
            player.finish()
        seen = watch(what)
        for number in range(rounds):
            for i in interleaved(len(players), number):
                laps[i].append(players[i].lap())
            seen(number + 1, rounds)
    return laps


def _leave(players: Sequence[Player]) -> None:
    for player in players:
        player.leave()


def interleaved(count: int, round_number: int) -> Sequence[int]:
    """The order of a round: forwards, the next time backwards."""
    return range(count) if round_number % 2 == 0 else range(count)[::-1]


def _play(entry: Entry, field: Field, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that holds the race
    torch.manual_seed(0)
    try:
        importlib.import_module((PLAYERS | GPU_PLAYERS)[entry.player]).play(
            field, entry, Turn(pipe)
        )
    except BrokenPipeError:
        return  # the race ended in the middle of a lap
    except Exception:
        pipe.send(traceback.format_exc())
