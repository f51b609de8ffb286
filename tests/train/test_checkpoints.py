"""Checkpoints in the store: the newest whole one, never somebody else's, nothing left lying about."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import claim_one, rows_of

from ablate.errors import DatabaseError
from ablate.plan import Plan
from ablate.result import Checkpoint, Epoch, Failed, Finished, Step
from ablate.store.connection.address import files_folder
from ablate.store.writing.store import Claim, LostClaimError, Store
from ablate.system.files import atomic as files

STEP = Step(step=1, batch_loss=2.0, batch_accuracy=0.25, learning_rate=1e-3)
EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0, (STEP,))
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


@pytest.fixture
def url(any_url: str) -> str:
    """Both kinds of database keep the same promises."""
    return any_url


@pytest.fixture
def store(url: str, plan: Plan, open_store: Callable[[str], Store]) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


@pytest.fixture
def key(plan: Plan) -> str:
    return str(plan.cells[0].run_key)


def claimed(store: Store, key: str) -> Claim:
    claim = claim_one(store, [key])
    assert claim is not None
    return claim


def train(store: Store, claim: Claim, *epochs: int, saved: bool = True) -> None:
    for number in epochs:
        step = replace(STEP, step=number)
        store.add_epoch(claim, replace(EPOCH, epoch=number, steps=(step,)))
        if saved:
            store.add_checkpoint(claim, Checkpoint(number, f"state {number}".encode()))


def lying(url: str) -> list[Path]:
    return sorted((files_folder(url) / "checkpoints").iterdir())


@pytest.mark.slow
def test_an_attempt_goes_on_from_the_newest_checkpoint(store: Store, url: str, key: str) -> None:
    first = claimed(store, key)
    train(store, first, 1, 2)
    train(store, first, 3, saved=False)
    store.stop(first)
    heir = claimed(store, key)
    assert store.resume(heir) == Checkpoint(2, b"state 2")
    assert rows_of(url, "SELECT epoch FROM v_epochs") == [(1,), (2,)], "epoch 3 is trained again"
    assert rows_of(url, "SELECT step FROM v_steps") == [(1,), (2,)]


def test_without_a_checkpoint_it_starts_from_nothing(store: Store, url: str, key: str) -> None:
    first = claimed(store, key)
    train(store, first, 1, saved=False)
    store.stop(first)
    assert rows_of(url, "SELECT status, epochs FROM v_runs ORDER BY ordinal LIMIT 1") == [
        ("stopped", 1)
    ]
    assert store.resume(claimed(store, key)) is None
    assert rows_of(url, "SELECT status, epochs, attempts FROM v_runs ORDER BY ordinal LIMIT 1") == [
        ("running", 0, 2)
    ]
    assert rows_of(url, "SELECT number, outcome FROM attempts ORDER BY number") == [
        (1, "stopped"),
        (2, None),
    ]


def test_the_last_two_are_kept_and_a_finished_run_needs_none(
    store: Store, url: str, key: str
) -> None:
    claim = claimed(store, key)
    train(store, claim, 1, 2, 3)
    assert [path.read_bytes() for path in lying(url)] == [b"state 2", b"state 3"]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in lying(url)]
    assert rows_of(url, "SELECT sha256 FROM checkpoints ORDER BY epoch") == [(h,) for h in hashes]
    store.finish(claim, FINISHED, {})
    assert lying(url) == []
    assert rows_of(url, "SELECT COUNT(*) FROM checkpoints") == [(0,)]


@pytest.mark.parametrize(("kind", "kept"), [("worker_died", 1), ("diverged", 0)])
def test_only_a_lost_process_leaves_a_checkpoint_to_go_on_from(
    store: Store, url: str, key: str, kind: Any, kept: int
) -> None:
    claim = claimed(store, key)
    train(store, claim, 1)
    store.fail(claim, Failed(kind, "why"))
    assert rows_of(url, "SELECT COUNT(*) FROM checkpoints") == [(kept,)]


def damage(path: Path) -> None:
    path.write_bytes(b"state ?")


@pytest.mark.parametrize("spoil", [damage, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_passed_over(store: Store, url: str, key: str, spoil: Any) -> None:
    first = claimed(store, key)
    train(store, first, 1, 2)
    spoil(lying(url)[1])
    store.stop(first)
    heir = claimed(store, key)
    assert store.resume(heir) == Checkpoint(1, b"state 1")
    assert rows_of(url, "SELECT epoch FROM v_epochs") == [(1,)]
    store.stop(heir)
    spoil(lying(url)[0])
    assert store.resume(claimed(store, key)) is None
    assert rows_of(url, "SELECT COUNT(*) FROM v_epochs") == [(0,)]
    assert lying(url) == [], "what no row names is swept away"


def test_a_zombies_checkpoint_is_no_checkpoint(store: Store, url: str, key: str) -> None:
    zombie = claimed(store, key)
    train(store, zombie, 1)
    assert store.take_back(key, zombie.token)
    heir = claimed(store, key)
    store.resume(heir)
    train(store, heir, 2)
    before = [path.read_bytes() for path in lying(url)]
    with pytest.raises(LostClaimError):
        store.add_checkpoint(zombie, Checkpoint(2, b"late"))
    assert [path.read_bytes() for path in lying(url)] == before


def test_a_row_without_its_file_never_comes_about(
    store: Store, url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails at each call in turn: no row, no file, and the run goes on from the one before."""
    claim = claimed(store, key)
    train(store, claim, 1)
    train(store, claim, 2, saved=False)
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(files.os, name, broken)
            with pytest.raises(DatabaseError, match="cannot be written: Input/output error"):
                store.add_checkpoint(claim, Checkpoint(2, b"state 2"))
        assert [path.read_bytes() for path in lying(url)] == [b"state 1"]
    assert store.resume(claim) == Checkpoint(1, b"state 1")


def broken(*_: object, **__: object) -> None:
    raise OSError(5, os.strerror(5))


def test_the_rename_reaches_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.path.isdir(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    files.write_whole(tmp_path / "a", b"content")
    assert synced == [False, True], "first the file, then its folder"
