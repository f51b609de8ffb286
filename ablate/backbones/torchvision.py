"""Every classification network that torchvision has, untrained: `torchvision:NAME`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import nn

from ablate.errors import OptionError, unknown

STEMS = ("imagenet", "small")
_HEAVY = "torch._dynamo.utils"

# Their second heads are for training tricks that an ablation of attention leaves out; without
# init_weights they warn, True is what they have always done.
_PLAIN_OUTPUT = {"aux_logits": False, "init_weights": True}
_SPECIAL: dict[str, dict[str, Any]] = {"googlenet": _PLAIN_OUTPUT, "inception_v3": _PLAIN_OUTPUT}


def make_torchvision(name: str, classes: int, *, stem: str = "imagenet") -> nn.Module:
    """The network that torchvision calls `name`, with fresh weights and that many classes.

    `stem = "small"` is for images of about 32×32: He et al. 2016 (arXiv 1512.03385, section 4.2)
    begin with a 3×3 convolution of stride 1 and have no max pool, where the network for ImageNet
    makes the image four times smaller at once.

    Raises:
        UnknownNameError: torchvision has no such classification network.
        OptionError: an unknown stem, or a network whose stem cannot be made small.
    """
    if stem not in STEMS:
        raise OptionError(
            f"torchvision:{name}: stem must be one of {', '.join(STEMS)}, not {stem!r}"
        )
    models = load_models()
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("backbone", f"torchvision:{name}", [f"torchvision:{k}" for k in known])
    net: nn.Module = models.get_model(
        name, weights=None, num_classes=classes, **_SPECIAL.get(name, {})
    )
    if stem == "small":
        _make_stem_small(name, net)
    return net


def _make_stem_small(name: str, net: nn.Module) -> None:
    first = getattr(net, "conv1", None)
    if not (isinstance(first, nn.Conv2d) and isinstance(getattr(net, "maxpool", None), nn.Module)):
        raise OptionError(
            f"torchvision:{name} has no stem of one convolution and a max pool, as ResNets have, "
            "that stem=small could replace: leave the option out"
        )
    small = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")  # as ResNets do
    net.add_module("conv1", small)
    net.add_module("maxpool", nn.Identity())


def load_models() -> Any:
    """`torchvision.models`, imported when it is first needed: it takes seconds."""
    with _without_compiler():
        return importlib.import_module("torchvision.models")


class _LazyUtils(ModuleType):
    """Stands in for the compiler's utilities while torchvision is imported; loads them when used."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        supported: bool = importlib.import_module(_HEAVY).is_compile_supported(device_type)
        return supported

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(_HEAVY, None)
        return getattr(importlib.import_module(_HEAVY), name)


@contextmanager
def _without_compiler() -> Iterator[None]:
    # torchvision 0.26 to 0.29 import the whole compiler (5 to 8 s) for one function of RoI align.
    if _HEAVY in sys.modules or "torchvision" in sys.modules:
        yield
        return
    stand_in = sys.modules[_HEAVY] = _LazyUtils(_HEAVY)
    try:
        yield
    finally:
        if sys.modules.get(_HEAVY) is stand_in:
            del sys.modules[_HEAVY]
