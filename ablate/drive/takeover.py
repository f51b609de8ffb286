"""Takes back the runs of processes that are gone."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from ablate.store.writing.store import Store

LEASE_SECONDS = 30.0
"""A run elsewhere whose heartbeat stood still for this long, on our own clock, is taken over."""
APART_SECONDS = 1.0
WATCHED = 250
"""How many runs a driver watches, more than it can train at once: of a thousand drivers with ten each, every
run is seen by twenty-five of them."""
ROUND_SECONDS = 2.5 * LEASE_SECONDS
"""How long it stays with the same ones: long enough to find a death."""


@dataclass
class _Lease:
    """When we first saw a heartbeat of somebody else's attempt, on our monotonic clock."""

    token: str
    heartbeat: int
    since: float


@dataclass
class TakeOver:
    """Watches the runs that others train. SQLite has no clock, so time is counted on ours alone."""

    store: Store
    run_keys: Sequence[str]
    _leases: dict[str, _Lease] = field(init=False, default_factory=dict)
    _watched: float = field(init=False, default=0.0)
    _after: str = field(init=False, default_factory=lambda: secrets.token_hex(8))
    _stayed: float = field(init=False, default_factory=time.monotonic)
    _next: float = field(init=False, default=-math.inf)

    def watch_sometimes(self, ours: Container[str]) -> None:
        """Watch, but not again within a second, and not for more than a small part of the time."""
        if time.monotonic() >= self._next:
            begun = time.monotonic()
            self.watch(ours)
            took = time.monotonic() - begun
            self._next = begun + took + min(LEASE_SECONDS / 6, max(APART_SECONDS, 20 * took))

    def watch(self, ours: Container[str]) -> None:
        """Make runs ready again whose process has ended, or whose heartbeat stood still for a lease."""
        running = self.store.running(self.run_keys, self._after, WATCHED)
        # After reading, which may have waited for a lock: what stopped us stopped the others' heartbeats.
        now = time.monotonic()
        if now - self._watched > LEASE_SECONDS / 2:
            self._leases.clear()
        self._watched = now
        if now - self._stayed > ROUND_SECONDS:
            self._stayed, self._after = now, next(reversed(running), "")
        for run_key, (owner, token, heartbeat) in running.items():
            if run_key in ours:
                continue
            lease = self._leases.get(run_key)
            if lease is None or (lease.token, lease.heartbeat) != (token, heartbeat):
                lease = self._leases[run_key] = _Lease(token, heartbeat, now)
            elapsed = now - lease.since > LEASE_SECONDS
            if owner.is_gone() or (elapsed and not owner.is_here()):
                self.store.take_back(run_key, token)
