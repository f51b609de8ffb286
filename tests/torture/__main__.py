"""`python -m tests.torture [ROW …] [--short]`: break things, print the table, write the figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ablate.environment import describe_environment
from ablate.errors import unknown
from ablate.train.precision import device_name, prepare_device
from tests.torture.figures import CannotBeDone, Figures, Row
from tests.torture.rows import ROWS

RESULTS = Path("benchmarks") / "results"
WIDTH = 100


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
    device = device_name(prepare_device("cpu", deterministic=False))
    held = True
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        os.environ["ABLATE_CACHE"] = str(Path(folder) / "cache")
        for row in [table[name] for name in asked.row] or ROWS:
            held = _run(row, Path(folder) / row.name, out, device, short=asked.short) and held
    print(f"\nfigures: {out}")
    return 0 if held else 1


def _run(row: Row, folder: Path, out: Path, device: str, *, short: bool) -> bool:
    """One line of the table, printed and stored; a row that cannot be done here counts as held."""
    begun = time.monotonic()
    try:
        figures: Figures | None = row.run(folder, short=short)
    except CannotBeDone as reason:
        verdict, done, figures = "NOT RUN", str(reason), None
    else:
        broken = row.broken(figures)
        verdict, done = ("NOT HELD: " + "; ".join(broken)) if broken else "held", figures.done
    seconds = time.monotonic() - begun
    measured = figures.measured if figures else {}
    _print(row, done, measured, verdict, seconds)
    _store(out, row, device, {"done": done, "measured": measured, "verdict": verdict}, short=short)
    return not verdict.startswith("NOT HELD")


def _print(row: Row, done: str, measured: dict[str, float], verdict: str, seconds: float) -> None:
    values = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
    print(f"{row.name}: {row.fault}")
    print(f"  bar       {row.bar}")
    print(f"  done      {done} ({seconds:.0f} s)")
    if values:
        print(f"  measured  {values}")
    print(f"  {verdict}", flush=True)


def _store(out: Path, row: Row, device: str, outcome: dict[str, object], *, short: bool) -> None:
    """Put one row into the file; the others stay as they are."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    environment = describe_environment()
    del environment["command"]
    place = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": device,
        "cores": os.cpu_count(),
        "short": short,
        "environment": environment,
    }
    rows[row.name] = {"fault": row.fault, "bar": row.bar, **outcome, "place": place}
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
