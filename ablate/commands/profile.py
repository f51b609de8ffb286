"""`ablate profile`: where two variants differ in time, module by module, from stored profiles."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ablate.commands.chosen import frames_of
from ablate.errors import DatabaseError
from ablate.page.format import MISSING, milliseconds, percent, ratio
from ablate.report.families import module_times
from ablate.report.summary import Summary, summarize
from ablate.result.cost import AUGMENTATION
from ablate.stats.words import speed_words
from ablate.study import Study
from ablate.study.meant import find_variant
from ablate.system.console import plain, say
from ablate.system.pulse import PULSE

WIDTH_IN_A_LOG = 140
MOST_MODULES = 40


def compare_times(first: str, second: str, study: Study, data: Path | None, url: str) -> None:
    """Print the difference of two variants, the module with the largest first; a table a device.

    Raises:
        UnknownNameError: no such variant in the study.
        DatabaseError: nothing of this study in the database, or no profile of both on one device.
    """
    frames = frames_of(study, data, url)
    summary = summarize(frames)
    names = [_variant(name, summary) for name in (first, second)]
    times = module_times(summary)
    devices = [
        device
        for device, group in times.groupby("device", sort=False)
        if set(names) <= set(group["variant"])
    ]
    if not devices:
        raise DatabaseError(_why_not(names, times, summary))
    for device in devices:
        both = difference(times[times["device"] == device], *names)
        PULSE.clear()
        _print(both, str(device), names)
        say(noise(both, names[1], str(device), summary))


def difference(times: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Microseconds of one step by module (rows) of two variants, the largest difference first."""
    table = times.pivot_table(index="module", columns="variant", values="us", aggfunc="sum")
    empty = pd.Series(float("nan"), index=table.index)
    both = pd.DataFrame({"first": table.get(first, empty), "second": table.get(second, empty)})
    both = both.dropna(how="all")
    both["difference"] = both["second"].fillna(0) - both["first"].fillna(0)
    return both.sort_values("difference", key=lambda values: -values.abs(), kind="stable")


def noise(both: pd.DataFrame, second: str, device: str, summary: Summary) -> str:
    """What the differences are to be held against: modules that are in both networks do the same work."""
    shared = both.drop(index=AUGMENTATION, errors="ignore").dropna(subset=["first", "second"])
    apart_us = float(shared["difference"].abs().sum())
    told = (
        f"Each is one profiled step. Modules that both have differ by {milliseconds(apart_us)} ms in all, "
        "signs aside: differences of that size are noise."
    )
    variant = next(each for each in summary.variants if each.name == second)
    for column, speed in variant.speeds.items():
        if (
            column.mode == "train"
            and column.device == device
            and speed.ratio
            and not variant.is_baseline
        ):
            found = ratio(speed.ratio.ratio, speed.ratio.low, speed.ratio.high)
            words = speed_words(speed.ratio)
            told += f" Measured in turns, {second} trains {found} as fast as {summary.baseline}"
            told += f": {words}." if words else "."
            break
    return told


def _variant(name: str, summary: Summary) -> str:
    """The variant whose network a name stands for."""
    known = {variant.name: variant.same_as or variant.name for variant in summary.variants}
    return known[find_variant(name, known)]


def _why_not(names: list[str], times: pd.DataFrame, summary: Summary) -> str:
    missing = [name for name in names if name not in set(times["variant"])]
    traces = summary.traces[
        summary.traces["variant"].isin(missing)
        & (summary.traces["path"] == "eager")
        & summary.traces["reason"].notna()
    ]
    if len(traces):
        return f"{missing[0]} has no profile by module: {traces['reason'].iloc[0]}"
    if missing:
        return (
            f"{' and '.join(missing)}: no profile by module in the database; `ablate run` takes one "
            "of every variant with a finished run"
        )
    return (
        f"{names[0]} and {names[1]} were profiled on different devices, which cannot be compared: "
        "`ablate run` on one of them takes what is missing"
    )


def _print(both: pd.DataFrame, device: str, names: list[str]) -> None:
    step = both.drop(index=AUGMENTATION, errors="ignore")
    total = step.sum()
    title = f"One training step on {device}, attention as plain modules (path eager), self time"
    table = Table(title=plain(title), title_justify="left")
    table.add_column("module", overflow="fold")
    for heading in (*(f"{name}, ms" for name in names), "difference, ms", "of the first's step"):
        table.add_column(plain(heading), justify="right")
    for module, row in both.head(MOST_MODULES).iterrows():
        table.add_row(plain(str(module)), *_cells(row, total["first"]))
    rest = both.iloc[MOST_MODULES:]
    if len(rest):
        table.add_row(f"{len(rest)} more", *_cells(rest.sum(), total["first"]))
    table.add_section()
    table.add_row("the step, without (augmentation)", *_cells(total, total["first"]))
    # Not a terminal: rich assumes 80 columns, and a log has no edge to wrap at.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_IN_A_LOG
    Console(width=width, markup=False).print(table)


def _cells(row: pd.Series, step_us: float) -> list[str]:
    times = [
        MISSING if pd.isna(row[key]) else milliseconds(row[key]) for key in ("first", "second")
    ]
    changed = milliseconds(row["difference"]).replace("-", "−")
    sign = "+" if row["difference"] > 0 else ""
    share = percent(row["difference"] / step_us, 1) if step_us else MISSING
    return [*times, sign + changed, sign + share]
