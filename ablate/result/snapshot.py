"""What the report's pictures need of a run, as a few kilobytes that are stored with its result."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.errors import DatabaseError
from ablate.result.maps import Array, HeatMaps, Seen, shrink, strongest
from ablate.system.files.packed import unpack_arrays

IMAGES = 2
IMAGE_SIDE = 64
MAP_SIDE = 32
"""Larger images and maps are averaged down to these: a run's snapshot stays below about 200 KB."""


@dataclass(frozen=True)
class StoredGate:
    """The weights that one attention module gave each image: channel (N, C), spatial (N, h, w)."""

    path: str
    channel: Array | None
    spatial: Array | None


@dataclass(frozen=True)
class Snapshot:
    """A few test images as a trained network saw them.

    Shape: images (N, h, w, 3) uint8; `heat` has, for each image, its layers from shallow to deep.
    """

    images: Array
    true: tuple[str, ...]
    predicted: tuple[str | None, ...]
    heat: tuple[tuple[HeatMaps, ...], ...]
    gates: tuple[StoredGate, ...]


def take(seen: Seen, images: Array, labels: Sequence[int], classes: Sequence[str]) -> Snapshot:
    """The snapshot of one forward.

    Shape: images (N, H, W, 3) uint8, as they were before normalisation.
    """
    predicted = seen.predicted
    return Snapshot(
        images=shrink(images.transpose(0, 3, 1, 2), IMAGE_SIDE)
        .transpose(0, 2, 3, 1)
        .astype(np.uint8),
        true=tuple(classes[label] for label in labels),
        predicted=tuple(None if predicted is None else classes[p] for p in predicted or labels),
        heat=tuple(
            tuple(strongest(path, shrink(maps[i], MAP_SIDE)) for path, maps in seen.maps.items())
            for i in range(len(images))
        ),
        gates=tuple(
            StoredGate(
                gate.path,
                gate.channel,
                None if gate.spatial is None else shrink(gate.spatial, MAP_SIDE),
            )
            for gate in seen.gates
        ),
    )


def pack(snapshot: Snapshot) -> bytes:
    """A compressed npz without pickle: float16 arrays, and their names and labels as JSON."""
    arrays: dict[str, Array] = {"images": snapshot.images}
    for i, layers in enumerate(snapshot.heat):
        for j, heat in enumerate(layers):
            arrays[f"heat-{i}-{j}"] = heat.maps.astype(np.float16)
    for j, gate in enumerate(snapshot.gates):
        for kind, values in (("channel", gate.channel), ("spatial", gate.spatial)):
            if values is not None:
                arrays[f"{kind}-{j}"] = values.astype(np.float16)
    labels = {
        "true": snapshot.true,
        "predicted": snapshot.predicted,
        "heat": [[(h.path, h.channels, h.means) for h in layers] for layers in snapshot.heat],
        "gates": [gate.path for gate in snapshot.gates],
    }
    arrays["labels"] = np.frombuffer(json.dumps(labels).encode("utf-8"), dtype=np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def unpack(content: bytes) -> Snapshot:
    """The snapshot that `pack` made.

    Raises:
        DatabaseError: it did not make it, or it unpacks to more than a snapshot has.
    """
    arrays = unpack_arrays(content)
    try:
        return _snapshot(arrays)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise DatabaseError(f"a run's pictures are not as ablate stores them: {error!r}") from None


def _snapshot(arrays: dict[str, Array]) -> Snapshot:
    labels = json.loads(arrays["labels"].tobytes())
    return Snapshot(
        images=arrays["images"],
        true=tuple(labels["true"]),
        predicted=tuple(labels["predicted"]),
        heat=tuple(
            tuple(
                HeatMaps(path, tuple(channels), tuple(means), arrays[f"heat-{i}-{j}"].astype(float))
                for j, (path, channels, means) in enumerate(layers)
            )
            for i, layers in enumerate(labels["heat"])
        ),
        gates=tuple(
            StoredGate(path, arrays.get(f"channel-{j}"), arrays.get(f"spatial-{j}"))
            for j, path in enumerate(labels["gates"])
        ),
    )
