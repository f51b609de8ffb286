"""What to try next: a point whose network no trial has had. Repeats are answered, not tried.

Points that differ may build one network: two ratios end at one hidden width, or a parameter does not
matter where attention stands. Optuna cannot know that. So it is asked on a draft in memory, where a
network that is known is told with what it gave, until it asks for a new one; that one becomes a trial.
A point that cannot be built is no network: it is told there as one that breaks a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablate.search.cells import LARGEST_WALKED
from ablate.search.mirror import OptunaMirror, Outcome
from ablate.search.space import Point, Space
from ablate.store.writing.trials import TrialRow
from ablate.study import stream_seed
from ablate.study.search import Search
from ablate.system.messages.text import plural

ASKED_AGAIN = 10
"""So often a sampler may ask for known networks in a row; then a new one is drawn from the space."""

Known = Mapping[str, TrialRow]
"""The first trial of each network, by fingerprint."""


@dataclass
class Asker:
    """`next` gives points until the networks of the space have all been tried; `ended` says so.

    `network_of` gives the fingerprint of a point's network, None where it cannot be built.
    """

    search: Search
    space: Space
    mirror: OptunaMirror
    network_of: Callable[[Point], str | None]
    ended: str | None = field(init=False, default=None)

    def next(
        self, number: int, known: Known, outcome: Callable[[TrialRow], Outcome]
    ) -> tuple[Point, dict[str, Any]] | None:
        """The point of trial `number` and what of the sampler's state belongs to it; None at the end.

        Raises:
            MirrorLostError: Optuna's storage was deleted.
        """
        if self.search.sampler == "grid":
            point = self._first_new(self.space.points(), known)
            return None if point is None else (point, {})
        draft, state = self.mirror.draft(), dict[str, Any]()
        for attempt in range(ASKED_AGAIN):
            point, state = draft.ask(number, attempt)
            network = self.network_of(point)
            if network is None:
                draft.refuse(number + attempt)
            elif (first := known.get(network)) is None:
                return point, state
            else:
                draft.answer(number + attempt, first, outcome)
        point = self._first_new(self._drawn(number), known)
        return None if point is None else (point, state)

    def _first_new(self, points: Iterator[Point], known: Known) -> Point | None:
        seen = set[str]()
        for point in points:
            network = self.network_of(point)
            if network is None:
                continue
            if network not in known:
                return point
            seen.add(network)
        whole = self.search.sampler == "grid" or self.space.size <= LARGEST_WALKED
        self.ended = (
            f"all {plural(len(seen), 'network')} of this space were tried: the search ends"
            if whole
            else f"no new network among {LARGEST_WALKED:,} points drawn from this space: the search ends"
        )
        return None

    def _drawn(self, number: int) -> Iterator[Point]:
        """The points of the space in an order of this trial's own."""
        rng = np.random.default_rng(stream_seed(self.search.sampler_seed, "draw", number))
        if self.space.size <= LARGEST_WALKED:
            points = list(self.space.points())
            yield from (points[i] for i in rng.permutation(len(points)))
            return
        for _ in range(LARGEST_WALKED):
            yield self.space.ask(lambda _name, p: p.choices[int(rng.integers(len(p.choices)))])
