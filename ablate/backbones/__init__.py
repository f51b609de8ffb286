"""The shelf of backbones. To add one: a file beside this one, and a line in `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ablate.backbones.cbam_cnn import CbamCNN
from ablate.errors import unknown

BACKBONES: dict[str, Callable[[int], nn.Module]] = {
    "cbam_cnn": CbamCNN,
}
"""Name → a function of the number of classes that builds the network with fresh weights."""


def make_backbone(name: str, classes: int) -> nn.Module:
    """The network of that name with fresh weights.

    Raises:
        UnknownNameError: no such backbone.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    return BACKBONES[name](classes)
