"""The shelf of backbones. To add one: a file beside this one, and a line in `BACKBONES`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from torch import nn

from ablate.backbones.cbam_cnn import CbamCNN
from ablate.backbones.own import CLASSES_AS, build_own, find_signature
from ablate.backbones.se_cnn import SeCNN, SeCNN2
from ablate.backbones.torchvision import make_torchvision
from ablate.errors import StudyError, unknown
from ablate.study.options import complete_options, split_call
from ablate.system.process.randomness import seeded
from ablate.system.process.settings import settings_kept
from ablate.system.software.imports import import_object

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "cbam_cnn": CbamCNN,
    "se_cnn": SeCNN,
    "se_cnn2": SeCNN2,
}
"""Name → a function of the number of classes that builds the network with fresh weights. Its
keyword-only arguments are the backbone's options; one whose layers depend on the image size has a second
argument `image_size`."""

TORCHVISION = "torchvision:"
IMAGE_SIZE = 32
"""The side in pixels that networks are built for where nobody says another: a network whose layers depend
on it takes no other images, so that whoever forgets to say it is told at the first one."""


def make_backbone(backbone: str, classes: int, image_size: int = IMAGE_SIZE) -> nn.Module:
    """The network of that name with fresh weights, for images of `image_size` pixels a side.

    A backbone is written as a name with options in brackets: `cbam_cnn`, `cbam_cnn(width=0.5)`,
    `torchvision:resnet18(stem=small)`, `mypkg.nets:Net`.

    Raises:
        UnknownNameError: no such backbone.
        OptionError: an option that this backbone does not have.
        StudyError: a network of the user's that may not be imported or cannot be built.
    """
    name, given = split_call(backbone)
    factory = find_factory(name)
    if is_own(name):
        return build_own(name, factory, classes, given)
    options = complete_options(name, factory, given)
    size = (image_size,) if "image_size" in inspect.signature(factory).parameters else ()
    return factory(classes, *size, **options)


def guessed_argument(backbone: str) -> str | None:
    """The argument by which a network of the user's gets the number of classes, if only its place says so.

    Raises:
        StudyError: as `make_backbone` does.
    """
    name, given = split_call(backbone)
    if not is_own(name):
        return None
    signature = find_signature(name, find_factory(name), given.get(CLASSES_AS), given)
    return signature.classes if signature.guessed else None


def is_own(backbone: str) -> bool:
    """Whether it is a network of the user's: neither ours nor torchvision's."""
    name, _ = split_call(backbone)
    return name not in BACKBONES and not name.startswith(TORCHVISION)


def find_factory(name: str) -> Callable[..., nn.Module]:
    """What builds the network of that name, without options.

    Raises:
        UnknownNameError: no such backbone.
        StudyError: a network of the user's that may not be imported.
    """
    if name.startswith(TORCHVISION):
        return partial(make_torchvision, name.removeprefix(TORCHVISION))
    if name in BACKBONES:
        return BACKBONES[name]
    if ":" not in name:
        raise unknown("backbone", name, [*BACKBONES, "torchvision:NAME", "PACKAGE.MODULE:NAME"])
    with seeded(0), settings_kept():  # what a package draws and sets while it is imported
        factory = import_object(name)
    if not callable(factory):
        raise StudyError(f"{name} is {type(factory).__name__}, not a class or function of classes")
    return factory  # type: ignore[no-any-return]
