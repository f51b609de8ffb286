"""Trained weights from a file, put into a network that is about to be trained further."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from ablate.errors import NetworkChangedError, StudyError, WeightsError
from ablate.network.trace import make_outline
from ablate.result.pretrained import Fit, Pretrained

State = Mapping[str, torch.Tensor]

WRAPPED = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Under which a checkpoint holds its state dict, the surest first."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers put before every name: data parallel, Lightning and the like, the compiler."""
COUNTER = "num_batches_tracked"
"""Old files lack it, and nothing that we train looks at it."""
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def find_fit(weights: Pretrained, backbone: str, classes: int, image_size: int) -> Fit:
    """What of a file a backbone can begin with.

    Raises:
        WeightsError: no weights, those of another network, or not all of them and not `partial`.
        NetworkChangedError: the file has other content than it had.
    """
    shapes = _shapes(backbone, classes, image_size)
    state = _named_as(shapes, read_state(weights))
    head = head_of(backbone, classes, image_size)
    unlike = [n for n in shapes if n in state and list(state[n].shape) != shapes[n]]
    missing = [n for n in shapes if n not in state and not n.endswith(COUNTER)]
    drawn = [n for n in shapes if n in head and n in {*unlike, *missing}]
    fit = Fit(
        taken=sum(n in shapes and n not in unlike for n in state),
        tensors=len(shapes),
        drawn=tuple(drawn),
        missing=tuple(n for n in missing if n not in drawn),
        unexpected=tuple(n for n in state if n not in shapes),
        unlike=tuple(n for n in unlike if n not in drawn),
    )
    if not fit.taken or (fit.differences and not weights.partial):
        raise WeightsError(
            f"weights = {weights.named!r} are not of {backbone}: {fit.differences or 'none fits'}; give "
            "those of this network"
            + (", or weights_partial = true to take what fits" * bool(fit.taken))
        )
    return fit


def load_pretrained(
    net: nn.Module, weights: Pretrained, backbone: str, classes: int, image_size: int
) -> None:
    """Put the weights into a network of that backbone, with attention in it or not. What is drawn anew, and
    all attention, keeps what it was drawn with.

    Raises:
        WeightsError, NetworkChangedError: as `find_fit` does.
    """
    find_fit(weights, backbone, classes, image_size)
    shapes = _shapes(backbone, classes, image_size)
    state = _named_as(shapes, read_state(weights))
    own = net.state_dict()  # without what attention has replaced
    taken = {n: t for n, t in state.items() if n in own and list(t.shape) == shapes.get(n)}
    net.load_state_dict(taken, strict=False)


@lru_cache(maxsize=1)
def read_state(weights: Pretrained) -> State:
    """The tensors of a file, by the names that it gives them; a cohort's runs share them.

    Raises:
        WeightsError: it is neither safetensors nor a state dict of tensors alone.
        NetworkChangedError: it has other content than it had.
    """
    try:
        content = Path(weights.path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights.path}: cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise NetworkChangedError(
            f"{weights.path}: has other weights than when the run was planned: put the file back, or plan "
            "again"
        )
    return _safetensors(content) or _state_dict(weights.path, content)


def head_of(backbone: str, classes: int, image_size: int) -> frozenset[str]:
    """The tensors whose shape depends on the number of classes."""
    shapes = _shapes(backbone, classes, image_size)
    try:
        others = _shapes(backbone, classes + 1, image_size)
    except StudyError:
        return frozenset()  # it is made for one number of classes
    return frozenset(name for name, shape in shapes.items() if others.get(name) != shape)


@lru_cache(maxsize=8)
def _shapes(backbone: str, classes: int, image_size: int) -> dict[str, list[int]]:
    state = make_outline(backbone, classes, image_size).state_dict()
    return {n: list(t.shape) for n, t in state.items() if isinstance(t, torch.Tensor)}


def _safetensors(content: bytes) -> State | None:
    try:
        return load(content)
    except SafetensorError:
        return None


def _state_dict(path: str, content: bytes) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other pickles, which are refused here
            found: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path}: is neither safetensors nor a state dict of tensors alone, and nothing else is "
            f"unpickled ({type(error).__name__}): save one with torch.save(net.state_dict(), FILE)"
        ) from None
    for key in WRAPPED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    tensors = found.items() if isinstance(found, Mapping) else ()
    state = {str(name): t for name, t in tensors if isinstance(t, torch.Tensor)}
    if not state:
        raise WeightsError(f"{path}: holds no state dict: save torch.save(net.state_dict(), FILE)")
    return state


def _named_as(shapes: Mapping[str, object], state: State) -> State:
    """By the names of the network: without prefixes that wrappers have put before them."""
    named = {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    while not _fitting(shapes, named):
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in named)), None)
        if prefix is None:
            return state
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def _fitting(shapes: Mapping[str, object], state: State) -> int:
    return sum(name in shapes for name in state)
