"""`python -m tests.torture [ROW …] [--short]`: break things, print the table, write the figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ablate.errors import unknown
from ablate.system.hardware.machine import prepare_machine
from ablate.system.messages.text import duration
from ablate.system.software.environment import describe_environment
from tests.torture.figures import CannotBeDone, Measured, Row
from tests.torture.rows import ROWS

RESULTS = Path("benchmarks") / "results"
WIDTH_IN_A_LOG = 160


def main(arguments: Sequence[str]) -> int:
    """Run the rows that are asked for, all of them by default; 1 if a bar was not held."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("row", nargs="*", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--short", action="store_true", help="the counts of the test suite")
    parser.add_argument("--out", type=Path, help="where the figures are written, as JSON")
    asked = parser.parse_args(arguments)
    table = {row.name: row for row in ROWS}
    for name in asked.row:
        if name not in table:
            parser.error(str(unknown("row", name, table)))
    out = asked.out or RESULTS / ("torture-short.json" if asked.short else "torture-cpu.json")
    device = prepare_machine("cpu").name
    outcomes = []
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_IN_A_LOG)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        os.environ["ABLATE_CACHE"] = str(Path(folder) / "cache")
        for row in [table[name] for name in asked.row] or ROWS:
            console.print(f"{row.name}: begins", highlight=False)
            outcome = _run(row, Path(folder) / row.name, short=asked.short)
            console.print(f"{row.name}: {outcome.verdict} in {duration(outcome.seconds)}")
            _store(out, outcome, device, short=asked.short)
            outcomes.append(outcome)
    console.print(_table(outcomes))
    console.print(f"figures: {out}", soft_wrap=True)
    return 1 if any(outcome.broken for outcome in outcomes) else 0


@dataclass(frozen=True)
class Outcome:
    """What came of a row; without figures it could not be done here, and `done` says why."""

    row: Row
    seconds: float
    done: str
    measured: Measured
    broken: tuple[str, ...]
    was_run: bool = True

    @property
    def verdict(self) -> str:
        if not self.was_run:
            return "not run"
        return "NOT HELD: " + "; ".join(self.broken) if self.broken else "held"


def _run(row: Row, folder: Path, *, short: bool) -> Outcome:
    begun = time.monotonic()
    try:
        figures = row.run(folder, short=short)
    except CannotBeDone as reason:
        return Outcome(row, time.monotonic() - begun, str(reason), {}, (), was_run=False)
    seconds, broken = time.monotonic() - begun, tuple(row.broken(figures))
    return Outcome(row, seconds, figures.done, figures.measured, broken)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("fault", "done", "bar", "measured", "held?", show_lines=True)
    for outcome in outcomes:
        measured = ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in outcome.measured.items())
        table.add_row(outcome.row.fault, outcome.done, outcome.row.bar, measured, outcome.verdict)
    return table


def _store(out: Path, outcome: Outcome, device: str, *, short: bool) -> None:
    """Put one row into the file; the others stay as they are."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    environment = describe_environment()
    del environment["command"]
    rows[outcome.row.name] = {
        "fault": outcome.row.fault,
        "bar": outcome.row.bar,
        "done": outcome.done,
        "measured": {k: None if isnan(v) else v for k, v in outcome.measured.items()},
        "verdict": outcome.verdict,
        "seconds": outcome.seconds,
        "place": {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "device": device,
            "cores": os.cpu_count(),
            "short": short,
            "environment": environment,
        },
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
