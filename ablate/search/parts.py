"""What a search works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.plan import Plan
from ablate.search.cells import CellMaker
from ablate.search.mirror import OptunaMirror
from ablate.search.space import Space
from ablate.store.writing.trials import Place, SearchKey, TrialRow, TrialStore
from ablate.study.search import Search


@dataclass(frozen=True)
class Parts:
    """What a search works with. `cell_of` gives the cell of a point and a seed; `told` are the words
    behind a command that name the study and the database, empty where the study has no file. Speeds count
    as they were measured at `place`; `measured_anew` says that the whole space just was. Failed trials are
    tried again, so many of them as `retries` says, None for all. One that does not go on only reads.
    """

    plan: Plan
    search: Search
    space: Space
    key: SearchKey
    store: TrialStore
    mirror: OptunaMirror
    cell_of: CellMaker
    say: Callable[[str], None]
    place: Place | None = None
    told: str = ""
    measured_anew: bool = False
    retries: int | None = 0
    goes_on: bool = True

    @property
    def baseline(self) -> str:
        """The network that bounds may be multiples of."""
        return self.plan.variants[self.plan.study.baseline].fingerprint

    def links(self, row: TrialRow) -> list[str]:
        """Where a trial is told of beside Optuna's dashboard."""
        links = [f"reports/{self.key.study}/report.html"]
        if row.run_keys and self.told:
            links.append(f"ablate explain {row.run_keys[0]} --study {self.told}")
        return links
