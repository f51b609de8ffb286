"""The identity of runs, settings and searches: a hash of exactly what differs from the protocol.

A key holds what stands in a study at another value than in the protocol, and nothing else. So a new
key of a recipe, at the value that means "as before", changes no key and no stored result is lost. The
protocol's values are written out beside each table (`recipe.PROTOCOL_DEFAULTS` and the like in
`data.py` and `search.py`) and are not the models' defaults: a default may be improved one day, and
then it differs from the protocol and stands in the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ablate.study.data import ALL_DATA, DATA_PROTOCOL, READING_KEYS, DataTable
from ablate.study.own_code import NO_SOURCES, Sources
from ablate.study.recipe import PROTOCOL_DEFAULTS, STORED_ALWAYS, Recipe
from ablate.system.digest import digest, digests

PROTOCOL = 2
"""PositionPart of every run key: raised when a change to training can change a result."""

IMAGE_SIZE = 32


def by_difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What of these JSON values stands in `defaults` with another value, or not at all."""
    return {k: v for k, v in values.items() if k not in defaults or v != defaults[k]}


def run_key(
    fingerprint: str,
    recipe: Recipe,
    content_hash: str,
    image_size: int,
    seed: int,
    data: DataTable = ALL_DATA,
    left_out: int = 0,
    weights: str | None = None,
    fold: int | None = None,
    sources: Sources = NO_SOURCES,
) -> str:
    """The identity of a run: 16 hexadecimal digits.

    `fingerprint` is that of the built network, `content_hash` that of the images as they are read, of which
    `data` says which are used; each epoch leaves out `left_out` of them (`batches.py`). `weights` is the
    SHA-256 of those that it begins with, `fold` the one that it is tested on, `sources` are the hashes of
    what the user's functions reach that train and measure it (`own_code.py`).
    """
    conditions = run_conditions(recipe, content_hash, image_size, data, left_out, weights, sources)
    return run_keys(conditions, fingerprint, [seed], fold)[0]


def run_conditions(
    recipe: Recipe,
    content_hash: str,
    image_size: int,
    data: DataTable = ALL_DATA,
    left_out: int = 0,
    weights: str | None = None,
    sources: Sources = NO_SOURCES,
) -> dict[str, Any]:
    """What runs of different networks and seeds have in common in their keys; each as in `run_key`."""
    return {
        "dataset": content_hash,
        "protocol": PROTOCOL,
        **by_difference({"left_out": left_out}, {"left_out": 0}),
        **_conditions(recipe, image_size, _of_data(data, but=READING_KEYS)),
        **by_difference({"weights": weights}, {"weights": None}),
        **sources,
    }


def run_keys(
    conditions: Mapping[str, Any], fingerprint: str, seeds: Iterable[int], fold: int | None = None
) -> list[str]:
    """The `run_key` of each of these seeds of a network, under what `run_conditions` gave."""
    tested = by_difference({"fold": fold}, {"fold": None})
    return digests({**conditions, **tested, "fingerprint": fingerprint}, "seed", seeds)


def setting_key(
    backbone: str,
    recipe: Recipe,
    image_size: int,
    data: DataTable = ALL_DATA,
    weights: str | None = None,
) -> str:
    """A short hash of what all runs of a study have in common, apart from the images; `weights` as a study
    names them.
    """
    named = by_difference({"weights": weights}, {"weights": None})
    return digest(
        {"backbone": backbone, **_conditions(recipe, image_size, _of_data(data)), **named}
    )


def stored_conditions(
    recipe: Recipe, data: DataTable, weights: str | None = None
) -> dict[str, Any]:
    """What a run was trained under, as it is stored with it: its recipe, of `[data]` what differs from the
    protocol, as `data.train_images`, and the weights that it began with, by the name that a study gives them.
    """
    return {
        **_stored(recipe),
        **by_difference({"weights": weights}, {"weights": None}),
        **{f"data.{key}": value for key, value in _of_data(data).items()},
    }


def _stored(recipe: Recipe) -> dict[str, Any]:
    values = recipe.model_dump(mode="json")
    always = {key: values[key] for key in STORED_ALWAYS}
    return always | by_difference(values, PROTOCOL_DEFAULTS)


def _conditions(recipe: Recipe, image_size: int, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": by_difference(recipe.model_dump(mode="json"), PROTOCOL_DEFAULTS),
        **by_difference({"image_size": image_size}, {"image_size": IMAGE_SIZE}),
        **by_difference({"data": data}, {"data": {}}),
    }


def _of_data(data: DataTable, but: Collection[str] = ()) -> dict[str, Any]:
    found = by_difference(data.model_dump(mode="json"), DATA_PROTOCOL)
    return {key: value for key, value in found.items() if key not in but}


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the random stream with that name: common random numbers, by name.

    Variants of one seed share every stream whose name does not mention the variant.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
