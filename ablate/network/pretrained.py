"""Trained weights from a file, put into a network that is about to be trained further."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ablate.errors import NetworkChangedError, StudyError, WeightsError
from ablate.network.state_file import Held, read_file
from ablate.network.state_names import named_as
from ablate.network.trace import make_outline
from ablate.result.pretrained import Fit, Pretrained

COUNTER = "num_batches_tracked"
"""Old files lack it, and nothing that we train looks at it."""


STATISTICS = (".running_mean", ".running_var")
"""Ends of the names of what a norm has seen in training."""


@dataclass(frozen=True)
class Slots:
    """What a network takes: the shape of each tensor by its name, which are numbers with a point, which
    training moves (others, as masks, may be infinite), and of each that is tied to others their names.
    """

    shapes: Mapping[str, list[int]]
    floating: frozenset[str]
    moved: frozenset[str]
    tied: Mapping[str, frozenset[str]]


def find_fit(weights: Pretrained, backbone: str, classes: int, image_size: int) -> Fit:
    """What of a file a backbone can begin with.

    Raises:
        WeightsError: no weights, those of another network, or not all of them and not `partial`; or values
            that nothing can begin with.
        NetworkChangedError: the file has other content than it had.
    """
    slots = _slots(backbone, classes, image_size)
    shapes = slots.shapes
    under, state = named_as(shapes, read_state(weights))
    head = head_of(backbone, classes, image_size)
    unlike = [n for n in shapes if n in state and not _fits(shapes, n, state[n])]
    there = {other for n in state for other in slots.tied.get(n, ())}
    missing = [n for n in shapes if n not in state and n not in there and not n.endswith(COUNTER)]
    drawn = [n for n in shapes if n in head and n in {*unlike, *missing}]
    fit = Fit(
        taken=sum(n in shapes and n not in unlike for n in state),
        tensors=len(shapes),
        drawn=tuple(drawn),
        missing=tuple(n for n in missing if n not in drawn),
        unexpected=tuple(n for n in state if n not in shapes),
        unlike=tuple(
            f"{n} {list(state[n].shape)} for {shapes[n]}"
            for n in unlike
            if n not in drawn and not n.endswith(COUNTER)
        ),
        under=under,
    )
    if not fit.taken or (fit.differences and not weights.partial):
        raise WeightsError(
            f"weights = {weights.named!r} are not of {backbone}: {fit.differences or 'none fits'}; give "
            "those of this network"
            + (", or weights_partial = true to take what fits" * bool(fit.taken))
        )
    _check_values(weights, backbone, classes, image_size)
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
    shapes = _slots(backbone, classes, image_size).shapes
    _, state = named_as(shapes, read_state(weights))
    own = net.state_dict()  # without what attention has replaced
    taken = {n: t for n, t in state.items() if n in own and _fits(shapes, n, t)}
    net.load_state_dict(taken, strict=False)


@lru_cache(maxsize=1)
def read_state(weights: Pretrained) -> tuple[Held, ...]:
    """The state dicts of a file, by the names that it gives them; a cohort's runs share them.

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
    return read_file(weights.path, content)


def head_of(backbone: str, classes: int, image_size: int) -> frozenset[str]:
    """The tensors whose shape depends on the number of classes."""
    shapes = _slots(backbone, classes, image_size).shapes
    try:
        others = _slots(backbone, classes + 1, image_size).shapes
    except StudyError:
        return frozenset()  # it is made for one number of classes
    return frozenset(name for name, shape in shapes.items() if others.get(name) != shape)


@lru_cache(maxsize=8)
def _slots(backbone: str, classes: int, image_size: int) -> Slots:
    net = make_outline(backbone, classes, image_size)
    state = {n: t for n, t in net.state_dict().items() if isinstance(t, torch.Tensor)}
    names: dict[int, set[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return Slots(
        shapes={n: list(t.shape) for n, t in state.items()},
        floating=frozenset(n for n, t in state.items() if t.is_floating_point()),
        moved=frozenset(n for every in names.values() for n in every)
        | {n for n in state if n.endswith(STATISTICS)},
        tied={n: frozenset(every) for every in names.values() if len(every) > 1 for n in every},
    )


def _fits(shapes: Mapping[str, list[int]], name: str, tensor: torch.Tensor) -> bool:
    return list(tensor.shape) == shapes.get(name)


@lru_cache(maxsize=1)
def _check_values(weights: Pretrained, backbone: str, classes: int, image_size: int) -> None:
    """Refuse what would be copied without a word and mean something else: of another kind, or no numbers.
    Every value is looked at, once for all runs of a process.
    """
    slots = _slots(backbone, classes, image_size)
    _, state = named_as(slots.shapes, read_state(weights))
    for name, tensor in state.items():
        if not _fits(slots.shapes, name, tensor) or name not in slots.floating:
            continue
        dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
        if not (dense and tensor.is_floating_point()):
            raise WeightsError(
                f"weights = {weights.named!r}: {name!r} is no dense tensor of real numbers ({tensor.dtype}, "
                f"{tensor.layout}, {tensor.device}): save it as float32"
            )
        values = tensor.float()  # as they are trained, which may be too small a format for them
        infinite = name in slots.moved and bool(values.isinf().any())
        if infinite or bool(values.isnan().any()):
            what = "no numbers (infinite in float32)" if infinite else "no numbers (NaN)"
            raise WeightsError(
                f"weights = {weights.named!r}: {name!r} has values that are {what}: its training has "
                "diverged, give weights of before"
            )
