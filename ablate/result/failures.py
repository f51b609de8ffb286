"""What is told of runs that failed where a finished one is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ablate.system.messages.language import Said, SaidAmount


def failed_told(kinds: Sequence[str | None], planned: int) -> Said | None:
    """How many of a variant's runs failed, of what, and what trains them again; None where none did. `kinds`
    has that of each which failed.
    """
    if not kinds:
        return None
    counted = Counter(kind or "error" for kind in kinds)
    return Said(
        "{failed:,} of its {planned} failed ({kinds}), and `ablate run` trains those again with "
        "--retry-failed alone",
        failed=len(kinds),
        planned=SaidAmount(planned, "run"),
        kinds=", ".join(f"{n:,} × {kind}" for kind, n in counted.most_common()),
    )
