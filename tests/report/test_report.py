"""A report says what is real, what is noise and what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from support.report_frames import CBAM, H200, TWO, Page, csv_rows, make_frames, page, value, written

from ablate.commands.compare import told
from ablate.page import format as fmt
from ablate.report.render import render
from ablate.report.summary import summarize
from ablate.stats import words
from ablate.store.reading.frames import Frames

pytestmark = pytest.mark.usefixtures("words_alone")


def test_findings_come_first_and_say_what_they_rest_on() -> None:
    means = {"none": 0.83, "up": 0.85, "down": 0.81, "like": 0.8315}
    shown = page(make_frames(means, equivalence_margin=0.001))
    assert list(shown.sections)[1:4] == ["findings", "results", "accuracy"]
    text = shown.sections["findings"]
    assert "3 variants against the baseline none: 1 better, 1 worse, 1 undecided." in text
    assert re.search(r"up is better than none by [12]\.\d\d points", text)
    assert re.search(r"down is worse than none by [12]\.\d\d points", text)
    assert re.search(r"No difference found, like against none \(could have seen ≥ 0\.\d\d", text)
    assert re.search(
        r"95 % interval \+1\.\d\d to \+[23]\.\d\d; n = 4 against 4, image by image", text
    )
    assert re.search(r"a difference of 0\.10 points takes \d+ seeds|no number of seeds sees", text)
    assert "0.98× train images/s on NVIDIA H200 (quick)" in text
    assert "no effect" not in "".join(shown.sections.values())


def test_the_table_has_the_numbers_of_the_frames() -> None:
    frames = make_frames({"none": 0.83, "up": 0.85})
    shown = page(frames).row("up")
    mine = frames.runs.groupby("variant")["test_accuracy"].mean()
    assert value(shown, "Accuracy").startswith(f"{100 * mine['up']:.2f} ± ")
    assert value(shown, "Difference").startswith(f"{100 * (mine['up'] - mine['none']):+.2f}")
    assert value(shown, "n ") == "4"
    assert value(shown, "Verdict").startswith("better")
    assert value(shown, "Parameters") == "1,150,906"
    assert value(shown, "Attention") == "0.26 %"
    assert value(shown, "MACs") == "5.93 M"
    assert value(shown, "Train images/s") == "40,196 0.98×"


@pytest.mark.slow
def test_variants_stand_in_grid_order_and_the_baseline_is_marked() -> None:
    html = written(make_frames({"b": 0.83, "none": 0.83, "a": 0.84}))["report.html"].decode()
    shown = Page(html)
    assert [row[0] for row in shown.tables["results"][1:]] == ["b", "none baseline", "a"]
    marked = re.findall(r'<tr class="marked">\s*<th scope="row">(\w+)', html)
    assert marked[0] == "none"


@pytest.mark.slow
@pytest.mark.parametrize(("margin", "said"), [(0.005, "declared"), (None, "none is declared")])
def test_the_margin_of_equivalence_is_said(margin: float | None, said: str) -> None:
    means = {"none": 0.83, "like": 0.83}
    shown = page(make_frames(means, seeds=8, sd=0.0005, equivalence_margin=margin)).sections
    assert "like against none: equivalent within ±0.50 points." in shown["findings"]
    assert said in shown["reading"]


@pytest.mark.slow
def test_many_undecided_variants_are_told_together() -> None:
    frames = make_frames({"none": 0.83, **{f"v{i}": 0.83 for i in range(9)}}, sd=0.005)
    text = page(frames).sections["findings"]
    assert re.search(r"No difference found for [89] variants \(these runs could have seen", text)


@pytest.mark.slow
def test_a_leaked_study_claims_nothing_anywhere() -> None:
    frames = make_frames({"none": 0.8, "up": 0.9}, split="tutorial")
    files = written(frames)
    shown = Page(files["report.html"].decode())
    assert value(shown.row("up"), "Verdict") == "not claimed (test-leaked)"
    assert value(shown.row("up"), "Adjusted p") == "–"
    assert any(a.get("class") == "banner" for _, a in shown.tags)
    assert "Test-leaked" in files["report.md"].decode()
    (up,) = [r for r in csv_rows(files) if r["variant"] == "up"]
    assert up["verdict"] == "not claimed (test-leaked)"
    assert up["p_adjusted"] == up["difference_low"] == ""
    assert "not claimed (test-leaked)" in files["table.tex"].decode()
    for text in (shown.sections["findings"], files["report.md"].decode().split("##")[1]):
        assert "better" not in text
    alts = [a["aria-label"] or "" for t, a in shown.tags if t == "div" and a.get("role") == "img"]
    assert any("test (seen by the schedule)" in alt for alt in alts if "by epoch" in alt)


@pytest.mark.slow
def test_failed_and_missing_runs_are_counted_and_shown() -> None:
    frames = make_frames({"none": 0.83, "up": 0.85})
    runs = frames.runs
    runs["failure"], runs["error"] = runs["failure"].astype(object), runs["error"].astype(object)
    runs.loc[7, ["status", "failure", "error"]] = [
        "failed",
        "oom",
        "Traceback (most recent call last):\nout of memory",
    ]
    runs.loc[7, "test_accuracy"] = None
    shown = page(replace(frames, runs=runs.drop(index=[4])))
    assert "8 runs planned: 6 finished, 1 failed, 1 missing." in shown.sections["completeness"]
    assert value(shown.row("up"), "n ") == "2 1 failed, 1 missing"
    assert shown.tables["failures"][1] == ["up", "4", "oom", "out of memory"]


@pytest.mark.slow
@pytest.mark.parametrize("names", [["none", "up", "twin"], ["none", "up"]])
def test_one_network_under_two_names_is_tested_once(names: list[str]) -> None:
    frames = make_frames({"none": 0.83, "up": 0.85})
    study = {**frames.study, "variants": names, "aliases": {"twin": "up"}}
    shown = page(replace(frames, study=study))
    assert shown.tables["aliases"][1] == ["twin", "up"]
    assert "1 variant against" in shown.sections["findings"]
    assert "8 runs planned: 8 finished" in shown.sections["completeness"]
    assert "same network as up" in value(shown.row("twin"), "Variant")


@pytest.mark.slow
def test_the_baseline_has_its_own_number_of_seeds() -> None:
    shown = page(make_frames({"none": 0.83, "up": 0.85}, baseline_seeds=6))
    assert "10 runs planned: 8 finished, 0 failed, 2 missing." in shown.sections["completeness"]


@pytest.mark.slow
def test_devices_are_never_pooled() -> None:
    shown = page(make_frames({"none": 0.83, "up": 0.85}, devices=(H200, "Tesla T4")))
    speeds = [title for title in shown.tables["results"][0] if "images/s" in title]
    assert len(speeds) == 2
    said = render(make_frames({"none": 0.83, "up": 0.85}, devices=(H200, "Tesla T4")))
    caption = said["report.md"].decode().partition("| Variant")[0]
    assert f"Speed: {H200} · " in caption
    assert "Tesla T4" not in caption, "one condition"
    assert "Speed was measured under other conditions as well" in shown.sections["results"]
    assert "Measured as well: Tesla T4 · amp · batch 64 · quick" in shown.sections["cost"]
    assert len([row for row in shown.tables["cost"] if row[0].startswith("up")]) == 2


SPEEDS = ("variant", "mode", "images_per_second")


def full_protocol(frames: Frames, **changes: Any) -> Frames:
    """The frames with a full measurement beside the quick one, none's second one 0.4 % off."""
    full = frames.costs.assign(
        protocol="full", torch="2.15.0", baseline="f0", rounds=8, rounds_dropped=1, processes=4,
        baseline_ratio=[1.004 if name == "none" else 0.9 for name in frames.costs["variant"]],
        ratio_low=[0.998 if name == "none" else 0.89 for name in frames.costs["variant"]],
        ratio_high=[1.01 if name == "none" else 0.912 for name in frames.costs["variant"]],
        latency_ms=1.25, images_per_second=[
            speed if name == "none" else 0.9 * {"train": 41_000, "infer": 152_000}[mode]
            for name, mode, speed in zip(*(frames.costs[c] for c in SPEEDS), strict=True)
        ],
    )  # fmt: skip
    return replace(frames, costs=pd.concat([frames.costs, full.assign(**changes)]))


@pytest.mark.slow
def test_the_full_protocol_goes_before_the_quick_one_and_has_intervals() -> None:
    files = written(full_protocol(make_frames(TWO)))
    shown = Page(files["report.html"].decode())
    assert value(shown.row("up"), "Train images/s") == "36,900 0.90× (0.89 to 0.91)"
    assert value(shown.row("none"), "Train images/s") == "41,000"
    said = "0.90× (0.89 to 0.91) train images/s on NVIDIA H200 (full): slower"
    assert said in shown.sections["findings"]
    text = shown.sections["cost"]
    assert text.index("full · torch 2.15.0") < text.index("Measured as well")
    assert "8 of 9 rounds in 4 processes, 1 dropped because the machine drifted" in text
    assert (
        "Two measurements of the same network (none) differ by +0.4 % (95 % interval −0.2 % to "
        "+1.0 %) in training and by +0.4 % (95 % interval −0.2 % to +1.0 %) in inference"
    ) in text
    (up, _quick) = [row for row in shown.tables["cost"] if row[0].startswith("up")]
    assert up[2] == "0.900× 0.890 to 0.912, slower"
    assert up[-2] == "1.250"
    (csv_row,) = [row for row in csv_rows(files) if row["variant"] == "up"]
    assert csv_row["train_conditions"] == "NVIDIA H200 · amp · batch 64 · full · torch 2.15.0"
    assert float(csv_row["train_ratio_low"]) == pytest.approx(0.89, abs=1e-3)
    assert float(csv_row["train_ratio_detectable"]) == pytest.approx(1.0166, abs=1e-3)
    assert csv_row["train_ratio_verdict"] == "slower"
    assert "quick" in csv_row["train_conditions_2"]
    assert not any("H200" in name or "2.15" in name for name in csv_row)


MANY = {"none": 0.83, **{f"up{n}": 0.85 for n in range(6)}}


@pytest.mark.slow
def test_sentence_table_and_csv_read_one_interval() -> None:
    """Six variants at once: what one alone would be called slower is undecided among them."""
    apart = {"ratio_low": 0.84, "ratio_high": 0.964, "baseline_ratio": 0.9}
    alone = full_protocol(make_frames(TWO), **apart)
    assert "(full): slower" in page(alone).sections["findings"]
    files = written(full_protocol(make_frames(MANY), **apart))
    shown = Page(files["report.html"].decode())
    cells = next(row for row in shown.tables["cost"] if row[0].startswith("up0"))
    found = re.fullmatch(r"0.900× (0.\d+) to (1.\d+), could have seen ≥ 19 %", cells[2])
    assert found, cells[2]
    low, high = map(float, found.groups())
    said = (
        f"0.90× ({low:.2f} to {high:.2f}) train images/s on NVIDIA H200 (full): no difference in "
    )
    assert f"{said}speed found (could have seen ≥ 19 %)" in shown.sections["findings"]
    (row,) = [row for row in csv_rows(files) if row["variant"] == "up0"]
    assert float(row["train_ratio_high"]) == pytest.approx(high, abs=1e-3)
    assert row["train_ratio_verdict"] == "undecided"


@pytest.mark.slow
def test_an_interval_within_one_process_says_so_and_decides_nothing() -> None:
    shown = page(full_protocol(make_frames(TWO), processes=None))
    text = shown.sections["cost"]
    assert "Intervals over the rounds of one process say nothing about the next one." in text
    assert "8 of 9 rounds in 1 process" in text
    (up, _quick) = [row for row in shown.tables["cost"] if row[0].startswith("up")]
    assert up[2] == "0.900× 0.890 to 0.912, one process"
    said = (
        "0.90× (0.89 to 0.91) train images/s on NVIDIA H200 (full): over the rounds of one process"
    )
    assert said in shown.sections["findings"]


def test_two_variants_are_divided_by_one_another_and_not_by_the_baseline() -> None:
    """A ratio to the baseline was said of any pair."""
    frames = full_protocol(make_frames({"none": 0.83, "a": 0.85, "b": 0.85}))
    names = frames.costs["variant"]
    ratios = names.map({"none": 1.004, "a": 0.9, "b": 0.45})
    speeds = ratios.where(ratios < 1, 1) * frames.costs["mode"].map({"train": 41e3, "infer": 152e3})
    costs = frames.costs.assign(baseline_ratio=ratios, images_per_second=speeds)
    summary = summarize(replace(frames, costs=costs))
    text = "\n".join(told(summary, "a", "b"))
    assert "0.50× train images/s on NVIDIA H200 (full);" in text
    assert "0.45× (" in "\n".join(told(summary, "none", "b"))


@pytest.mark.slow
def test_no_interval_where_too_few_processes_count() -> None:
    nothing = {"ratio_low": None, "ratio_high": None, "rounds": 3, "rounds_dropped": 6}
    nothing |= {"processes": 2}
    shown = page(full_protocol(make_frames(TWO), **nothing))
    assert value(shown.row("up"), "Train images/s") == "36,900 0.90×"
    assert "+0.4 % (too few processes for an interval)" in shown.sections["cost"]
    assert "0.900× no interval" in [
        cell for row in shown.tables["cost"] for cell in row if cell.startswith("0.9")
    ]


@pytest.mark.slow
def test_a_ratio_to_another_baseline_is_not_shown_as_one_to_this() -> None:
    shown = page(full_protocol(make_frames(TWO), baseline="f7"))
    assert value(shown.row("up"), "Train images/s") == "36,900 0.90×", "of the two speeds"
    assert "The noise floor was not measured." in shown.sections["cost"]


def without(frames: Frames, *names: str) -> Frames:
    empty: dict[str, Any] = {name: pd.DataFrame() for name in names}
    return replace(frames, **empty)


def only(frames: Frames, *variants: str) -> Frames:
    """The frames in which the runs of these variants alone have finished."""
    runs = frames.runs.copy()
    runs.loc[~runs["variant"].isin(variants), ["status", "test_accuracy"]] = ["planned", None]
    return replace(frames, runs=runs)


def all_failed(frames: Frames) -> Frames:
    runs = frames.runs.assign(status="failed", failure="error", error="boom", test_accuracy=None)
    return replace(frames, runs=runs)


GAPS: dict[str, tuple[Callable[[], Frames], str, str]] = {
    "no costs": (lambda: without(make_frames(TWO), "costs"), "cost", "No speed was measured"),
    "no profile": (lambda: without(make_frames(TWO), "profile"), "profile", "No profile was taken"),
    "no history": (
        lambda: without(make_frames(TWO), "epochs", "steps"), "training", "training history"),
    "no layers": (lambda: without(make_frames(TWO), "layers"), "layers", "not known yet"),
    "no environment": (
        lambda: replace(make_frames(TWO), environments=[]), "environment", "No environment"),
    "nothing finished": (lambda: only(make_frames(TWO)), "findings", "No run has finished"),
    "all failed": (lambda: all_failed(make_frames(TWO)), "findings", "No run has finished"),
    "no baseline": (
        lambda: only(make_frames(TWO), "up"), "findings", "the baseline none has no finished run"),
    "one seed": (lambda: make_frames(TWO, seeds=1), "findings", "Nothing to test in"),
    "one variant": (lambda: make_frames({"none": 0.83}), "findings", "nothing to compare"),
    "no rows at all": (
        lambda: without(make_frames(TWO), "runs", "epochs", "steps", "costs", "profile", "layers"),
        "findings", "No run has finished"),
}  # fmt: skip


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.slow
def test_what_is_missing_is_said(gap: str) -> None:
    frames, section, says = GAPS[gap]
    files = render(frames())
    shown = Page(files["report.html"].decode())
    assert not shown.open
    assert says in shown.sections[section]
    assert says in files["report.md"].decode()
    assert [row[0].split()[0] for row in shown.tables["results"][1:]] == frames().study["variants"]
    assert len(csv_rows(files)) == len(frames().study["variants"])


@pytest.mark.slow
def test_one_seed_shows_no_spread() -> None:
    shown = page(make_frames(TWO, seeds=1)).row("up")
    assert "±" not in value(shown, "Accuracy")
    assert "another seed" in value(shown, "Verdict")


@pytest.mark.slow
def test_the_heat_map_needs_a_grid_of_two_by_two() -> None:
    whole = written(make_frames({"none": 0.83, **dict.fromkeys(CBAM, 0.84)}))
    row = written(make_frames({"none": 0.83, **dict.fromkeys(list(CBAM)[:2], 0.84)}))
    assert "figures/heat-map.png" in whole
    assert "figures/heat-map.png" not in row


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fmt.percent(0.83214), "83.21 %"),
        (words.points(0.0042), "+0.42"),
        (words.points(-0.0042), "−0.42"),
        (words.points(-0.00001), "0.00"),
        (fmt.p_value(0.0004), "< 0.001"),
        (fmt.p_value(0.0314), "0.031"),
        (fmt.p_value(0.4567), "0.46"),
        (fmt.p_equation(0.0004), "p < 0.001"),
        (fmt.count(1_150_896), "1,150,896"),
        (fmt.macs(7_000_000), "7.00 M"),
        (fmt.macs(4_110_000_000), "4.11 G"),
        (fmt.macs(12), "12"),
        (fmt.speed(41_234.6), "41,235"),
        (fmt.speed(12.345), "12.3"),
        (fmt.change(1.0042), "+0.4 %"),
        (fmt.change(0.9), "−10.0 %"),
        (fmt.change(0.9999), "0.0 %"),
        (fmt.ratio(0.934, 0.92, 0.95), "0.93× (0.92 to 0.95)"),
        (fmt.ratio(0.934), "0.93×"),
        (fmt.value(["crop", "flip"]), "crop, flip"),
        (fmt.value(None), "–"),
        (fmt.value(True), "yes"),
        (fmt.short("first\nsecond", 20), "first"),
        (fmt.short("abcdef", 4), "abc…"),
    ],
)
def test_how_numbers_look(shown: str, expected: str) -> None:
    assert shown == expected
