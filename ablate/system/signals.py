"""The signals by which a program is asked to end."""

from __future__ import annotations

import signal

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
    if hasattr(signal, name)
)
"""Ctrl-C, `kill`, a closed terminal, and what job schedulers are told to send, where there are such."""


def is_ignored(number: signal.Signals) -> bool:
    """Whether whoever started this process wants the signal ignored, as `nohup` does."""
    return signal.getsignal(number) is signal.SIG_IGN
