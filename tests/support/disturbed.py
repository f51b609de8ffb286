"""A driver's progress in which something happens at a moment that a test chooses."""

from __future__ import annotations

from collections.abc import Callable

from ablate.result import Epoch, Failed, Finished

Meanwhile = Callable[[], None]


class Disturbed:
    """Something happens when the first run is given away, or after its first epoch; nothing twice."""

    def __init__(self, at_start: Meanwhile | None, at_epoch: Meanwhile | None) -> None:
        self.at_start, self.at_epoch = at_start, at_epoch
        self.ends: list[Finished | Failed] = []
        self.resumes: list[int] = []

    def started(self, cell: object) -> None:
        if self.at_start is not None:
            self.at_start()
        self.at_start = None

    def epoch(self, cell: object, epoch: Epoch) -> None:
        if self.at_epoch is not None:
            self.at_epoch()
        self.at_epoch = None

    def ended(self, cell: object, result: Finished | Failed) -> None:
        self.ends.append(result)

    def resumed(self, cell: object, epoch: int) -> None:
        self.resumes.append(epoch)

    def given_back(self, cell: object, why: str) -> None: ...
    def note(self, text: str) -> None: ...
