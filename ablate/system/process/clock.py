"""What time it is, by a clock that nobody sets while this process lasts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache


def now() -> str:
    """This moment in UTC, as ISO 8601 with milliseconds.

    Counted from this process's first look at the clock: whoever sets it meanwhile makes no run end
    before it began.
    """
    began, before = _first_look()
    moment = began + timedelta(seconds=_elapsed() - before)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _first_look() -> tuple[datetime, float]:
    return datetime.now(UTC), _elapsed()


def _elapsed() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
