"""One image from the bytes of its file; and what is wrong with those that are none."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ablate.errors import UnreadableImageError
from ablate.pixels.geometry import (
    FORMATS,
    MAX_PIXELS,
    UNREADABLE,
    USUAL,
    Reading,
    fitted,
    shaped_by_alpha,
)
from ablate.pixels.signatures import HEAD_BYTES, READABLE, described, image_kind, is_deep

DEEP = "16 bits a channel or more, not 8: scale it to 8"


def check_kind(data: bytes) -> None:
    """See by its header that a file is an image of a kind that is decoded, whatever its name says.

    Raises:
        UnreadableImageError: it is none.
    """
    head = data[:HEAD_BYTES]
    if image_kind(head) not in READABLE:
        raise UnreadableImageError(described(head))
    if is_deep(data):
        raise UnreadableImageError(DEEP)


@dataclass(frozen=True)
class Decoded:
    """An image as it is trained on, a square of RGB, and whether its shape was in its transparency too, which
    is dropped.
    """

    square: Image.Image
    shaped_by_alpha: bool


def decode_image(data: bytes, size: int, reading: Reading = USUAL) -> Decoded:
    """The image as RGB, brought to `size` with antialiasing as the study says.

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
