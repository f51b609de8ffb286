"""Where the runs of a plan stand: the one place that counts them for whoever trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.drive.takeover import TakeOver
from ablate.result import RunStatus
from ablate.store.writing.store import Store
from ablate.system.messages.language import _, amount


@dataclass(frozen=True)
class Counts:
    """`elsewhere` are those that another living process is training."""

    finished: int
    failed: int
    elsewhere: int
    ready: int

    @property
    def runs(self) -> int:
        return self.finished + self.failed + self.elsewhere + self.ready

    def __str__(self) -> str:
        said = [
            amount(self.runs, "run"),
            _("{finished} done", finished=self.finished + self.failed),
        ]
        if self.elsewhere:
            said.append(_("{elsewhere} in training by another process", elsewhere=self.elsewhere))
        return _(", ").join(said)


def count_runs(store: Store, run_keys: Sequence[str]) -> Counts:
    """Count runs, after those whose process has ended were made ready again."""
    TakeOver(store, run_keys).watch(())
    status = Counter(store.statuses(run_keys).values())
    return Counts(
        finished=status[RunStatus.FINISHED],
        failed=status[RunStatus.FAILED],
        elsewhere=status[RunStatus.RUNNING],
        ready=sum(number for each, number in status.items() if each.is_ready),
    )
