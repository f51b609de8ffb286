"""By which speeds a search is told: by those that it was judged by, whatever else was measured since."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.store.writing.trials import Place, SearchKey, TrialRow, TrialStore
from ablate.study.search import SPEED, Search


def place_of(store: TrialStore, rows: Sequence[TrialRow]) -> Place | None:
    """Where the speeds of a search were measured; None if none are known.

    Trials say it. Those of versions that did not keep it are told by the place where all of their networks
    were measured, before others that where they were trained.
    """
    for row in reversed(rows):
        if row.place is not None:
            return row.place
    networks = {row.fingerprint for row in rows}
    there = store.measured_at(sorted(networks))
    trained = store.trained_at([key for row in rows for key in row.run_keys])
    order = list(there)
    return max(
        order,
        key=lambda place: (
            there[place] == networks,
            place == trained,
            len(there[place]),
            order.index(place),
        ),
        default=None,
    )


def keep_speeds(
    store: TrialStore, key: SearchKey, rows: Sequence[TrialRow], place: Place, *, anew: bool
) -> list[TrialRow]:
    """Trials with the speeds that they are judged by at a place from now on: those that they keep, unless
    they were judged at another place or everything was measured `anew`.
    """
    costs, kept = store.costs([row.fingerprint for row in rows], place), list[TrialRow]()
    for row in rows:
        speed = costs[row.fingerprint].get(SPEED)
        stays = speed is None or (row.place == place and not anew)
        kept.append(row if stays or speed is None else row.measured(place, speed))
        if not stays:
            store.update(key, kept[-1])
    return kept


def costs_of(
    store: TrialStore, search: Search, rows: Sequence[TrialRow], place: Place | None = None
) -> dict[str, dict[str, float]]:
    """What the networks of trials cost, by fingerprint, at a place or at that of the search."""
    if place is None and search.needs_speed:
        place = place_of(store, rows)
    costs = store.costs([row.fingerprint for row in rows], place)
    for row in rows:
        if row.speed is not None and row.place == place:
            costs[row.fingerprint][SPEED] = row.speed
    return costs
