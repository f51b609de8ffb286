"""What a file is by its first bytes: a name may say anything, or nothing."""

from __future__ import annotations

import re

HEAD_BYTES = 64
"""As much of a file as is looked at."""

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


def is_deep(head: bytes) -> bool:
    """Whether a PNG or a Netpbm has 16 bits a channel, of which Pillow would silently drop half in some
    modes.
    """
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"
    most = _NETPBM.match(head)
    return most is not None and int(most[1]) > 255


_NETPBM = re.compile(rb"P[2356](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d+)\s")
