"""What is asked of networks on paper, and what they turn out to be. No torch needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ablate.result import Architecture
from ablate.result.named import NamedNetwork
from ablate.study import Variant
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.hardware.known_machine import SET_BY_TORCH
from ablate.system.process.owner import host_id
from ablate.system.software.program import program_id

FORMAT = 2
"""Of what is remembered: another one is built anew."""
OF_A_SESSION = (
    "_", "ABLATE_CACHE", "ABLATE_STATE", "ABLATE_REHASH", "COLUMNS", "COLORTERM", "DBUS_", "DISPLAY",
    "GPG_", "LINES", "LS_COLORS", "OLDPWD", "PS1", "PWD", "PYTEST_", "SHLVL", "SSH_", "STY", "TERM", "TMUX",
    "WINDOWID", "XDG_SESSION_", SET_BY_TORCH,
)  # fmt: skip
"""How the names of environment variables begin that are others in each terminal, or after an import."""
TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Asked:
    """Variants of one backbone, each once and with its options written out, for images of a size.

    `identity` is the study's own name for the network.
    """

    backbone: str
    variants: tuple[Variant, ...]
    classes: int
    image_size: int
    identity: str | None = None

    @property
    def own_backbone(self) -> str | None:
        """The name of the network, if it is the user's, whose source is not a part of this program."""
        name = split_call(self.backbone)[0]
        return name if ":" in name and not name.startswith(TORCHVISION) else None

    @property
    def own_attention(self) -> tuple[str, ...]:
        """The names of the user's attention, each once."""
        return tuple(dict.fromkeys(kind for each in self.variants for kind in each.own_kinds))

    @property
    def is_own(self) -> bool:
        """Whether something of it is the user's."""
        return self.own_backbone is not None or bool(self.own_attention)

    @property
    def name(self) -> str:
        """Under which it is remembered: all that can change it, but for the user's own files."""
        around = _around() if self.is_own else {}
        return f"{family()}-{digest([FORMAT, asdict(self), around])}"


def family() -> str:
    """How the names begin of all that this program can remember: another one remembers for itself."""
    return f"outlines-{program_id()}"


def _around() -> dict[str, object]:
    """What libraries may look at when they are imported, and where a user's packages are found."""
    told = {k: v for k, v in os.environ.items() if not k.startswith(OF_A_SESSION)}
    here = str(Path.cwd())
    return {"host": host_id(), "folder": here, "path": import_path(), "environment": told}


def import_path() -> list[str]:
    """Where a study's imports look: the first one of a process adds the working directory."""
    here = os.getcwd()
    return list(sys.path) if here in sys.path else [*sys.path, here]


@dataclass(frozen=True)
class Outlines:
    """What building gave: the variants in the order in which they were asked for, the attention that the
    backbone brings along (kind → paths), what a reader must know of it, and of a user's network what
    whoever builds it in another process must prove.

    `files` (module → hash) and `libraries` (distribution → version) are what a user's network was built
    from, which must be as they were; None where more can have counted than is known. `read` is what libraries
    read besides (path → hash of the content, None where there was no file).
    """

    architectures: tuple[Architecture, ...]
    own_attention: Mapping[str, list[str]]
    note: str | None = None
    named: NamedNetwork | None = None
    files: Mapping[str, str] | None = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, str | None] = field(default_factory=dict)
