"""Where things of this user lie that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """$ABLATE_CACHE, else the folder that this system has for caches: on Linux $XDG_CACHE_HOME/ablate or
    ~/.cache/ablate. Not created here.
    """
    if own := os.environ.get("ABLATE_CACHE"):
        return Path(own).expanduser()
    return user_cache_path("ablate", appauthor=False)
