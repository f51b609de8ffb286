"""Gates: found from what went into an attention module and what came out, and described in numbers."""

from __future__ import annotations

import numpy as np

from ablate.result.maps import Array, GateStatistics

DEAD = 0.05
SATURATED = 0.95
FIT = 1e-8
"""The squared error, as a share of the output's, up to which one weight explains what it scales."""


def infer_gate(
    before: Array, after: Array, *, nearest: bool = True
) -> tuple[Array | None, Array | None]:
    """The channel weights (N, C) and the spatial weights (N, H, W) that turn `before` into `after`.

    A weight is the least-squares solution over everything that it scales: a mean of the ratios in
    which zeros count nothing. A gate that is neither one per channel nor one per position gets
    both, as the nearest of their kind; without `nearest` it gets none.

    Shape: before and after (N, C, H, W).
    """
    channel, spatial = _fit(before, after, (2, 3)), _fit(before, after, (1,))
    if _explains(channel, before, after):
        return channel[:, :, 0, 0], None
    if _explains(spatial, before, after):
        return None, spatial[:, 0]
    return (channel[:, :, 0, 0], spatial[:, 0]) if nearest else (None, None)


def statistics(values: Array) -> GateStatistics | None:
    """The statistics of gate values (N, C) or (N, H, W); None where none of them can be seen."""
    table = values.reshape(len(values), -1).astype(float)
    table = table[:, np.isfinite(table).any(axis=0)]
    if not table.size:
        return None
    known = table[np.isfinite(table)]
    return GateStatistics(
        images=len(values),
        mean=float(known.mean()),
        sd_channels=float(np.nanmean(table, axis=0).std()),
        sd_images=float(np.nanstd(table, axis=0).mean()),
        dead=float((known < DEAD).mean()),
        saturated=float((known > SATURATED).mean()),
    )


def _fit(before: Array, after: Array, axes: tuple[int, ...]) -> Array:
    before, after = before.astype(float), after.astype(float)
    energy = (before * before).sum(axis=axes, keepdims=True)
    product = (before * after).sum(axis=axes, keepdims=True)
    weights: Array = np.full(energy.shape, np.nan)
    np.divide(product, energy, out=weights, where=energy > 0)
    return weights


def _explains(weights: Array, before: Array, after: Array) -> bool:
    error = after - np.nan_to_num(weights) * before
    return float((error**2).sum()) <= FIT * float((after.astype(float) ** 2).sum())
