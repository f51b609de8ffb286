"""The hash that names things: runs, settings, networks, environments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

LENGTH = 16


def digest(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of a JSON value written in one canonical way."""
    return hashlib.sha256(_written(value).encode()).hexdigest()[:LENGTH]


def digests(shared: Mapping[str, object], name: str, values: Iterable[object]) -> list[str]:
    """`digest({**shared, name: value})` of each value; what they share is written and hashed once."""
    before = {key: each for key, each in shared.items() if key < name}
    after = {key: each for key, each in shared.items() if key > name}
    head = f"{_written(before)[:-1]}{',' if before else ''}{_written(name)}:"
    tail = f",{_written(after)[1:]}" if after else "}"
    begun, found = hashlib.sha256(head.encode()), []
    for value in values:
        whole = begun.copy()
        whole.update(f"{_written(value)}{tail}".encode())
        found.append(whole.hexdigest()[:LENGTH])
    return found


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
