"""ablate: does attention help my network, where should it go, and what does it cost?

Importing this package loads neither torch nor SQLAlchemy; the rooms do when they are entered.
"""

from __future__ import annotations

from ablate.system.version import VERSION

TYPE_CHECKING = False  # that of `typing`, which takes a while to load
if TYPE_CHECKING:
    from ablate.report.notebook import StudyResults

__version__ = VERSION


def open_results(url: str = "sqlite:///results/ablation.db") -> StudyResults:
    """The results database as pandas frames: `.runs`, `.epochs`, `.steps`, `.costs`, `.profile`,
    `.predictions`, `.looks`, `.studies` and `.trials`; and of a study `.effects()`, `.table()` and
    `.figure(name)`, as its report has them.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    from ablate.report.notebook import StudyResults  # noqa: PLC0415 - pandas and SQLAlchemy take a second

    return StudyResults(url)
