"""Who is thought dead, and when: time is counted on the observer's clock, its own standstills left out."""

from __future__ import annotations

from typing import Any

import pytest

from ablate.drive import takeover
from ablate.drive.takeover import LEASE_SECONDS, TakeOver
from ablate.system.process.owner import Owner

ELSEWHERE = Owner("elsewhere/boot", 1, 1.0)


class Watched:
    """A store with one run of another machine; reading takes as long as the database is locked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.locked_seconds, self.heartbeat = 100.0, 0.0, 0
        self.taken: list[str] = []
        monkeypatch.setattr(takeover.time, "monotonic", lambda: self.now)

    def running(self, run_keys: Any, *_slice: Any) -> dict[str, tuple[Owner, str, int]]:
        self.now += self.locked_seconds
        return dict.fromkeys(run_keys, (ELSEWHERE, "token", self.heartbeat))

    def take_back(self, run_key: str, token: str) -> bool:
        self.taken.append(run_key)
        return True


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def watch(store: Watched, seconds: float) -> TakeOver:
    """Look once a second for that long."""
    made = TakeOver(store, ["run"])  # type: ignore[arg-type]
    for _ in range(round(seconds)):
        store.now += 1
        made.watch(())
    return made


def test_a_heartbeat_that_stands_still_for_a_lease_is_a_death(store: Watched) -> None:
    watch(store, LEASE_SECONDS)
    assert store.taken == []
    watch(store, LEASE_SECONDS + 2)
    assert store.taken == ["run"]


@pytest.mark.parametrize("locked_seconds", [LEASE_SECONDS * 0.6, LEASE_SECONDS, LEASE_SECONDS * 5])
def test_a_lock_in_which_nobody_could_write_is_not(store: Watched, locked_seconds: float) -> None:
    """The read that waited for the lock brings the heartbeat of before: its owner had to wait too."""
    look = watch(store, LEASE_SECONDS * 0.7).watch
    store.locked_seconds = locked_seconds
    look(())
    assert store.taken == []
    store.locked_seconds = 0
    for _ in range(round(LEASE_SECONDS) - 1):
        store.now += 1
        look(())
    assert store.taken == [], "the lease begins anew when the lock is gone"
    store.now += 3
    look(())
    assert store.taken == ["run"]


def test_a_heartbeat_that_moves_is_a_life(store: Watched) -> None:
    made = TakeOver(store, ["run"])  # type: ignore[arg-type]
    for _ in range(100):
        store.now += LEASE_SECONDS / 3
        store.heartbeat += 1
        made.watch(())
    assert store.taken == []
