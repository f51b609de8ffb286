"""How long an epoch takes of each network, from what a device has finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Text, cast, func, select

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading

SPEED_KEYS = ("batch_size", "augment", "precision", "split", "data.train_images")
"""What of a run's conditions decides how long an epoch takes."""


def stored_speed(
    url: str, device: str, dataset_hash: str, conditions: Mapping[str, Any]
) -> dict[str, float]:
    """Seconds for one epoch of each network (by fingerprint), from runs that this device finished
    under conditions of the same cost.
    """
    if not database_exists(url):
        return {}
    runs, epochs = schema.runs, schema.epochs
    count = select(func.count()).where(epochs.c.run_key == runs.c.run_key).scalar_subquery()
    # A network has thousands of runs, and few recipes: the database adds up what is alike, by their text.
    recipe = cast(runs.c.recipe, Text).label("recipe")
    alike = runs.c.fingerprint, recipe
    each = runs.c.seconds / func.nullif(count, 0)
    query = select(*alike, func.sum(each), func.count(each)).group_by(*alike).order_by(*alike)
    mine = (runs.c.device == device, runs.c.dataset_hash == dataset_hash)
    seconds, runs_of = Counter[str](), Counter[str]()
    with reading(url) as connection:
        rows = connection.execute(query.where(runs.c.status == RunStatus.FINISHED, *mine)).all()
    for fingerprint, text, sum_of, number in rows:
        known = json.loads(text)
        if number and all(known.get(key) == conditions.get(key) for key in SPEED_KEYS):
            seconds[fingerprint] += sum_of
            runs_of[fingerprint] += number
    return {fingerprint: seconds[fingerprint] / n for fingerprint, n in runs_of.items()}
