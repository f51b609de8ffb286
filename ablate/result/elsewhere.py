"""Studies whose runs were trained elsewhere: how their definition says so, and how they are known.

Such a run never has the key of one that could be trained here: what is hashed begins with a word that no key
of a trained run has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ablate.system.digest import digest

ELSEWHERE = "elsewhere"
"""The key of a definition, and of a run's recipe, that only what was trained elsewhere has."""

UNNAMED = "unnamed"
"""What images are called that nobody has named."""

LARGEST_SEED = 2**31 - 1
"""What every database takes for a whole number."""

SETTING = digest({ELSEWHERE: "setting"})
"""All such studies have it: what their runs were trained under is not known here."""


def is_elsewhere(definition: Mapping[str, Any]) -> bool:
    """Whether this study's runs were trained elsewhere."""
    return isinstance(definition.get(ELSEWHERE), Mapping)


def told_of(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is known of a study from elsewhere: `trainer`, `files`, `paired`; empty for another one."""
    found = definition.get(ELSEWHERE)
    return found if isinstance(found, Mapping) else {}


def images_key(study: str, trainer: str) -> str:
    """What stands for the hash of its images, which nobody here has seen: 64 hexadecimal digits. Two studies
    of one name that others have trained are on images of their own, and no merge puts them together.
    """
    text = "\0".join((ELSEWHERE, "images", study, trainer))
    return hashlib.sha256(text.encode()).hexdigest()


def network_key(images: str, variant: str) -> str:
    """What stands for the fingerprint of a network that nobody here can build."""
    return digest({ELSEWHERE: "network", "images": images, "variant": variant})


def run_key_of(images: str, variant: str, seed: int) -> str:
    """The key of a run, of what identifies it: 16 hexadecimal digits."""
    return digest({ELSEWHERE: "run", "images": images, "variant": variant, "seed": seed})
