"""The state of an optimizer or the like as JSON and tensors, and back: nothing in it can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ablate.errors import StudyError

TENSOR, PAIRS, TUPLE, ARRAY = "tensor", "pairs", "tuple", "array"
"""How what JSON does not have is written: an object with one of these keys."""


def flatten(value: Any, tensors: dict[str, torch.Tensor], where: str) -> Any:
    """A state as JSON takes it; its tensors go into `tensors`, under names that begin with `where`.

    Raises:
        StudyError: there is something in it that is neither a number, text nor tensor, nor made of these.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        tensors[where] = value.detach()
        last = value.dim() == 4 and not value.is_contiguous()
        return {TENSOR: where, "channels_last": last}
    if isinstance(value, np.generic | np.ndarray):
        tensors[where] = torch.from_numpy(np.array(value))
        return {ARRAY: where}
    if isinstance(value, Mapping):
        pairs = [
            [_key(key, where), flatten(each, tensors, f"{where}/{number}")]
            for number, (key, each) in enumerate(value.items())
        ]
        return {PAIRS: pairs}
    if isinstance(value, list | tuple):
        each = [flatten(part, tensors, f"{where}/{number}") for number, part in enumerate(value)]
        return each if isinstance(value, list) else {TUPLE: each}
    raise StudyError(f"the state of {where.split('/')[1]} has a {type(value).__name__}")


def _key(key: Any, where: str) -> Any:
    """A key of a mapping, whose text tells it from every other."""
    if isinstance(key, tuple):
        return {TUPLE: [_key(each, where) for each in key]}
    if key is None or type(key) in (bool, int, float, str):
        return key
    raise StudyError(f"the state of {where.split('/')[1]} has a {type(key).__name__} as a key")


def as_bytes(tensor: torch.Tensor) -> bytes:
    """Its values, whatever their type."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return bytes(flat.view(torch.uint8).numpy()) if len(flat) else b""


def restore(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """What was made flat, with tensors in the memory format that they had: fused optimizers walk them in one
    order with their parameters.
    """
    if isinstance(tree, list):
        return [restore(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if TENSOR in tree:
        found = tensors[tree[TENSOR]]
        last = torch.channels_last if tree["channels_last"] else torch.contiguous_format
        return found.contiguous(memory_format=last)
    if ARRAY in tree:
        return tensors[tree[ARRAY]].numpy()
    if TUPLE in tree:
        return tuple(restore(part, tensors) for part in tree[TUPLE])
    return {restore(key, tensors): restore(each, tensors) for key, each in tree[PAIRS]}
