"""Paths of modules by globs that stand for several of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ablate.study.position import escape, matches_glob


def group_paths(paths: Iterable[str], others: Iterable[str]) -> dict[str, list[str]]:
    """Paths by globs that name none of the others; where every glob would, by the path itself."""
    others, groups = list(others), dict[str, list[str]]()
    for path in paths:
        groups.setdefault(_group(path, others), []).append(path)
    return {escape(paths[0]) if len(paths) == 1 else glob: paths for glob, paths in groups.items()}


def _group(path: str, others: Iterable[str]) -> str:
    """A glob for paths that differ only in numbers, or the path where every glob names more than these."""
    *parents, last = escape(path).split(".")
    above = [re.sub(r"\d+", "*", part) for part in parents]
    for end in ("*", last) if last.isdigit() else (last,):
        glob = ".".join([*above, end])
        if not any(matches_glob(other, glob) for other in others):
            return glob
    return escape(path)
