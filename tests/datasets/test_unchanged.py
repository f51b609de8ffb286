"""Asked of files while a network is trained on them: a stat, and the bytes where that is not enough."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.picture_sets import picture_set

from ablate.datasets import base, unchanged
from ablate.datasets.arrays import StoredArray, array_hashes, open_array
from ablate.datasets.base import Images
from ablate.datasets.digits import Digits
from ablate.datasets.images import ImageFiles
from ablate.datasets.unchanged import Unchanged
from ablate.errors import DataChangedError
from ablate.system.files import state as file_state
from ablate.train.data import to_device


class Hashing:
    """Counts how often arrays are hashed after they were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        monkeypatch.setattr(base, "array_hashes", self)

    def __call__(self, arrays: dict[str, NDArray[np.uint8]]) -> dict[str, str]:
        self.times += 1
        return array_hashes(arrays)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return ImageFiles(picture_set(tmp_path / "pictures"), 32).load()


@pytest.fixture
def file(images: Images, own_cache: Path) -> Path:
    return next(own_cache.glob("images-*")) / "train_images.npy"


@pytest.fixture
def hashing(images: Images, monkeypatch: pytest.MonkeyPatch) -> Hashing:
    """Files count as settled at once, and hashing what looks unchanged as too dear."""
    monkeypatch.setattr(file_state, "SETTLED_NS", 0)
    monkeypatch.setattr(unchanged, "MOST_SHARE", 0.0)
    return Hashing(monkeypatch)


def write_in_place(file: Path) -> None:
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_through_a_map(file: Path) -> None:
    array = np.load(file, mmap_mode="r+")
    array[-1] ^= 1
    array.flush()


def put_another_in_its_place(file: Path) -> None:
    other = file.with_name("other.npy")
    other.write_bytes(bytes(file.stat().st_size))
    os.replace(other, file)


def test_what_looks_unchanged_is_not_hashed(images: Images, hashing: Hashing) -> None:
    proof = Unchanged(images)
    for _ in range(3):
        proof.prove(thoroughly=True)
    assert hashing.times == 0


@pytest.mark.parametrize("thoroughly", [True, False])
@pytest.mark.parametrize("change", [write_in_place, write_through_a_map])
def test_a_changed_file_is_found(
    images: Images, file: Path, hashing: Hashing, change: Callable[[Path], None], thoroughly: bool
) -> None:
    proof = Unchanged(images)
    time.sleep(0.02)  # several ticks of a clock
    change(file)
    with pytest.raises(DataChangedError, match="train_images changed"):
        proof.prove(thoroughly=thoroughly)


def test_a_file_that_was_touched_is_hashed_once(
    images: Images, file: Path, hashing: Hashing
) -> None:
    proof = Unchanged(images)
    os.utime(file)
    for _ in range(3):
        proof.prove(thoroughly=True)
    assert hashing.times == 1


def test_what_is_trained_on_is_what_was_hashed_not_what_has_its_name(
    images: Images, file: Path, hashing: Hashing
) -> None:
    """The entry is replaced after it was hashed and before a network reads it."""
    proof = Unchanged(images)
    before = np.array(images.train_images)
    put_another_in_its_place(file)
    part = to_device(images, "tutorial", 0.1, torch.device("cpu")).train
    assert np.array_equal(part.images[:].permute(0, 2, 3, 1).numpy(), before)
    proof.prove(thoroughly=True)


def test_a_file_written_a_moment_ago_is_hashed_before_a_checkpoint(
    images: Images, hashing: Hashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write in the tick of the last one leaves its times as they are."""
    monkeypatch.setattr(file_state, "SETTLED_NS", 3600 * 10**9)
    proof = Unchanged(images)
    proof.prove(thoroughly=False)
    assert hashing.times == 0
    proof.prove(thoroughly=True)
    assert hashing.times == 1


def test_a_map_whose_file_nobody_kept_open_is_hashed_before_a_checkpoint(
    images: Images, hashing: Hashing
) -> None:
    assert isinstance(images.train_images, StoredArray)
    images.train_images.source = None
    Unchanged(images).prove(thoroughly=True)
    assert hashing.times == 1


def test_a_change_that_no_stat_shows_is_found_where_hashing_is_cheap(
    images: Images, file: Path, hashing: Hashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a tmpfs, where writing through a map changes no time, or with a bad disk."""
    proof = Unchanged(images)
    write_through_a_map(file)
    proof._seen = proof._states()
    proof.prove(thoroughly=True)
    monkeypatch.setattr(unchanged, "MOST_SHARE", 1e9)
    proof.prove(thoroughly=False)
    with pytest.raises(DataChangedError):
        proof.prove(thoroughly=True)


def test_hashing_takes_no_more_than_its_share(
    images: Images, hashing: Hashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "MOST_SHARE", 0.01)
    proof = Unchanged(images)
    begun = time.monotonic()
    while time.monotonic() < begun + 0.5:
        proof.prove(thoroughly=True)
    longest = max(proof.seconds / hashing.times, 0.05)  # one may be interrupted for a while
    assert 0 < proof.seconds <= 0.01 * (time.monotonic() - begun) + longest


def test_what_only_this_process_has_is_not_asked_of_any_file(hashing: Hashing) -> None:
    images = Digits(None, 32).load()
    Unchanged(images).prove(thoroughly=True)
    assert hashing.times == 0
    images.check()
    assert hashing.times == 1


def test_an_array_is_mapped_as_numpy_reads_it(tmp_path: Path) -> None:
    for number, array in enumerate(
        [np.arange(24).reshape(2, 3, 4), np.asfortranarray(np.eye(3)), np.zeros(7, np.uint8)]
    ):
        path = tmp_path / f"{number}.npy"
        np.save(path, array)
        mapped = open_array(path)
        assert np.array_equal(mapped, array)
        assert mapped.flags.f_contiguous == array.flags.f_contiguous
        assert mapped.source is not None
        assert mapped.source.state() == mapped.source.opened
        assert mapped[1:].source is None, "a part is not the file"


def test_no_file_stays_open_when_its_array_is_gone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    array = open_array(tmp_path / "x.npy")
    assert array.source is not None
    handle = array.source.handle
    del array
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
