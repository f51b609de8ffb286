"""`make calibrate`: one call runs everything, stops for nothing, and says what came out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.stats import Verdict, effects
from benchmarks import calibrate, other_worlds
from benchmarks.calibrate import PARTS, Part, Result, exit_code
from benchmarks.calibrate_throughput import main as calibrate_throughput

ROOT = Path(__file__).parents[2]


def result(code: int, *, short: bool = False) -> Result:
    return Result(PARTS[0], "a table\n", code, 1.0, short)


def test_every_calibration_is_a_part() -> None:
    there = {path.stem for path in (ROOT / "benchmarks").glob("calibrate_*.py")}
    assert there | {"other_worlds"} == {part.module for part in PARTS}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.module)
def test_each_part_has_the_option_that_shortens_it(part: Part) -> None:
    source = (ROOT / "benchmarks" / f"{part.module}.py").read_text(encoding="utf-8")
    for option in (part.option, *(word for word in part.short if word.startswith("--"))):
        assert re.search(rf'add_argument\(\s*"{option}"', source)
    assert part.command(1.0)[1:] == [part.option, str(part.full)]
    assert part.command(1e-6)[1:3] == [part.option, str(part.fewest)]


def test_a_bar_that_is_missed_counts_where_it_decides_something() -> None:
    assert exit_code([result(0), result(1)]) == 1
    assert exit_code([result(1, short=True)]) == 0
    assert exit_code([result(0), result(-9, short=True)]) == 2
    assert (result(1).told, result(1, short=True).told) == (
        "calibrate_verdicts: DOES NOT HOLD, in 1 s",
        "calibrate_verdicts: runs, in 1 s",
    )


def test_all_parts_run_whatever_became_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = iter([1, *[0] * len(PARTS)])
    monkeypatch.setattr(
        calibrate,
        "run",
        lambda part, _: Result(part, f"of {part.module}", next(ended), 60.0, False),
    )
    assert calibrate.main([]) == 1
    said = capsys.readouterr().out
    assert re.search(r"… 2 of 10: .*, about .* left in all", said)
    assert all(f"of {part.module}" in said for part in PARTS)
    assert "calibrate_verdicts: DOES NOT HOLD" in said.splitlines()[-1]


def test_a_bent_world_says_which_verdicts_are_false() -> None:
    world, _ = other_worlds.ROWS["90 %, half at 30 %"]
    assert not world.is_false(1, Verdict.WORSE), "it is"
    assert world.is_false(1, Verdict.BETTER)
    assert world.is_false(2, Verdict.WORSE), "as good as the baseline"
    assert not world.is_false(2, Verdict.UNDECIDED)
    found = effects(replace(world, seeds=3).study(np.random.default_rng(1)), "0")
    assert found["1"].verdict is Verdict.WORSE
    assert found["1"].difference == pytest.approx(-0.6, abs=0.05)


@pytest.mark.parametrize("name", [name for name in other_worlds.ROWS if "10,000" not in name])
def test_verdicts_hold_where_their_assumptions_are_bent(name: str) -> None:
    """The short form: 30 studies, in which 12 % may be seen as often as six times."""
    world, seeds = other_worlds.ROWS[name]
    small = replace(world, seeds=min(seeds), arms=min(world.arms, 6), images=min(world.images, 600))
    assert other_worlds.count(small, 2, range(30))[0] <= 6


@pytest.mark.slow
def test_one_network_against_itself_is_measured_in_processes_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The short form of the A/A of throughput: intervals over three processes, and how many hold."""
    short = ["--repeats", "1", "--processes", "3", "--rounds", "1", "--block-seconds", "0.02"]
    assert calibrate_throughput(["--device", "cpu", *short]) in (0, 1)
    said = capsys.readouterr().out
    assert len(re.findall(r"twin \d\.\d{4}× \(\d+\.\d{4} to \d+\.\d{4}\)", said)) == 2
    assert re.search(r"\d of 2 intervals contain 1.00", said)
