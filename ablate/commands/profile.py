"""`ablate profile`: where two variants differ in time, module by module, from stored profiles."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ablate.commands.chosen import frames_of
from ablate.errors import DatabaseError
from ablate.page.format import MISSING, milliseconds, percent, ratio
from ablate.report.cost.families import module_times
from ablate.report.findings import failed_words
from ablate.report.summary import Summary, speed_ratio, summarize
from ablate.result.cost import AUGMENTATION, OPTIMIZER
from ablate.stats.words import speed_words
from ablate.study import Study
from ablate.study.meant import find_variant
from ablate.system.messages.console import plain, say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural

WIDTH_IN_A_LOG = 140
MOST_MODULES = 40


def compare_times(first: str, second: str, study: Study, data: Path | None, url: str) -> None:
    """Print what of the difference of two variants stands above the noise, the module with the largest
    first; a table a device.

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
        floor_us = noise_us(both)
        PULSE.clear()
        _print(both, str(device), names, floor_us)
        for line in (noise(both, floor_us), in_turns(names[0], names[1], str(device), summary)):
            if line:
                say(line)


def difference(times: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Microseconds of one step by module (rows) of two variants, the largest difference first."""
    table = times.pivot_table(index="module", columns="variant", values="us", aggfunc="sum")
    empty = pd.Series(float("nan"), index=table.index)
    both = pd.DataFrame({"first": table.get(first, empty), "second": table.get(second, empty)})
    both = both.dropna(how="all")
    both["difference"] = both["second"].fillna(0) - both["first"].fillna(0)
    return both.sort_values("difference", key=lambda values: -values.abs(), kind="stable")


def noise_us(both: pd.DataFrame) -> float:
    """The largest difference of a module that does the same work in both networks; NaN without one.

    Attention is left out, which may stand at one place in two sizes, and so is the optimizer, which has its
    parameters to update.
    """
    shared = both.drop(index=[AUGMENTATION, OPTIMIZER], errors="ignore").dropna(
        subset=["first", "second"]
    )
    same = shared[["attention" not in str(module).split(".") for module in shared.index]]
    return float(same["difference"].abs().max()) if len(same) else math.nan


def above(both: pd.DataFrame, floor_us: float) -> pd.DataFrame:
    """The modules whose difference stands above the noise; all of them where it is not known."""
    if math.isnan(floor_us):
        return both
    work = both.drop(index=AUGMENTATION, errors="ignore")
    return work[work["difference"].abs() > floor_us]


def noise(both: pd.DataFrame, floor_us: float) -> str:
    """What the differences are to be held against: modules that do the same work in both networks."""
    if math.isnan(floor_us):
        return "Each is one profiled step, and nothing in both does the same work: the noise is unknown."
    found = above(both, floor_us)
    rest = len(both.drop(index=AUGMENTATION, errors="ignore")) - len(found)
    least = milliseconds(floor_us)
    if found.empty:
        return (
            f"Nothing stands above the noise: modules that do the same work in both differ by up to {least} "
            "ms in one profiled step, and nothing differs by more."
        )
    return (
        f"Modules that do the same work in both differ by up to {least} ms in one profiled step: "
        f"{plural(len(found), 'module stands', 'modules stand')} above that, the rest ({rest}) is noise."
    )


def in_turns(first: str, second: str, device: str, summary: Summary) -> str:
    """The speeds that were measured in turns, as `ablate compare` says them; empty without any."""
    base, variant = (next(v for v in summary.variants if v.name == n) for n in (first, second))
    for column in variant.speeds:
        found = speed_ratio(variant, base, column)
        if (column.mode, column.device) == ("train", device) and found is not None:
            words = speed_words(found)
            told = f"{second} trains {ratio(found.ratio, found.low, found.high)} as fast as {first}"
            return f"Measured in turns, {told}" + (f": {words}." if words else ".")
    return ""


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
        failed = {v.name: failed_words(v, summary) for v in summary.variants if v.name in missing}
        told = [f"; {name}: {why}" for name, why in failed.items() if why]
        return (
            f"{' and '.join(missing)}: no profile by module in the database; `ablate run` takes one "
            f"of every variant with a finished run{''.join(told)}"
        )
    return (
        f"{names[0]} and {names[1]} were profiled on different devices, which cannot be compared: "
        "`ablate run` on one of them takes what is missing"
    )


def _print(both: pd.DataFrame, device: str, names: list[str], floor_us: float) -> None:
    step = both.drop(index=AUGMENTATION, errors="ignore")
    total = step.sum()
    title = f"One training step on {device}, attention as plain modules (path eager), self time"
    table = Table(title=plain(title), title_justify="left")
    table.add_column("module", overflow="fold")
    for heading in (*(f"{name}, ms" for name in names), "difference, ms", "of the first's step"):
        table.add_column(plain(heading), justify="right")
    shown = above(both, floor_us).head(MOST_MODULES)
    for module, row in shown.iterrows():
        table.add_row(plain(str(module)), *_cells(row, total["first"]))
    rest = step.drop(index=shown.index, errors="ignore")
    if len(rest):
        more = "" if math.isnan(floor_us) else ", within the noise"
        if len(above(both, floor_us)) > len(shown):
            more = " more"
        table.add_row(
            plain(f"{plural(len(rest), 'module')}{more}"), *_cells(rest.sum(), total["first"])
        )
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
