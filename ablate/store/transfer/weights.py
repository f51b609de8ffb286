"""The files of weights that go along with runs from one database to another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from ablate.store.stored_file import read_beside
from ablate.store.weights import weights_path, write_weights


@dataclass
class WeightFiles:
    """Copies weights to beside a database, and takes back what it wrote if the rows are not stored."""

    url: str
    _written: list[Path] = field(init=False, default_factory=list)

    def copy(self, source: str, file: str, sha256: str) -> str | None:
        """Copy the weights of a run that is taken over; None, or why not.

        Raises:
            DatabaseError: the copy cannot be written.
        """
        path, target = weights_path(source, file), weights_path(self.url, file)
        try:
            content = read_beside(path)
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror}; its weights were not copied"
        if hashlib.sha256(content).hexdigest() != sha256:
            return f"{path}: is not what its run ended with (its SHA-256 differs); not copied"
        if not target.exists():
            self._written.append(target)
        write_weights(self.url, file, content)
        return None

    def undo(self) -> None:
        """Delete what was written: no row will name it."""
        for path in self._written:
            path.unlink(missing_ok=True)
