"""What a file is by its first bytes: a name may say anything, or nothing."""

from __future__ import annotations

import re

HEAD_BYTES = 64
"""As much of a file as tells its kind."""

READABLE = ("JPEG", "PNG", "WebP", "TIFF", "BMP", "GIF", "Netpbm")
"""The kinds of images that are decoded; of a GIF or a TIFF the first picture."""

NO_IMAGE = "no image"
"""What is said of bytes of which nothing is known."""

_IMAGES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("GIF", rb"GIF8[79]a"),
    ("WebP", rb"RIFF....WEBP"),
    ("TIFF", rb"II[*+]\x00|MM\x00[*+]"),
    ("BMP", rb"BM.{4}\x00{4}"),
    ("Netpbm", rb"P[1-6]\s+[#\d]"),
    ("JPEG 2000", rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("HEIF or AVIF", rb".{4}ftyp(?:hei|hev|mif1|msf1|avi[fs])"),
    ("JPEG XL", rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n"),
    ("Photoshop", rb"8BPS"),
)
_OTHERS = (
    ("empty", rb"\Z"),
    ("a Git LFS pointer", rb"version https://git-lfs"),
    ("an HTML page", rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)"),
    ("XML or SVG", rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|svg)"),
    ("zeros", rb"\x00+\Z"),
)
"""Kind → how its files begin. Source: the formats' specifications; Git LFS's `docs/spec.md`."""

_OF_IMAGES = [(kind, re.compile(start, re.DOTALL)) for kind, start in _IMAGES]
_OF_OTHERS = [(kind, re.compile(start, re.DOTALL)) for kind, start in _OTHERS]


def image_kind(head: bytes) -> str | None:
    """`JPEG`, `WebP`, …, by the first `HEAD_BYTES` of a file; None if they begin no image that is known."""
    return next((kind for kind, start in _OF_IMAGES if start.match(head)), None)


def described(head: bytes) -> str:
    """What these bytes are, for a line about an image that cannot be read: `JPEG XL, which is not read`."""
    if kind := image_kind(head):
        return f"{kind}, which is not read: convert it to one of {', '.join(READABLE)}"
    return next((kind for kind, start in _OF_OTHERS if start.match(head)), NO_IMAGE)


def is_deep(data: bytes) -> bool:
    """Whether a PNG or a Netpbm has 16 bits a channel, of which Pillow would silently drop half in some
    modes. By the whole file: headers may be of any length.
    """
    if data.startswith(_PNG):
        return _png_bits(data) > 8
    return _WITH_LEVELS.match(data) is not None and _netpbm_levels(data) > 255


_PNG = b"\x89PNG\r\n\x1a\n"
_WITH_LEVELS = re.compile(rb"P[2356]\s")
_BETWEEN = re.compile(rb"(?:\s++|#[^\r\n]*+[\r\n]?+)*+")
_PIECE = re.compile(rb"[^\s#]{0,11}+")
_COMMENT = re.compile(rb"#[^\r\n]*+[\r\n]?+")
_LONGEST = 10
"""Letters of a number in a header of Netpbm. Source: Pillow's `PpmImagePlugin`."""


def _png_bits(data: bytes) -> int:
    """Bits a channel, by the header, which need not be the first chunk of what some programs write; 0 where
    there is none.
    """
    at = len(_PNG)
    while len(data) >= at + 17:
        if data[at + 4 : at + 8] == b"IHDR":
            return data[at + 16]
        at += 12 + int.from_bytes(data[at : at + 4])
    return 0


def _netpbm_levels(data: bytes) -> int:
    """The largest value of a channel, the third number of the header; 0 where none can be read. Comments may
    stand before, between and within numbers, as Pillow reads them.
    """
    at, token = 2, b""
    for _ in range(3):
        token, at = _token(data, at)
    try:
        return int(token)
    except ValueError:
        return 0


def _token(data: bytes, at: int) -> tuple[bytes, int]:
    """The next word of a header, and where it ends."""
    token = b""
    at = _end(_BETWEEN, data, at)
    while len(token) <= _LONGEST:
        end = _end(_PIECE, data, at)
        token += data[at:end]
        if data[end : end + 1] != b"#":
            return token, end
        at = _end(_COMMENT, data, end)
    return token, at


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Where a pattern that fits everywhere ends."""
    found = pattern.match(data, at)
    return found.end() if found is not None else at
