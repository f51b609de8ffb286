"""Which way up an image stands, and how it becomes a square of a study's size."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:  # pydantic takes longer to load than all that is needed here
    from ablate.study import DataTable
    from ablate.study.data import Fit, Orientation

MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Pillow's names of what is decoded: nothing else of it is asked."""

ORIENTATION = 0x0112
"""The tag of EXIF. Source: CIPA DC-008, Exif 2.32."""
MARKS = (b"Exif\0\0", b"eXIf", b"exif", b"rientation", b"XML:com.adobe.xmp")
"""One of these stands in every JPEG or PNG that has an orientation, whether in EXIF or in XMP: the text of a
PNG may be compressed, the name of a text is not.
"""

JPEG = b"\xff\xd8"
START_OF_SCAN = 0xDA
SEGMENTS = {*range(0xC0, 0xD0), 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE} - {0xC8}
"""Markers of segments that Pillow steps over, or into: frames and tables, applications' own, comments."""

TURNED = "/"
"""Between the hash of a file and its orientation (`marked`)."""

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow: a broken PNG
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for a damaged file."""

Flip = Image.Transpose
UPRIGHT: dict[int, Image.Transpose] = {
    2: Flip.FLIP_LEFT_RIGHT,
    3: Flip.ROTATE_180,
    4: Flip.FLIP_TOP_BOTTOM,
    5: Flip.TRANSPOSE,
    6: Flip.ROTATE_270,
    7: Flip.TRANSVERSE,
    8: Flip.ROTATE_90,
}
"""EXIF's orientation → what brings the image upright. The others, 1 and what is none, change nothing."""


BACK = {6: Flip.ROTATE_90, 8: Flip.ROTATE_270}
"""What undoes that; the others undo themselves."""


@dataclass(frozen=True)
class Reading:
    """How image files become arrays: `READING_KEYS` of a study's `[data]`, with the same defaults."""

    fit: Fit = "crop"
    orientation: Orientation = "exif"
    channels: int = 3

    @classmethod
    def of(cls, table: DataTable) -> Reading:
        return cls(**{field.name: getattr(table, field.name) for field in fields(cls)})

    @property
    def unusual(self) -> dict[str, Any]:
        """The keys at which it is not the usual one, with their values."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != getattr(USUAL, field.name)
        }


USUAL = Reading()


def orientation_in(data: bytes) -> int:
    """How EXIF says that the image in a file is turned, 2 to 8; 1 where it is not, or nothing says so."""
    quick = data.startswith((JPEG, b"\x89PNG"))
    end = _header_end(data)
    if quick and all(data.find(mark, 0, end) < 0 for mark in MARKS):
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                # A PNG may have it behind its pixels, and is decoded then.
                return 1 if image.width * image.height > MAX_PIXELS else orientation_of(image)
    except (*UNREADABLE, Image.DecompressionBombError):
        return 1  # whoever decodes it says what is wrong with it


def _header_end(data: bytes) -> int:
    """Where the pixels of a JPEG begin, before which Pillow looks for EXIF and XMP: they need not be
    searched. The length of the file where it is no JPEG, or not as simple as most are.

    Source: ITU T.81, B.1.1: segments of a marker and a length that counts its own two bytes.
    """
    at = len(JPEG)
    while data.startswith(JPEG) and at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == START_OF_SCAN:
            return at
        if marker not in SEGMENTS or length < 2:
            break
        at += 2 + length
    return len(data)


def marked(data: bytes) -> str:
    """What a file is: the SHA-256 of its bytes, and behind a `/` how EXIF says that its image is turned."""
    turned = orientation_in(data)
    return hashlib.sha256(data).hexdigest() + (f"{TURNED}{turned}" if turned > 1 else "")


def orientation_of(image: Image.Image) -> int:
    """The same of an open image; 1 where its EXIF is broken."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except (*UNREADABLE, TypeError):  # Pillow takes a text of a PNG called `xmp` for XMP
        return 1
    return found if isinstance(found, int) and found in UPRIGHT else 1


def shaped_by_alpha(image: Image.Image) -> bool:
    """Whether an image is more transparent in some places than in others."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return False
    low, high = image.convert("RGBA").getchannel("A").getextrema()
    return low != high


def fitted(image: Image.Image, size: int, reading: Reading) -> Image.Image:
    """The image as RGB, upright if asked for, in a square of `size`."""
    turn = _turn(image, upright=reading.orientation == "exif")
    if isinstance(image.info.get("transparency"), str):
        del image.info[
            "transparency"
        ]  # a text of a PNG that is called so, which Pillow takes for a colour
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode != "RGB":  # else it would be copied
        image = image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
    if reading.channels == 1:
        image = image.convert("L").convert("RGB")
    if image.size != (size, size):
        image = FITS[reading.fit](image, size)
    return image


def _turn(image: Image.Image, *, upright: bool) -> Image.Transpose | None:
    """What is yet to be done to an image. Pillow turns a TIFF while it loads it, and no other format."""
    said = orientation_of(image)
    image.load()
    left = orientation_of(image)
    if upright:
        return UPRIGHT.get(left)
    return BACK.get(said, UPRIGHT.get(said)) if left != said else None


def crop(image: Image.Image, size: int) -> Image.Image:
    """The square in its centre. Of the source, so that no long and thin image grows beyond memory."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _resized(image, (size, size), (left, top, left + side, top + side))


def pad(image: Image.Image, size: int) -> Image.Image:
    """All of it, in the middle of a black square."""
    longer = max(image.size)
    width, height = (max(1, round(side / longer * size)) for side in image.size)
    square = Image.new("RGB", (size, size))
    square.paste(
        _resized(image, (width, height)), (round((size - width) / 2), round((size - height) / 2))
    )
    return square


def squash(image: Image.Image, size: int) -> Image.Image:
    """All of it, stretched to a square."""
    if (
        image.height * size > MAX_PIXELS
    ):  # Pillow goes by rows first: a thin one would not fit memory
        image = _resized(image, (image.width, size))
    return _resized(image, (size, size))


FITS: dict[Fit, Callable[[Image.Image, int], Image.Image]] = {
    "crop": crop,
    "pad": pad,
    "squash": squash,
}


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None
) -> Image.Image:
    """With antialiased bilinear interpolation."""
    return image.resize(size, Image.Resampling.BILINEAR, box=box)
