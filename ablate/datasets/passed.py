"""What a scan passes over: hidden files and such as are no images, by kind."""

from __future__ import annotations

import os
from collections import Counter

HIDDEN = "hidden"
MOST_KINDS = 20
OTHERS = "others"


def kind_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(name)[1].lower() or "without a suffix"


def count_passed(found: Counter[str], kind: str) -> None:
    """Count a file that is passed over; kinds beyond `MOST_KINDS` together."""
    found[kind if kind in found or len(found) < MOST_KINDS else OTHERS] += 1
