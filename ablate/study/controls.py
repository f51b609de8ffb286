"""Controls: the variants that a study names as second baselines, by their whole name or by a glob."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def controls_in(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The variants that are named, in the order of `names`."""
    return [name for name in names if any(_named(name, pattern) for pattern in patterns)]


def unmatched(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The patterns that name no variant."""
    return [pattern for pattern in patterns if not controls_in([pattern], names)]


def _named(name: str, pattern: str) -> bool:
    # A name may hold a glob's signs, as that of `se(pool*, r=16)` does.
    return name == pattern or fnmatchcase(name, pattern)
