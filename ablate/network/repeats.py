"""Does a user's network repeat under one seed, and does a checkpoint hold all that it learns?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from ablate.backbones import is_own
from ablate.network.fresh import make_network
from ablate.network.kept import restore_beside, tensors_beside
from ablate.study import stream_seed
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr

IMAGES = 2


@dataclass(frozen=True)
class _Shown:
    """A network, what it began with, and what it gave for noise, forward by forward."""

    net: nn.Module
    began: dict[str, torch.Tensor]
    gave: list[torch.Tensor]


@lru_cache(maxsize=8)
def check_repeats(backbone: str, classes: int, image_size: int) -> str | None:
    """What a reader must know of a network that is not the same twice under one seed, or that goes on from
    a checkpoint as another. None where there is nothing to say.

    Raises:
        StudyError: it cannot be built.
    """
    if not is_own(backbone):
        return None
    one, other = (_show(backbone, classes, image_size) for _ in range(2))
    for name, tensor in one.began.items():
        if not _same(tensor, other.began.get(name)):
            return f"{backbone} begins otherwise each time under one seed ({name!r} differs): {_ADVICE}"
    if len(one.gave) != len(other.gave):
        return f"{backbone} fails now and then under one seed: {_ADVICE}"
    if not all(map(_same, one.gave, other.gave)):
        return f"{backbone} gives other values each time under one seed: {_ADVICE}"
    if one.gave and not _goes_on(one, backbone, classes, image_size):
        return (
            f"{backbone} keeps what a forward leaves behind where no checkpoint holds it: a run that is "
            "stopped and goes on gives other numbers; keep it in a buffer (register_buffer)"
        )
    return None


_ADVICE = (
    "it draws from what the run's seed does not reach, or meets what another network left behind, so runs do "
    "not repeat and variants of one seed differ in more than attention; draw from torch, numpy.random or "
    "random, seed other generators with torch.initial_seed(), and keep nothing in classes or globals"
)


def _show(backbone: str, classes: int, image_size: int) -> _Shown:
    with seeded(stream_seed(1, "backbone")):
        net = make_network(backbone, classes, image_size)
    tensors = [*net.named_parameters(), *net.named_buffers()]
    began = {name: tensor.detach().clone() for name, tensor in tensors}
    gave = _forward(net.train(), image_size, 1)
    gave += _forward(net.eval(), image_size, 2) if gave else []
    return _Shown(net, began, gave)


def _goes_on(shown: _Shown, backbone: str, classes: int, image_size: int) -> bool:
    """Whether a network that was made anew and got the tensors of another goes on as that one does."""
    with seeded(2):
        anew = make_network(backbone, classes, image_size)
    try:
        anew.load_state_dict(shown.net.state_dict())
        restore_beside(anew, tensors_beside(shown.net))
    except (RuntimeError, KeyError, TypeError):
        return False
    one, other = (_forward(net.train(), image_size, 3) for net in (shown.net, anew))
    return len(one) == len(other) and all(map(_same, one, other))


def _forward(net: nn.Module, image_size: int, seed: int) -> list[torch.Tensor]:
    """What a network gives for noise; nothing where it fails or gives no tensor, of which planning tells."""
    with seeded(seed), torch.no_grad(), prints_to_stderr():
        images = torch.randn(IMAGES, 3, image_size, image_size)
        try:
            output = net(images)
        except Exception:
            return []  # whatever it raises: a training step raises it too, and says so
    return [output] if isinstance(output, torch.Tensor) else []


def _same(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    if other is None or one.shape != other.shape or one.is_meta:
        return other is not None and one.shape == other.shape
    return bool(torch.equal(one, other) or torch.allclose(one, other, 0, 0, equal_nan=True))
