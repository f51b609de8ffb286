"""Controls: the variants that a study names as second baselines, by their whole name or by a glob."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def controls_in(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The variants that are named, in the order of `names`."""
    meant = {name for pattern in patterns for name in _meant(pattern, names)}
    return [name for name in names if name in meant]


def unmatched(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The patterns that name no variant."""
    return [pattern for pattern in patterns if not _meant(pattern, names)]


def _meant(pattern: str, names: Sequence[str]) -> list[str]:
    """A name may hold a glob's signs, as that of `se(pool*, r=16)` does: whole names go first."""
    if pattern in names:
        return [pattern]
    return [name for name in names if fnmatchcase(name, pattern)]
