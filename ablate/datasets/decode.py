"""One image from the bytes of its file; and what is wrong with those that are none."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ablate.datasets.geometry import (
    FORMATS,
    MAX_PIXELS,
    UNREADABLE,
    USUAL,
    Reading,
    fitted,
    shaped_by_alpha,
)
from ablate.datasets.signatures import HEAD_BYTES, READABLE, described, image_kind, is_deep
from ablate.errors import DataError, UnreadableImageError
from ablate.system.text import plural

MOST_NAMED = 20
"""Images that are named in one line; what is beyond is counted."""

DEEP = "16 bits a channel or more, not 8: scale it to 8"


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


@dataclass(frozen=True)
class Decoded:
    """An image as it is trained on, and whether its shape was in its transparency too, which is dropped.

    Shape: pixels (size, size, 3).
    """

    pixels: NDArray[np.uint8]
    shaped_by_alpha: bool


def decode(data: bytes, size: int, reading: Reading = USUAL) -> NDArray[np.uint8]:
    """The image as RGB, brought to `size` with antialiasing as the study says.

    Shape: (size, size, 3).

    Raises:
        UnreadableImageError: as `decode_image`.
    """
    return decode_image(data, size, reading).pixels


def decode_image(data: bytes, size: int, reading: Reading = USUAL) -> Decoded:
    """The same, with what is said of it.

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
                return Decoded(fitted(image, size, reading), shaped_by_alpha(image))
    except UnidentifiedImageError as error:  # its words are an address in memory
        raise UnreadableImageError("broken in its header") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except UNREADABLE as error:
        raise UnreadableImageError(f"broken: {error}") from error


def _is_deep_tiff(image: Image.Image) -> bool:
    if not isinstance(image, TiffImageFile):
        return False
    bits: tuple[int, ...] = image.tag_v2.get(BITSPERSAMPLE, (1,))
    return max(bits) > 8
