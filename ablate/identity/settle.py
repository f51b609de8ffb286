"""Three descriptions of one network, under the seeds 1, 2 and 1 → what they say together."""

from __future__ import annotations

from typing import Any

UNDETERMINED = "differs from build to build"


def settle(first: Any, other: Any, again: Any) -> Any:
    """What all three say is kept; what follows the seed is kept as far as it is the same everywhere.

    Weights that are drawn count by their sketch: the last bits of a draw depend on the processor. What
    differs under one seed (a time, an address, a generator that nobody seeded) cannot tell networks apart.
    """
    if first == other == again:
        return first
    if is_tensor(first) and is_tensor(again):
        return _drawn(first) if _drawn(first) == _drawn(again) else UNDETERMINED
    if _same_shape(first, again) and _same_shape(first, other):
        if isinstance(first, dict):
            return {key: settle(first[key], other[key], again[key]) for key in first}
        return [settle(*parts) for parts in zip(first, other, again, strict=True)]
    return ["drawn", _without_bits(first)] if _drawn_alike(first, again) else UNDETERMINED


def is_tensor(node: Any) -> bool:
    return isinstance(node, dict) and "sketch" in node


def _drawn(tensor: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tensor.items() if key != "bits"}


def _drawn_alike(first: Any, again: Any) -> bool:
    return bool(_without_bits(first) == _without_bits(again))


def _without_bits(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_bits(value) for key, value in node.items() if key != "bits"}
    return [_without_bits(part) for part in node] if isinstance(node, list) else node


def _same_shape(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys()
    return isinstance(a, list) and isinstance(b, list) and len(a) == len(b)
