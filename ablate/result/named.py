"""A network of the user's own by everything that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NamedNetwork:
    """The network of a user's that the run keys of a study name, small enough to be sent to a worker.

    `marks` has a hash of each part of it: `source mypkg.nets`, `library timm`, `weights block1.weight`,
    `settings block1`. What only running changes, such as a global variable, is none of them.
    """

    backbone: str
    classes: int
    identity: str | None
    origin: str
    marks: Mapping[str, str]
