"""RawMember: what a container has at one place, before anybody judges it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ablate.system.files.state import FileState, state_of


@dataclass(frozen=True)
class RawMember:
    """A member as the container has it; one of an archive can be read while it is its turn.

    `read` gives the first bytes, as many as asked for, all of them for -1. A file of its own has its path in
    `file`. `is_link` says what a member that is neither file nor folder links to, where it is a link. One
    that has a number and no name of its own has that as `row`.
    """

    name: str
    is_folder: bool
    is_file: bool
    read: Callable[[int], bytes]
    size: int = 0
    file: str | None = None
    is_link: str | None = None
    row: int | None = None

    def state(self) -> FileState | None:
        """How a file of its own is found now.

        Raises:
            OSError: it is gone.
        """
        return state_of(os.stat(self.file)) if self.file is not None and self.is_file else None


def row_name(folder: str, row: int) -> str:
    """The name of a row's image in the folder of its class."""
    return f"{folder}/{row:07}"
