"""Folds from the command line: what is trained, what is refused, and the walk of docs/data.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Shell, rows_of, run_events
from PIL import Image
from support.layout_sources import (
    encoded,
    files,
    parquet_file,
    write,
    zipped,
)

from ablate.datasets import open_dataset
from ablate.job import Cohort, Run
from ablate.plan import make_plan
from ablate.result import Finished
from ablate.study import DataTable
from ablate.study.file import parse_study

STUDY = """
name = "folds"
dataset = "digits"
image_size = 8
backbone = "cbam_cnn(width=0.125)"
seeds = 1
[recipe]
epochs = 1
[data]
folds = 3
[[grid]]
attention = "none"
[[grid]]
attention = "se"
position = "pool1"
reduction = 4
"""
DB = "sqlite:///results.db"
SE = "se(pool1, r=4)"
TRAIN = ("--db", DB, "--no-measure", "--no-probe", "--executor", "inprocess")


@pytest.fixture
def study(shell: Shell) -> str:
    (shell.folder / "folds.toml").write_text(STUDY)
    return "folds.toml"


def done(shell: Shell) -> list[tuple[str, int, int]]:
    url = f"sqlite:///{shell.folder / 'results.db'}"
    query = "SELECT variant, seed, fold, status, attempts FROM v_runs ORDER BY ordinal"
    rows = rows_of(url, query)
    assert all(attempts == (status == "finished") for *_, status, attempts in rows)
    return [(name, seed, fold) for name, seed, fold, status, _ in rows if status == "finished"]


@pytest.mark.slow
def test_what_was_cut_short_goes_on_with_the_missing_folds(shell: Shell, study: str) -> None:
    every = [(name, 1, fold) for fold in (1, 2, 3) for name in ("none", SE)]
    code, out, _ = shell("plan", study, "--db", DB, "--no-probe")
    assert code == 0
    assert "3 folds of 1,198/599 images, each image tested once" in out
    assert "6 cells (3 folds of each seed, each image tested once)" in out
    code, _, errors = shell("run", study, *TRAIN, "--max-runs", "3")
    assert code == 0, errors
    assert done(shell) == every[:3]
    code, _, errors = shell("run", study, *TRAIN)
    assert code == 0, errors
    assert done(shell) == every, "each once: nothing was trained twice"
    code, out, _ = shell("compare", "none", SE, "--study", study, "--db", DB)
    assert code == 0
    assert "McNemar" in out, "of 1,797 images, all folds of the one seed"
    code, out, _ = shell("plan", study, "--db", DB, "--no-probe", "--format", "json")
    assert {cell["fold"] for cell in json.loads(out)["cells"]} == {1, 2, 3}


@pytest.mark.slow
def test_a_network_is_shown_what_its_fold_tests(shell: Shell, study: str) -> None:
    code, _, errors = shell("run", study, *TRAIN, "--max-runs", "4")
    assert code == 0, errors
    url = f"sqlite:///{shell.folder / 'results.db'}"
    rows = rows_of(url, "SELECT fold, run_key, variant FROM v_runs")
    keys = {fold: key for fold, key, variant in rows if variant == SE}
    code, _, errors = shell("explain", keys[1], keys[2], "--study", study, "--db", DB)
    assert code == 2
    assert "folds 1, 2" in errors
    code, _, errors = shell("explain", keys[2], "--study", study, "--db", DB, "--out", "explained")
    assert code == 0, errors
    [page] = [file.read_text() for file in (shell.folder / "explained").rglob("*.html")]
    assert "seed 1, fold 2" in page
    images = open_dataset("digits", None, 8, DataTable(folds=3)).load()
    rows = images.fold(2).tested
    first = rows.start + int(np.flatnonzero(images.train_labels[rows] == 0)[0])
    assert f"test image {first}" in page
    assert rows.start <= first < rows.stop
    code, out, errors = shell("take", SE, "--study", study, "--db", DB, "--out", "net.safetensors")
    assert code == 0, errors
    fold = int(re.findall(r"seed 1, fold (\d)", out)[0])
    taken = dict[str, Any]()
    exec((shell.folder / "net.py").read_text(), taken)  # noqa: S102
    assert (taken["MEAN"], taken["STD"]) == images.statistics(images.fold(fold))
    assert taken["MEAN"] != images.mean


@pytest.mark.slow
def test_until_decided_adds_whole_seeds(shell: Shell, study: str) -> None:
    code, out, errors = shell(
        "run", study, *TRAIN, "--until-decided", "--max-seeds", "3", "--set", "data.folds=2"
    )
    assert code == 0, errors
    assert done(shell) == [
        (name, seed, fold) for seed in (1, 2, 3) for fold in (1, 2) for name in ("none", SE)
    ]
    assert "12 runs finished; a fixed plan with 3 seeds of each" in out
    code, out, errors = shell(
        "compare", "none", SE, "--study", study, "--db", DB, "--set", "data.folds=2"
    )
    assert code == 0, errors
    assert "n = 3 against 3" in out
    assert "every look" in out


def test_what_cannot_go_with_folds_is_one_line(shell: Shell, study: str) -> None:
    (shell.folder / study).write_text(
        STUDY + '[search]\ntrials = 2\nseeds = 1\n[search.parameters]\nattention = "se"\n'
        'position = "pool1"\nreduction = [2, 4]\n'
    )
    code, _, errors = shell("search", study, "--db", DB)
    assert (code, errors.count("\n")) == (2, 1)
    assert "leave data.folds out to search" in errors
    for setting, said in (
        ("data.folds=1", "data.folds: input should be greater than or equal to 2, not 1"),
        ("data.folds=175", "data.folds: input should be less than or equal to 100, not 175"),
        ("data.test_fraction=0.3", "data.test_fraction = 0.3 has nothing to hold out"),
        ("data.test=val", "data.test = 'val' names nothing to test on"),
    ):
        code, _, errors = shell("plan", study, "--db", DB, "--set", setting)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert said in errors
    cifar10 = "--set", "dataset=cifar10", "--set", "image_size=32"
    code, _, errors = shell("plan", study, "--db", DB, *cifar10)
    assert (code, errors.count("\n")) == (2, 1)
    assert "data.folds = 3 is for images that --data names" in errors
    write(shell.folder / "parts", files(train=4, test=2))
    code, _, errors = shell("plan", study, "--db", DB, "--data", "parts")
    assert (code, errors.count("\n")) == (2, 1)
    assert "says which images are test, train" in errors
    assert not (shell.folder / "results.db").exists(), "nothing was written"


def sources(folder: Path) -> dict[str, Path]:
    """Twelve images of each class without parts, in the layouts that have none."""
    content = {name.removeprefix("all/"): data for name, data in files(all=12).items()}
    rows = "".join(
        f"{label}-{number:03}.png,{label},p{number // 2}\n"
        for label in ("cat", "dog")
        for number in range(12)
    )
    images = {
        f"images/{label}-{number:03}.png": encoded(100 * number, kind)
        for kind, label in enumerate(("cat", "dog"))
        for number in range(12)
    }
    table = {**images, "labels.csv": f"path,label,patient\n{rows}".encode()}
    return {
        "folder": write(folder / "folder", content),
        "zip": zipped(folder / "classes.zip", content),
        "table with groups": write(folder / "table", table),
        "parquet": parquet_file(folder / "all.parquet", 12),
    }


@pytest.mark.parametrize("layout", ["folder", "zip", "table with groups", "parquet"])
def test_a_network_is_trained_on_folds_of_each_layout_without_parts(
    layout: str, tmp_path: Path
) -> None:
    document = {
        "name": "layouts", "dataset": "images", "image_size": 8, "backbone": "cbam_cnn(width=0.125)",
        "seeds": 1, "recipe": {"epochs": 1, "batch_size": 4}, "grid": [{"attention": "none"}],
        "data": {"folds": 3, **({"group": "patient"} if layout == "table with groups" else {})},
    }  # fmt: skip
    plan = make_plan(parse_study(document, layout), sources(tmp_path)[layout])
    seen = np.zeros(24, dtype=int)
    for cell in plan.cells:
        run = Run(str(cell.run_key), cell.variant)
        cohort = Cohort(
            (run,), 1, plan.study.recipe, plan.dataset, "cpu", data=plan.study.data, fold=cell.fold
        )
        ended = run_events(cohort)[-1][1]
        assert isinstance(ended, Finished), ended
        assert ended.tested is not None
        assert ended.tested.all == 24
        seen[ended.tested.first :][: ended.tested.images] += 1
    assert (seen == 1).all(), "each image was tested once"


@pytest.mark.slow
def test_400_images_in_5_folds_as_the_page_shows(shell: Shell) -> None:
    """The three commands of docs/data.md on 400 real images, with a smaller network and one epoch."""
    page = (Path(__file__).parents[2] / "docs/data.md").read_text()
    part = page.partition("**400 images in 5 folds.**")[2]
    commands = part.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert [line.split()[1] for line in commands] == ["init", "run", "report"]
    digits = open_dataset("digits", None, 8).load()
    for label in range(10):
        for number, row in enumerate(np.flatnonzero(digits.train_labels == label)[:40]):
            file = shell.folder / f"photos/{label}/{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits.train_images[row]).save(file)
    small = {
        "init": ("--image-size", "16"),
        "run": (*TRAIN, "--set", "recipe.epochs=1", "--seeds", "1"),
        "report": ("--db", DB, "--set", "recipe.epochs=1", "--format", "json"),
    }
    for line in commands:
        _, command, *rest = line.split()
        rest = [
            "cbam_cnn(width=0.125)" if word == "torchvision:resnet18" else word for word in rest
        ]
        code, out, errors = shell(command, *rest, *small[command])
        assert code == 0, errors
        if command == "init":  # three variants of many
            file = shell.folder / "photos.toml"
            short = re.sub(r"position = \[(\"[^\"]+\").*\]", r"position = \1", file.read_text())
            file.write_text(short)
    found = json.loads(out)
    assert found["folds"] == 5
    assert (found["data"]["train_images"], found["data"]["validation_images"]) == (290, 30)
    assert (found["data"]["test_images"], found["data"]["largest_fold_images"]) == (400, 80)
    assert [effect["n"] for effect in found["effects"]] == [1, 1]
    assert len(done(shell)) == 15
    code, out, _ = shell(
        "plan", "photos.toml", "--data", "photos/", "--set", "data.folds=5", "--no-probe"
    )
    assert "5 folds of 320/80 images, each image tested once" in out
