"""The results database: plan in, claims out, epochs and results in. The only SQLAlchemy is in this room.

Order of a run's life: `register` → `claim_cohort` → `resume` → `add_epoch`, `add_checkpoint` … →
`finish`. Plans and looks are written here, `queue.py` hands runs out, `attempts.py` takes in what comes of
them. Every transaction may be run twice (`transaction.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ablate.stats.looks import Look
from ablate.store.connection.engine import files_folder, open_engine
from ablate.store.connection.transaction import reading, writing
from ablate.store.files.weights import forget_all_but_best, remove_weights
from ablate.store.progress.status import StudyKey
from ablate.store.reading.looks import read_looks
from ablate.store.reading.samples import Standing, read_standing
from ablate.store.writing.attempts import Attempts, Report
from ablate.store.writing.choices import Choices
from ablate.store.writing.claims import Claim, LostClaimError
from ablate.store.writing.costs import Costs
from ablate.store.writing.looks import add_look
from ablate.store.writing.queue import Queue
from ablate.store.writing.registry import add_cells, register
from ablate.store.writing.tested_images import Pictures
from ablate.system.process.owner import current_owner

if TYPE_CHECKING:
    # For its type only: a report opens the database on machines without torch.
    from ablate.plan import Cell, Plan

__all__ = ["Claim", "LostClaimError", "Report", "Store"]


class Store(Queue, Attempts):
    """One results database, opened for writing. Every method is one transaction."""

    def __init__(self, url: str) -> None:
        """Open a database, make it if it is missing.

        Raises:
            DatabaseError: not ours, newer, or not to be opened.
        """
        self._engine = open_engine(url, create=True)
        self._url = url
        self._owner = current_owner()
        self.choices = Choices(self._engine)
        self.pictures = Pictures(self._engine)
        self.costs = Costs(self._engine, files_folder(url) / "traces")

    def close(self) -> None:
        self._engine.dispose()

    @writing
    def register(self, connection: Connection, plan: Plan) -> None:
        """Make the study's cells those of the plan; runs that exist already stay as they are."""
        register(connection, plan)

    @writing
    def add_cells(self, connection: Connection, plan: Plan, cells: Sequence[Cell]) -> None:
        """Make further cells of a study that is registered; those that are there stay as they are."""
        add_cells(connection, plan, cells)

    @reading
    def standing(self, connection: Connection, key: StudyKey) -> Standing:
        """What the runs of a study have given so far."""
        return read_standing(connection, key)

    @reading
    def looks(self, connection: Connection, key: StudyKey) -> tuple[Look, ...]:
        """When a study's verdicts were looked at, the first time first."""
        return read_looks(connection, key)

    @writing
    def add_look(self, connection: Connection, key: StudyKey, look: Look) -> bool:
        """Store a look; False if the last one was the same."""
        return add_look(connection, key, look)

    def keep_best(self, study: str, run_key: str) -> None:
        """Keep weights of the best alone of a study's runs of this one's network; a file is deleted after its
        row is changed, so that a process that is killed between leaves a file that nobody names.
        """
        remove_weights(self._url, self._forget_all_but_best(study, run_key))

    @writing
    def _forget_all_but_best(self, connection: Connection, study: str, run_key: str) -> list[str]:
        return forget_all_but_best(connection, study, run_key)
