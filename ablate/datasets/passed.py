"""What a scan passes over below train and test: files that are no images, by kind."""

from __future__ import annotations

import os
from collections import Counter

from ablate.datasets.container import SPLITS

HIDDEN = "hidden"
MOST_KINDS = 20
OTHERS = "others"


def count_passed(found: Counter[str], name: str) -> None:
    """Count a file that is passed over: as hidden, or by its suffix; nothing beside train and test."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not any(part in SPLITS for part in parts[:2]):
        return
    kind = os.path.splitext(parts[-1])[1].lower() or "without a suffix"
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        kind = HIDDEN
    found[kind if kind in found or len(found) < MOST_KINDS else OTHERS] += 1
