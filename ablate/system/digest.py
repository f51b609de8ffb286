"""The hash that names things: runs, settings, networks, environments."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of a JSON value written in one canonical way."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
