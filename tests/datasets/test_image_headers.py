"""What headers say of depth and orientation is what Pillow then does, however long and odd they are."""

from __future__ import annotations

import io
import itertools
import random
import struct
import zlib

import numpy as np
import pytest
from conftest import message
from PIL import Image, ImageOps

from ablate.datasets.decode import decode
from ablate.errors import UnreadableImageError
from ablate.pixels.decode import check_kind, decode_image
from ablate.pixels.geometry import ORIENTATION, Reading, orientation_in
from ablate.pixels.signatures import is_deep

DEEP = "16 bits a channel or more, not 8: scale it to 8"
BY_GIMP = b"# Created by GIMP version 2.10.34 PNM plug-in"
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def png() -> bytes:
    Image.fromarray(PIXELS).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.mark.parametrize("magic", [b"P2", b"P3", b"P5", b"P6"])
@pytest.mark.parametrize(
    "comments", [BY_GIMP, b"#" + b"x" * 300, b"# 1\n# 255", b"# one\r# other", b"\t \n#\n"]
)
def test_a_deep_netpbm_is_refused_however_long_its_header(magic: bytes, comments: bytes) -> None:
    for levels, deep in ((b"255", False), (b"256", True), (b"65535", True)):
        sample = levels + b" " if magic in (b"P2", b"P3") else b"\0\xff"
        data = magic + b"\n" + comments + b"\n2 2\n" + levels + b"\n" + sample * 12
        assert is_deep(data) is deep
        if deep:
            assert message(UnreadableImageError, lambda data=data: check_kind(data)) == DEEP
            assert message(UnreadableImageError, lambda data=data: decode(data, 2)) == DEEP
        else:
            check_kind(data)


def test_a_header_of_netpbm_is_read_as_pillow_reads_it() -> None:
    """Of 16 bits Pillow has other arguments for its decoder: those are what the header is compared with."""
    draw = random.Random(0)  # noqa: S311
    gaps = [
        b" ",
        b"\n",
        b"\r\n",
        b"\t\x0b\x0c",
        b" #\n",
        b"\n#" + b"c" * 80 + b"\n",
        b"\n# 9 9 9\r",
    ]
    within = [b"", b"", b"", b"#5\n", b"#\r"]
    compared = 0
    for _ in range(400):
        levels = str(draw.choice([1, 15, 255, 256, 4095, 65535])).encode()
        cut = draw.randrange(1, len(levels) + 1)
        said = levels[:cut] + draw.choice(within) + levels[cut:]
        parts = [b"P6", b"3", draw.choice([b"2", b"+2", b"x", b"0" * 12]), said]
        data = b"".join(part + draw.choice(gaps) for part in parts) + bytes(36)
        try:
            with Image.open(io.BytesIO(data), formats=("PPM",)) as image:
                decoder = image.tile[0][3]
        except (OSError, ValueError):
            continue
        most = decoder[1] if isinstance(decoder, tuple) else 255
        assert is_deep(data) is (int(most) > 255), data
        compared += 1
    assert compared > 100


def test_a_deep_png_is_refused_wherever_its_header_stands() -> None:
    body = zlib.compress(bytes(2 * (1 + 2 * 6)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    rest = chunk(b"IDAT", body) + chunk(b"IEND", b"")
    for before in (b"", chunk(b"prVt", b"x" * 100)):
        data = png()[:8] + before + header + rest
        assert message(UnreadableImageError, lambda data=data: check_kind(data)) == DEEP
        assert message(UnreadableImageError, lambda data=data: decode(data, 2)) == DEEP
    assert not is_deep(png())
    assert not is_deep(png()[:20])


# ── the orientation of a PNG ──────────────────────────────────────────────────────────────────────

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
NAME = b"XML:com.adobe.xmp"
EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
RAW = b"\nexif\n%d\n%s\n" % (len(EXIF) + 6, (b"Exif\0\0" + EXIF).hex().encode())
CHUNKS = {
    "iTXt": chunk(b"iTXt", NAME + b"\0\0\0\0\0" + XMP),
    "iTXt, compressed": chunk(b"iTXt", NAME + b"\0\1\0\0\0" + zlib.compress(XMP)),
    "tEXt": chunk(b"tEXt", NAME + b"\0" + XMP),
    "zTXt": chunk(b"zTXt", NAME + b"\0\0" + zlib.compress(XMP)),
    "eXIf": chunk(b"eXIf", EXIF),
    "profile": chunk(b"tEXt", b"Raw profile type exif\0" + RAW),
    "profile, compressed": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW)),
    "of another name": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(XMP)),
    "called xmp": chunk(b"tEXt", b"xmp\0" + XMP),
    "called exif": chunk(b"tEXt", b"exif\0" + EXIF),
}
START, END = len(b"\x89PNG\r\n\x1a\n") + 25, -12
"""Behind the header, and before the end: a PNG may have texts behind its pixels."""


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("at", [START, END])
def test_the_orientation_of_a_png_is_the_one_that_it_is_turned_by(name: str, at: int) -> None:
    data = png()[:at] + CHUNKS[name] + png()[at:]
    upright, stored = decode(data, 9), decode(data, 9, Reading(orientation="as_stored"))
    turned = not np.array_equal(upright, stored)
    assert orientation_in(data) == (6 if turned else 1)
    assert turned is (name not in ("of another name", "called xmp"))
    if turned:
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert expected.getexif().get(ORIENTATION, 1) == 1
        assert expected.size == (12, 9)


def test_every_pair_of_texts_is_read_as_pillow_reads_it() -> None:
    for first, second in itertools.permutations(CHUNKS.values(), 2):
        data = png()[:START] + first + png()[START:END] + second + png()[END:]
        changed = not np.array_equal(
            decode(data, 9), decode(data, 9, Reading(orientation="as_stored"))
        )
        assert (orientation_in(data) > 1) is changed


@pytest.mark.parametrize("at", [START, END])
@pytest.mark.parametrize("name", [b"transparency", b"xmp", b"exif", b"gamma", b"icc_profile"])
def test_a_text_called_as_what_pillow_keeps_there_is_no_more_than_a_text(
    name: bytes, at: int
) -> None:
    data = png()[:at] + chunk(b"tEXt", name + b"\0hello") + png()[at:]
    assert np.array_equal(decode(data, 9), decode(png(), 9))
    assert not decode_image(data, 9).shaped_by_alpha
    assert orientation_in(data) == 1
