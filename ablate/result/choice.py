"""What a device was measured to do best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why in words."""

    choice: str | int
    reason: str
