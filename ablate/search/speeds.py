"""By which speeds a search is told: by those that it was judged by, whatever else was measured since."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.store.writing.trials import Against, Place, TrialRow, TrialStore
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
    store: TrialStore, rows: Sequence[TrialRow], baseline: str, place: Place, *, anew: bool
) -> tuple[list[TrialRow], Against | None]:
    """Trials with the speeds that they are judged by at a place from now on, and the baseline's: those that
    they keep, unless they were judged at another place, or against another baseline of which they keep none,
    or everything was measured `anew`.
    """
    costs = store.costs([baseline, *(row.fingerprint for row in rows)], place)
    there = [row for row in rows if row.place == place and not anew]
    measured = costs.get(baseline, {}).get(SPEED)
    against = next(
        (row.against for row in reversed(there) if row.against and row.against.fingerprint == baseline),
        None if measured is None else Against(baseline, measured),
    )  # fmt: skip
    kept = []
    for row in rows:
        stays = row.place == place and not anew
        speed = row.speed if stays else costs[row.fingerprint].get(SPEED)
        kept.append(row if speed is None else row.measured(place, speed, against))
    return kept, against


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
