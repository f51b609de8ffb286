"""Images decoded on several cores are those decoded one by one, in their order."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.layout_sources import encoded

from ablate.datasets import together
from ablate.datasets.decode import Decoded, decode, decode_image
from ablate.datasets.geometry import USUAL, Reading
from ablate.datasets.together import decoded
from ablate.errors import UnreadableImageError

FILES = [(str(i), encoded(i, i % 2)) for i in range(50)]


def test_order_hashes_and_pixels_are_those_of_one_after_the_other() -> None:
    found = list(decoded(FILES, 8, USUAL))
    assert [name for name, *_ in found] == [name for name, _ in FILES]
    assert len({value for _, value, _ in found}) == 50
    for (_, data), (*_, image) in zip(FILES, found, strict=True):
        assert isinstance(image, Decoded)
        assert np.array_equal(image.pixels, decode(data, 8))


def test_all_cores_work_and_little_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "count_cores", lambda: 3)
    together_now = threading.Barrier(3, timeout=20)
    read: list[str] = []

    def slow(data: bytes, size: int, reading: Reading) -> Decoded:
        together_now.wait()  # broken unless three are in work at once
        return decode_image(data, size, reading)

    monkeypatch.setattr(together, "decode_image", slow)

    def files():  # type: ignore[no-untyped-def]
        for name, data in FILES[:48]:
            read.append(name)
            yield name, data

    images = decoded(files(), 8, USUAL)
    assert next(images)[0] == "0"
    assert len(read) <= together.AHEAD * 3 + 1
    assert len(list(images)) == 47


def test_what_cannot_be_read_is_handed_on() -> None:
    (_, _, error), (_, _, pixels) = decoded([("a", b"<html>"), FILES[0]], 8, USUAL)
    assert isinstance(error, UnreadableImageError)
    assert str(error) == "an HTML page"
    assert not isinstance(pixels, UnreadableImageError)
