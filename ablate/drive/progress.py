"""What a person sees of a running study: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import statistics
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ablate.plan import Cell
from ablate.result import Epoch, Failed, Finished
from ablate.system.messages.console import say, seconds_between_lines
from ablate.system.messages.language import N_, _, noun
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import duration, printable

TRAINING = N_("training runs")


class StudyProgress:
    """Runs, epochs, images/s and the time left, counted in epochs over the whole study."""

    def __init__(
        self, console: Console, runs: int, epochs: int, workers: int, *, show_test: bool = True
    ) -> None:
        """`runs` is how many this invocation trains; without `show_test` nobody sees the test set."""
        self._console = console
        self._total, self._begun, self._done = runs, 0, 0
        self._epochs, self._workers, self._show_test = epochs, workers, show_test
        # In the first of a run a process may compile and record: apart from all others.
        self._first_seconds: list[float] = []
        self._epochs_seen, self._epoch_seconds = 0, 0.0
        self._tasks: dict[str, TaskID] = {}
        self._reached: dict[str, int] = {}
        self._last_line, self._last_note = -math.inf, ""
        self._own = ExitStack()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._all = self._bars.add_task(noun("runs"), total=runs, note="")
        self._live = (
            Live(self._bars, console=console, refresh_per_second=4) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        PULSE.step(_("starting to train"))
        if self._live:
            self._own.enter_context(PULSE.held())
            self._live.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        self._own.close()

    def started(self, cell: Cell) -> None:
        self._begun += 1
        if self._begun > self._total:  # more to do than was known: another process has died
            self._total = self._begun
            self._bars.update(self._all, total=self._total)
        self._tasks[_name(cell)] = self._bars.add_task(
            printable(_name(cell)), total=self._epochs, note=""
        )

    def resumed(self, cell: Cell, epoch: int) -> None:
        self._reached[_name(cell)] = epoch
        self._bars.update(self._tasks[_name(cell)], completed=epoch)
        self._progress(_("{cell}: goes on after epoch {epoch}", cell=_name(cell), epoch=epoch))

    def given_back(self, cell: Cell, why: str) -> None:
        self._begun -= 1
        self._reached.pop(_name(cell), None)
        self._bars.remove_task(self._tasks.pop(_name(cell)))
        self._line(f"{_name(cell)}: {_(why)}")

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        if _name(cell) in self._reached:
            self._epochs_seen += 1
            self._epoch_seconds += epoch.seconds
        else:
            self._first_seconds.append(epoch.seconds)
        self._reached[_name(cell)] = epoch.epoch
        accuracy = epoch.val_accuracy if epoch.val_accuracy is not None else epoch.test_accuracy
        note = _(
            "loss {train_loss:.3f}  accuracy {accuracy:.1f} %  {images_per_second:,.0f} images/s",
            train_loss=epoch.train_loss,
            accuracy=100 * (accuracy or 0),
            images_per_second=epoch.images_per_second,
        )
        self._bars.update(self._tasks[_name(cell)], completed=epoch.epoch, note=note)
        self._bars.update(self._all, note=self.eta())
        if self._live is None:
            self._progress(
                _(
                    "{cell}: epoch {epoch}/{epochs}  {note}  {eta}",
                    cell=_name(cell),
                    epoch=epoch.epoch,
                    epochs=self._epochs,
                    note=note,
                    eta=self.eta(),
                )
            )

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self._done += 1
        self._reached.pop(_name(cell), None)
        self._bars.update(self._all, completed=self._done)
        self._bars.remove_task(self._tasks.pop(_name(cell)))
        PULSE.count(_(TRAINING), self._done, self._total)
        if isinstance(result, Finished):
            how, say_it = f"{self._accuracy(result)}  {result.seconds:.1f} s", self._progress
        else:
            how = _(
                "FAILED ({kind}): {error}",
                kind=result.kind,
                error=result.error.strip().splitlines()[-1],
            )
            say_it = self._line
        say_it(f"[{self._done}/{self._total}] {_name(cell)}: {how}  {self.eta()}")

    def _accuracy(self, result: Finished) -> str:
        if self._show_test or result.val_accuracy is None:
            return _(
                "test accuracy {test_accuracy:.2f} %", test_accuracy=100 * result.test_accuracy
            )
        return _("validation accuracy {val_accuracy:.2f} %", val_accuracy=100 * result.val_accuracy)

    def note(self, text: str) -> None:
        if text != self._last_note:
            self._last_note = text
            self._line(text)

    def eta(self) -> str:
        """The time left, from the mean time of the epochs so far; nothing before the first. The first one of
        a run counts only until there are others.
        """
        if self._epochs_seen:
            each = self._epoch_seconds / self._epochs_seen
        elif self._first_seconds:
            each = statistics.fmean(self._first_seconds)
        else:
            return ""
        under_way = sum(self._reached.values())
        left = (self._total - self._done) * self._epochs - under_way
        seconds = max(0, left) * each / self._workers
        return _("{seconds} left", seconds=duration(seconds))

    def _progress(self, text: str) -> None:
        """A line of many like it: a file gets one every 10 seconds, and that of the last run."""
        since = time.monotonic() - self._last_line
        if (
            self._console.is_terminal
            or self._done == self._total
            or since >= seconds_between_lines(self._console)
        ):
            self._line(text)

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        say(text, self._console)


def _name(cell: Cell) -> str:
    return cell.name
