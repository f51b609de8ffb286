"""ablate: does attention help my network, where should it go, and what does it cost?

Importing this package loads neither torch nor SQLAlchemy; the rooms do when they are entered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.system.version import VERSION

if TYPE_CHECKING:
    from ablate.store.results import Results

__version__ = VERSION


def open_results(url: str = "sqlite:///results/ablation.db") -> Results:
    """The results database as pandas frames: `.runs`, `.epochs`, `.steps`, `.costs`, `.profile`,
    `.predictions`, `.looks` and `.trials`.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    from ablate.store.results import Results  # noqa: PLC0415 - pandas and SQLAlchemy take a second

    return Results(url)
