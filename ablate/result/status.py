"""RunStatus: where a run stands, and what that means for whoever counts, plans or trains."""

from __future__ import annotations

from enum import StrEnum

from ablate.system.messages.language import N_


class RunStatus(StrEnum):
    """Where a run stands, as `v_runs.status` says it.

    Nobody has trained a `planned` run yet; a process is training a `running` one, or has died doing so;
    a `stopped` one was given back unfinished and goes on from its checkpoint; the other two are over.
    """

    PLANNED = "planned"
    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def is_ready(self) -> bool:
        """Whether it can be claimed and trained."""
        return self in READY

    @property
    def is_over(self) -> bool:
        """Whether it has a result or a failure; failed runs are trained again only when asked."""
        return self in (RunStatus.FINISHED, RunStatus.FAILED)


READY = (RunStatus.PLANNED, RunStatus.STOPPED)
MISSING = tuple(status for status in RunStatus if not status.is_over)
"""What has still to be trained, here or elsewhere."""


TOLD = {
    RunStatus.PLANNED: N_("{n} planned"),
    RunStatus.RUNNING: N_("{n} running"),
    RunStatus.STOPPED: N_("{n} stopped"),
    RunStatus.FINISHED: N_("{n} finished"),
    RunStatus.FAILED: N_("{n} failed"),
}
"""How many runs are in a state, in words."""
