"""An image as an array; and the images of a source that cannot be read, named in one go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.errors import DataError, UnreadableImageError
from ablate.pixels.decode import decode_image
from ablate.pixels.geometry import USUAL, Reading
from ablate.system.messages.text import plural

MOST_NAMED = 20
"""Images that are named in one line; what is beyond is counted."""


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


def decode(data: bytes, size: int, reading: Reading = USUAL) -> NDArray[np.uint8]:
    """The image as RGB, brought to `size` with antialiasing as the study says.

    Shape: (size, size, 3).

    Raises:
        UnreadableImageError: as `decode_image`.
    """
    return np.asarray(decode_image(data, size, reading).square)
