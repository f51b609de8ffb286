"""One speed and one ratio: in every row the ratio is that of the speeds beside it, or it says why not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from support.report_frames import make_frames

from ablate.commands.compare import told
from ablate.commands.profile import in_turns
from ablate.measure.probe import Reading
from ablate.measure.timings import Entrant, Timings, costs_of
from ablate.page.document import Table
from ablate.page.format import ratio as as_ratio
from ablate.report.cost.tables import cost_tables
from ablate.report.files.export import variants_csv
from ablate.report.results import results_table
from ablate.report.summary import Summary, speed_ratio, summarize
from ablate.result import Cost

NAMES = {"none": 0.83, "up": 0.85, "down": 0.81}
WHY = "in turns with the baseline; the speeds by themselves give"


def measured(*, medians: bool = False) -> Summary:
    """Three networks in four processes on a machine that drifts, rounds skewed; as an earlier version
    stored them with `medians`.
    """
    rng, parts = np.random.default_rng(5), []
    for keeps in (1.0, 0.7, 1.2, 1.1):
        base = 48 * keeps * rng.lognormal(0, 0.3, 4)
        speeds = [base, base * rng.lognormal(0.2, 0.4, 4), base * rng.lognormal(-0.1, 0.1, 4), base]
        entrants = [
            Entrant(f, {"train": s.tolist(), "infer": (3 * s).tolist()}, [1.0] * 4, None)
            for f, s in zip(("f0", "f1", "f2", "f0"), speeds, strict=True)
        ]
        steady = [Reading(1.0, 1.0)] * 4
        parts.append(Timings("m", "fp32", 64, True, entrants, steady, [None] * 4, 2.0))
    costs = costs_of(parts, "f0", "full")
    if medians:
        costs = [_with_median(cost, parts) for cost in costs]
    names = dict(zip(("f0", "f1", "f2"), NAMES, strict=True))
    rows = [{**asdict(c), "variant": names[c.fingerprint], "torch": "2"} for c in costs]
    return summarize(replace(make_frames(NAMES), costs=pd.DataFrame(rows)))


def _with_median(cost: Cost, parts: list[Timings]) -> Cost:
    number = int(cost.fingerprint[1])
    speeds = [s for part in parts for s in part.entrants[number].speeds[cost.mode]]
    return replace(cost, images_per_second=float(np.median(speeds)))


def printed(table: Table) -> Iterator[tuple[str, str, str, str]]:
    """Of each row and speed column of a table: speed, the baseline's speed, the ratio, and all notes."""
    at = [i for i, column in enumerate(table.columns) if column.title.endswith("images/s")]
    base = table.rows[0].cells
    for row in table.rows[1:]:
        for i in at:
            beside = row.cells[i + 1] if "p10" in table.columns[i].note else row.cells[i]
            notes = f"{beside.text} {beside.note}"
            yield row.cells[i].text, base[i].text, re.findall(r"([\d.]+)×", notes)[0], notes


def quotient_of(speed: str, base: str) -> tuple[float, float]:
    """Between what the quotient of two printed numbers lies."""
    values = [(float(s), 0.5 * 10.0 ** -len(s.partition(".")[2])) for s in (speed, base)]
    (own, step), (other, least) = values
    return (own - step) / (other + least), (own + step) / (other - least)


@pytest.mark.parametrize("medians", [False, True])
def test_every_printed_ratio_is_that_of_the_speeds_beside_it_or_says_why(medians: bool) -> None:
    summary = measured(medians=medians)
    found = [row for t in (results_table(summary), *cost_tables(summary)) for row in printed(t)]
    assert len(found) == 8
    for speed, base, ratio, notes in found:
        low, high = quotient_of(speed, base)
        step = 0.5 * 10.0 ** -len(ratio.partition(".")[2])
        agrees = low - step <= float(ratio) <= high + step
        assert agrees or WHY in notes, (speed, base, notes)
        assert medians or WHY not in notes
    assert any(WHY in notes for *_, notes in found) is medians


def test_table_compare_profile_and_csv_say_one_ratio() -> None:
    summary = measured()
    by_name = {v.name: v for v in summary.variants}
    column = next(c for c in summary.main_columns if c.mode == "train")
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(variants_csv(summary)))}
    for name in ("up", "down"):
        one = speed_ratio(by_name[name], by_name["none"], column)
        assert one is not None
        text = as_ratio(one.ratio, one.low, one.high)
        cells = next(r for r in results_table(summary).rows if r.cells[0].text == name).cells
        assert text in [cell.note for cell in cells]
        assert f"{text} train images/s" in " ".join(told(summary, "none", name))
        assert f"{name} trains {text} as fast as none" in in_turns("none", name, "m", summary)
        assert float(rows[name]["train_ratio"]) == one.ratio
        speeds = [float(rows[n]["train_images_per_second"]) for n in (name, "none")]
        assert speeds[0] / speeds[1] == pytest.approx(one.ratio)


def test_the_baseline_against_a_variant_is_the_other_way_round() -> None:
    """Its own ratio is that of its twin, the noise floor: it stands for nothing else."""
    summary = measured()
    none, up = (next(v for v in summary.variants if v.name == n) for n in ("none", "up"))
    for column in summary.main_columns:
        there, back = speed_ratio(up, none, column), speed_ratio(none, up, column)
        assert there is not None
        assert back is not None
        assert there.ratio * back.ratio == pytest.approx(1)
        assert (back.low, back.high) == (1 / there.high, 1 / there.low)  # type: ignore[operator]
        assert {there.verdict, back.verdict} in ({"faster", "slower"}, {"undecided"}, {"as fast"})
