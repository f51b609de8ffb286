"""Where a report lies without `--out`: `reports/NAME`, or a folder of its own beside another report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ablate.system.files.inside import inside
from ablate.system.messages.console import say
from ablate.system.messages.language import _

REPORTS = Path("reports")
Kind = Literal["study", "contexts", "studies"]
Told = frozenset[tuple[str, str]]
"""Settings with the hash of their images: what a report tells of."""


@dataclass(frozen=True)
class Report:
    """What kind of report it is, and what it tells of."""

    kind: Kind
    told: Told

    def may_replace(self, other: Report) -> bool:
        """Whether nothing is lost with the other one: all that it tells of is told in this one too."""
        return self.kind == other.kind and other.told <= self.told


def usual_folder(report: Report, name: str, apart: str) -> Path:
    """`reports/NAME`; `reports/APART` where a report lies there that this one may not replace.

    Raises:
        DatabaseError: a name that leads elsewhere.
    """
    folder = inside(REPORTS, name)
    there = _lies_in(folder)
    if there is None or report.may_replace(there):
        return folder
    say(
        _(
            "note: {folder} is of another setting, other images or other contexts; this report has a "
            "folder of its own",
            folder=folder,
        )
    )
    return inside(REPORTS, apart)


def _lies_in(folder: Path) -> Report | None:
    """The report that lies there; None without one that says what it is of."""
    try:
        found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return _described(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing there, or of a version that did not say


def _described(found: dict[str, Any]) -> Report:
    several: Kind
    for several in ("contexts", "studies"):
        if several in found:
            return Report(several, frozenset(map(_told, found[several])))
    return Report("study", frozenset([_told(found)]))


def _told(one: dict[str, Any]) -> tuple[str, str]:
    return str(one["setting"] or ""), str(one["dataset_hash"] or "")
