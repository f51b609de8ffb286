"""How long the steps of commands took the last time on this machine: for the time that is left of a step
which cannot count how far it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from ablate.system.files.atomic import write_whole
from ablate.system.files.folders import cache_folder

FILE = "times.json"
MOST = 500
"""Steps that are remembered; of more the oldest go."""


def remembered_seconds() -> dict[str, float]:
    """Step → seconds. Empty where nothing can be read: nobody depends on it."""
    try:
        found = json.loads((cache_folder() / FILE).read_bytes())
        return {str(step): float(seconds) for step, seconds in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember_seconds(took: Mapping[str, float]) -> None:
    """Keep what steps took. A folder that cannot be written is no error: there is no time left to be
    told then.
    """
    kept = {k: v for k, v in remembered_seconds().items() if k not in took}
    new = {step: round(seconds, 2) for step, seconds in took.items()}
    newest = dict([*kept.items(), *new.items()][-MOST:])
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_whole(cache_folder() / FILE, json.dumps(newest, indent=0).encode())
