"""A network with parts of the user's own, and a metric of theirs, by everything that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.system.digest import digest


@dataclass(frozen=True)
class NamedNetwork:
    """What of a user's the run keys of a study name, small enough to be sent to a worker: the backbone, or
    attention, or both. `origin` is None where the backbone is not the user's.

    `marks` has a hash of each part of it: `source mypkg.nets`, `library timm`, `weights block1.weight`,
    `settings block1`. What only running changes, such as a global variable, is none of them. `attention` has
    those of each attention of the user's, by the words of how it is made.
    """

    backbone: str
    classes: int
    identity: str | None
    origin: str | None
    marks: Mapping[str, str]
    attention: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedFunction:
    """A function of the user's that the run keys of a study name, small enough to be sent to a worker: its
    `kind` is what it is to the study, `name` what the study calls it, with options, and `marks` has a hash of
    each part of it: `source mypkg.train`, `library timm`, `option alpha`.
    """

    kind: str
    name: str
    marks: Mapping[str, str]

    @property
    def digest(self) -> str:
        """All of it as one hash."""
        function = self.name.partition("(")[0]
        return digest({self.kind: function, "marks": dict(self.marks)})
