"""SIGTERM is Ctrl-C: what is under way is given back, to go on later."""

from __future__ import annotations

import signal
from typing import Any


def terminate_like_interrupt() -> None:
    """From now on SIGTERM raises KeyboardInterrupt in the main thread."""

    def interrupt(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
