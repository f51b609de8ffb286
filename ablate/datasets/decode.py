"""One image from the bytes of its file; and what is wrong with those that are none."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ablate.datasets.signatures import HEAD_BYTES, READABLE, described, image_kind, is_deep
from ablate.errors import DataError, UnreadableImageError
from ablate.system.text import plural

MAX_PIXELS = 64_000_000
MOST_NAMED = 20
"""Images that are named in one line; what is beyond is counted."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Pillow's names of what is decoded."""
DEEP = "16 bits a channel or more, not 8: scale it to 8"

_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow: a broken PNG
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass
class Unreadable:
    """The images of a source that cannot be read, so that one line names them all."""

    source: str
    found: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        try:
            yield
        except UnreadableImageError as error:
            self.found.append((name, str(error)))

    def refuse(self) -> None:
        """Raise if there was any.

        Raises:
            DataError: names each and what it is.
        """
        if not self.found:
            return
        named = ", ".join(f"{name} ({what})" for name, what in self.found[:MOST_NAMED])
        rest = len(self.found) - MOST_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        them = "it" if len(self.found) == 1 else "them"
        raise DataError(
            f"{self.source}: {plural(len(self.found), 'image')} cannot be read: {named}{more}; "
            f"replace or remove {them}"
        )


def check_kind(data: bytes) -> None:
    """See by its first bytes that a file is an image of a kind that is decoded, whatever its name says.

    Raises:
        UnreadableImageError: it is none.
    """
    head = data[:HEAD_BYTES]
    if image_kind(head) not in READABLE:
        raise UnreadableImageError(described(head))
    if is_deep(head):
        raise UnreadableImageError(DEEP)


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """The image as RGB: the square in its centre, brought to `size` with antialiasing.

    Shape: (size, size, 3).

    Raises:
        UnreadableImageError: none of `READABLE`, broken, of more than `MAX_PIXELS` or of 16 bits.
    """
    check_kind(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow on odd metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our cap is lower
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                if image.mode[0] in "IF" or _is_deep_tiff(image):
                    raise UnreadableImageError(DEEP)
                return _fitted(image, size)
    except UnidentifiedImageError as error:  # its words are an address in memory
        raise UnreadableImageError("broken in its header") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except _UNREADABLE as error:
        raise UnreadableImageError(f"broken: {error}") from error


def _is_deep_tiff(image: Image.Image) -> bool:
    if not isinstance(image, TiffImageFile):
        return False
    bits: tuple[int, ...] = image.tag_v2.get(BITSPERSAMPLE, (1,))
    return max(bits) > 8


def _fitted(image: Image.Image, size: int) -> NDArray[np.uint8]:
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if image.size != (size, size):
        # The centre square of the source, so that no long and thin image grows beyond memory.
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)
