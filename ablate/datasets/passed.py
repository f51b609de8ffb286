"""What a scan passes over: hidden files, such as are no images, and images in no class, by kind."""

from __future__ import annotations

import os
from collections import Counter

from ablate.result.dataset import IN_NO_CLASS

HIDDEN = "hidden"
MOST_KINDS = 20
OTHERS = "others"


def kind_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(name)[1].lower() or "without a suffix"


def count_passed(found: Counter[str], kind: str) -> None:
    """Count a file that is passed over; suffixes beyond `MOST_KINDS` together."""
    apart = kind in (HIDDEN, IN_NO_CLASS) or kind in found or len(found) < MOST_KINDS
    found[kind if apart else OTHERS] += 1
