"""The progress of a search, of which it learns validation accuracies."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.drive.driver import Driver
from ablate.drive.progress import StudyProgress
from ablate.plan import Cell
from ablate.result import Epoch, Failed, Finished
from ablate.search.searcher import Searcher


@dataclass
class Watching:
    """Shows progress, and lets the search see which runs begin and the validation accuracy of each epoch,
    nothing else.
    """

    shown: StudyProgress
    searcher: Searcher
    driver: Driver | None = None

    def started(self, cell: Cell) -> None:
        self.searcher.begun(str(cell.run_key))
        self.shown.started(cell)

    def resumed(self, cell: Cell, epoch: int) -> None:
        self.shown.resumed(cell, epoch)

    def given_back(self, cell: Cell, why: str) -> None:
        self.shown.given_back(cell, why)

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self.shown.epoch(cell, epoch)
        pruned = self.searcher.learned(str(cell.run_key), epoch.epoch, epoch.val_accuracy)
        if pruned and self.driver is not None:
            self.shown.given_back(cell, "pruned")
            self.driver.drop(str(cell.run_key))

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self.shown.ended(cell, result)

    def note(self, text: str) -> None:
        self.shown.note(text)
