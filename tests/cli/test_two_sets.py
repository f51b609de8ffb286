"""Two sets of images of one name, and one that was changed: every command speaks of the right one."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from conftest import Shell, rows_of
from support.picture_sets import picture_set, swap_labels, zipped_set

STUDY = """
name = "two"
dataset = "images"
backbone = "cbam_cnn(width=0.25)"
seeds = 1

[recipe]
epochs = 6
batch_size = 4
augment = []
precision = "fp32"

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = "pool3"
"""
RUN = ["--no-measure", "--device", "cpu", "--executor", "inprocess"]


class Commands:
    """The commands on the study; their output must come without an error."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        (shell.folder / "two.toml").write_text(STUDY)

    def __call__(self, command: str, data: Path | None, *more: str) -> str:
        given = [] if data is None else ["--data", str(data)]
        code, out, errors = self.shell(command, "two.toml", *given, *more)
        assert (code, errors) == (0, "")
        return out

    def refused(self, *arguments: str) -> str:
        code, _, errors = self.shell(*arguments)
        assert code == 2
        assert errors.count("\n") == 1
        return errors

    def report(self, data: Path | None) -> tuple[str, str]:
        """What it says, and the table of accuracies."""
        # Left to itself each set has a folder of its own.
        out = self("report", data, "--out", "reports/two")
        return out, (self.shell.folder / "reports/two/variants.csv").read_text()


@pytest.fixture
def ablate(shell: Shell) -> Commands:
    return Commands(shell)


def accuracies(table: str) -> list[str]:
    """The mean of each variant, in the report's CSV."""
    return [row["test_accuracy_mean"] for row in csv.DictReader(io.StringIO(table))]


def finished(out: str) -> str:
    return next(line for line in out.splitlines() if "finished in" in line)


@pytest.mark.slow
@pytest.mark.parametrize("archives", [False, True], ids=["folders", "archives"])
def test_two_sets_of_one_name(ablate: Commands, tmp_path: Path, archives: bool) -> None:
    make, name = (zipped_set, "archive.zip") if archives else (picture_set, "data")
    easy = make(tmp_path / "a" / name)
    noise = make(tmp_path / "b" / name, signal=False, seed=7)
    never = make(tmp_path / "c" / name, seed=9)
    label = name.removesuffix(".zip")
    assert "note" not in ablate("run", easy, *RUN)
    assert f"note: {label} had other images when this study was run" in ablate("plan", noise)
    assert f"note: {label} had other images when this study was run" in ablate("run", noise, *RUN)
    url = "sqlite:///results/ablation.db"
    assert rows_of(url, "SELECT COUNT(*), COUNT(DISTINCT dataset_hash) FROM v_runs") == [(4, 2)]
    said, of_easy = ablate.report(easy)
    assert f"note: this is {label} (content " in said
    assert accuracies(of_easy) == ["1.0", "1.0"]
    page = (ablate.shell.folder / "reports/two/report.md").read_text()
    assert f"{label} (content " in page
    said, of_last = ablate.report(None)
    assert accuracies(of_last) != ["1.0", "1.0"]
    assert "the last that was run; --data PATH chooses" in said
    studies = json.loads(ablate.shell("status", "--format", "json")[1])["studies"]
    assert [(s["dataset"], s["finished"]) for s in studies] == [(label, 2), (label, 2)]
    assert len({s["dataset_hash"] for s in studies}) == 2
    assert (
        len({line for line in ablate.shell("status")[1].splitlines() if f"{label} (" in line}) == 2
    )
    line = ablate.refused("report", "two.toml", "--data", str(never))
    assert f"has no runs of study 'two' on '{label}' (content " in line
    for command in (["compare", "none", "se(pool3, r=16)"], ["explain", "none"]):
        line = ablate.refused(*command, "--study", "two.toml", "--data", str(never))
        assert "has no runs of study 'two' on" in line
    assert "2 of 2 runs finished" in finished(ablate("run", easy, *RUN))


@pytest.mark.slow
def test_a_set_that_was_corrected_after_training(ablate: Commands, tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "changed")
    ablate("run", folder, *RUN)
    before = ablate.report(folder)[1]
    swap_labels(folder)
    assert "2 missing" in ablate("plan", folder)
    for command in (["report", "two.toml"], ["explain", "none", "--study", "two.toml"]):
        line = ablate.refused(*command, "--data", str(folder))
        assert "has no runs of study 'two' on" in line
        assert "it has: changed (content " in line
    assert ablate.report(None)[1] == before, "the results of the images as they were"
    ablate("run", folder, *RUN)
    assert accuracies(before) == ["1.0", "1.0"]
    assert accuracies(ablate.report(folder)[1]) == ["0.0", "0.0"], (
        "it learned the labels it was given"
    )
    swap_labels(folder)
    assert "0 missing" in ablate("plan", folder)


@pytest.mark.slow
def test_results_without_their_images_are_found_by_name(ablate: Commands, tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "data")
    ablate("run", folder, *RUN, "--max-runs", "1")
    shutil.rmtree(folder)
    said, _ = ablate.report(folder)
    assert f"note: {folder} is not here, so the data set is looked for by its name, data" in said
    line = ablate.refused("report", "two.toml", "--data", str(tmp_path / "other"))
    assert "has no runs of study 'two' on 'other'" in line
