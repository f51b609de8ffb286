"""The files of weights that go along with runs from one database to another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ablate.store.files.weights import checked_weights, weights_files, write_weights


@dataclass
class WeightFiles:
    """Copies weights to beside a database, and takes back what it wrote if the rows are not stored."""

    url: str
    _written: list[str] = field(init=False, default_factory=list)

    def copy(self, source: str, file: str, sha256: str) -> str | None:
        """Copy the weights of a run that is taken over; None, or why not.

        Raises:
            DatabaseError: the copy cannot be written.
        """
        theirs, ours = weights_files(source), weights_files(self.url)
        path = theirs.place(checked_weights(file))
        try:
            content = theirs.read(file)
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror or error}; its weights were not copied"
        if hashlib.sha256(content).hexdigest() != sha256:
            return f"{path}: is not what its run ended with (its SHA-256 differs); not copied"
        if not ours.has(file):
            self._written.append(file)
        write_weights(self.url, file, content)
        return None

    def undo(self) -> None:
        """Delete what was written: no row will name it."""
        weights_files(self.url).remove(self._written)
