"""Where a network that is not ours comes from: its settings, weights, flags and source, as one hash.

Networks of ours and of torchvision are told apart by their structure; a user's may differ in anything.
"""

from __future__ import annotations

from functools import lru_cache

from ablate.backbones import IMAGE_SIZE, find_factory
from ablate.identity.origin import Origin, find_origin, module_of
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.software.modules import room_of


def origin(
    backbone: str, classes: int, identity: str | None = None, image_size: int = IMAGE_SIZE
) -> str | None:
    """A hash of everything about a backbone that can change the number and is not in its structure.

    None for a network of ours or of torchvision. `identity` is the study's own name for the network: it
    counts for any, and stands for what cannot be described.

    Raises:
        StudyError: something in a user's network that cannot be described, and no `identity`.
    """
    name, _ = split_call(backbone)
    if room_of(module_of(find_factory(name))) == "ablate":
        return None if identity is None else digest({"identity": identity})
    return known_origin(backbone, classes, identity, image_size).digest


@lru_cache(maxsize=8)
def known_origin(
    backbone: str, classes: int, identity: str | None = None, image_size: int = IMAGE_SIZE
) -> Origin:
    """That of a user's network, found once in a process, until `forget_origins`.

    Raises:
        StudyError: as `origin` does.
    """
    return find_origin(backbone, classes, identity, image_size)


def forget_origins() -> None:
    """What was found before counts no more: files of weights and of source may have changed."""
    known_origin.cache_clear()
