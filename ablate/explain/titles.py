"""Titles of networks that are shown side by side: no two are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ablate.page import canvas

SHORT = 8
"""Digits of a run's key in a title."""


def titles_of(networks: Sequence[tuple[str, str]]) -> list[str]:
    """A title for each network, by its name and the key of its run, which an untrained one has not: its name;
    of several of one name with the run behind it, and of what was named twice with a number.
    """
    names = Counter(name for name, _key in networks)
    titles = [f"{n}, {key[:SHORT]}" if names[n] > 1 and key else n for n, key in networks]
    twice = Counter(titles)
    return [
        f"{title} ({titles[: i + 1].count(title)})" if twice[title] > 1 else title
        for i, title in enumerate(titles)
    ]


def labels(names: Sequence[str], limit: int = 44) -> list[str]:
    """`canvas.label` of each of several names, so that no two are the same: of those that begin alike what
    differs is shown.
    """
    found = [canvas.label(name, limit) for name in names]
    for one in [each for each, n in Counter(found).items() if n > 1]:
        alike = [i for i, each in enumerate(found) if each == one]
        same = _same([names[i] for i in alike])
        for i in alike:
            found[i] = canvas.label(
                f"{names[i][: limit // 3]}…{names[i][max(0, same - 3) :]}", limit
            )
    twice = Counter(found)
    return [f"{i}: {each}" if twice[each] > 1 else each for i, each in enumerate(found, 1)]


def _same(names: Sequence[str]) -> int:
    """With how many characters all of them begin."""
    columns = enumerate(zip(*names, strict=False))
    return next((i for i, each in columns if len(set(each)) > 1), min(map(len, names)))
