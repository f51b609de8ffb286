"""Histograms that something has changed on the disk are named and passed over."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.result.histograms import DamagedError, Histogram, pack, unpack


def packed() -> bytes:
    counts = np.arange(30, dtype=np.int64)
    return pack({"weights/a": Histogram(0.0, 1.0, 2.0, 3.0, counts)})


def test_they_come_back() -> None:
    found = unpack(packed())["weights/a"]
    assert (found.low, found.high, found.total, found.squares) == (0.0, 1.0, 2.0, 3.0)
    assert found.counts.tolist() == list(range(30))


@pytest.mark.parametrize("keep", range(0, 300, 30))
def test_what_is_cut_off_is_damaged(keep: int) -> None:
    with pytest.raises(DamagedError):
        unpack(packed()[:keep])


def test_what_is_overwritten_is_damaged() -> None:
    for content in (b"x\n", b"PK\x03\x04" + b"\0" * 100, np.lib.format.magic(1, 0)):
        with pytest.raises(DamagedError):
            unpack(content)
    whole, refused = packed(), 0
    for start in range(0, len(whole), 5):
        try:
            unpack(whole[:start] + b"\xff" * 5 + whole[start + 5 :])
        except DamagedError:
            refused += 1
    assert refused > 10
