"""The trained weights that the networks of a study begin with, by their content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of weights: as the study names it, where it lies, and the SHA-256 of what is in it.

    `partial` lets weights be missing, unexpected or of another shape: what fits is taken.
    """

    named: str
    path: str
    sha256: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a file of weights a backbone begins with: how many of its tensors, and the names of the head's,
    which are drawn anew for other classes, of those that the file lacks, that the network lacks, and that
    have another shape, with both shapes; `under` which keys a checkpoint holds them.
    """

    taken: int
    tensors: int
    drawn: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    under: str = ""

    @property
    def differences(self) -> str:
        """What does not fit, how much of it and the first three names; empty if all does."""
        found = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.unlike,
        }
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in found.items()
            if names
        )
