"""Files of results as values: nothing is guessed, and whatever is wrong has its row and column."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import message
from pyarrow.parquet import write_table

from ablate.elsewhere.read import read_results, refuse_numbered_by_accuracy
from ablate.elsewhere.sheets import opened
from ablate.elsewhere.values import GivenResults
from ablate.errors import AblateError, DataError
from ablate.result.image_results import unpack_bits
from ablate.result.predictions import unpack_labels, unpack_predictions

RUNS = "variant,seed,test_accuracy\n"
IMAGES = "variant,seed,image,label,predicted\n"


def read(folder: Path, content: str | bytes, name: str = "r.csv", **how: bool) -> GivenResults:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with opened(path) as given:
        return read_results(given, **how)


def refused(folder: Path, content: str | bytes, **how: bool) -> str:
    return message((DataError, AblateError), lambda: read(folder, content, **how))


def accuracies(found: GivenResults) -> list[float | None]:
    return [run.test_accuracy for run in found.runs]


# ── a row for each run ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (RUNS + "none,1,0.931\nse,1,0.94\n", {}),
        ("\ufeff" + RUNS + "none,1,0.931\r\nse,1,0.94\r\n", {}),
        ("Variant ; RUN ; accuracy\nnone;1;0,931\nse;1;0,94\n\n", {}),
        ("accuracy\trepeat\tvariant\n93.1%\t1\tnone\n94 %\t1\tse\n", {}),
        (RUNS + "none,1.0,93.1\nse,1,94\n", {"percent": True}),
        ('"variant","seed","test_accuracy"\n"none","1","0.931"\n"se","1","0.94",\n', {}),
    ],
)
def test_one_way_of_writing_is_as_good_as_another(
    content: str, how: dict[str, bool], tmp_path: Path
) -> None:
    found = read(tmp_path, content, **how)
    assert [(r.variant, r.seed, r.row) for r in found.runs] == [("none", 1, 2), ("se", 1, 3)]
    assert accuracies(found) == [0.931, 0.94]
    assert {r.parameters for r in found.runs} == {None}


def test_other_formats_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"variant": "none", "seed": 1, "accuracy": 0.931, "epochs": 50},
        {"variant": "se", "seed": 1, "accuracy": 0.94, "epochs": None},
    ]
    write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name, content in (
        ("r.jsonl", lines.encode()),
        ("r.parquet", (tmp_path / "r.parquet").read_bytes()),
    ):
        found = read(tmp_path, content, name)
        assert accuracies(found) == [0.931, 0.94]
        assert [run.epochs for run in found.runs] == [50, None]


def test_what_is_known_beside_accuracy(tmp_path: Path) -> None:
    head = "variant,seed,accuracy,val_accuracy,epochs,seconds,parameters,macs,macro_f1,val_auroc,lr"
    found = read(tmp_path, f"{head}\nnone,0,0.9,0.91,50,12.5,1000,2000,0.8,0.99,0.1\n")
    (run,) = found.runs
    assert (run.val_accuracy, run.epochs, run.seconds) == (0.91, 50, 12.5)
    assert (run.parameters, run.macs) == (1000, 2000)
    scores = {(score.split, score.metric): score.value for score in run.scores}
    assert scores == {
        ("test", "accuracy"): 0.9, ("validation", "accuracy"): 0.91, ("test", "macro_f1"): 0.8,
        ("validation", "auroc"): 0.99,
    }  # fmt: skip
    assert found.notes == ("columns that are not used: lr",)


def test_a_failed_run_is_one_that_a_column_says_so_of(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "variant,seed,accuracy,status,failure\nnone,1,0.9,finished,\nnone,2,,crashed,CUDA OOM\n"
        "none,3,nan,,diverged\nnone,4,0.1,failed,\n",
    )
    assert [run.failure for run in found.runs] == [None, "CUDA OOM", "diverged", "failed"]
    assert accuracies(found) == [0.9, None, None, None]
    assert "1 failed runs have an accuracy, which is not used" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "r.csv: is empty: its first row names the columns"),
        (RUNS, "has no row below"),
        ("variant,seed,acuracy\nnone,1,0.9\n", "has no column test_accuracy (did you mean 'acuracy'?)"),
        ("variant,test_accuracy\nnone,0.9\n", "has no column seed"),
        ("variant,seed,image,label\nnone,1,a,b\n", "has no column predicted"),
        ("variant,seed,accuracy,test_accuracy\nn,1,0.9,0.9\n", "has test_accuracy and accuracy"),
        ("variant,seed,seed,accuracy\nn,1,1,0.9\n", "has the column seed twice"),
        (RUNS + "none,1,0.9\nnone,2,\n", "row 3, column test_accuracy: is empty: a finished run"),
        (RUNS + "none,1,92.8\n", "row 2, column test_accuracy: 92.8 is above 1"),
        (RUNS + "none,1,92.8%\nnone,2,0.9\n", "row 3, column test_accuracy: is without % and row 2"),
        (RUNS + "none,1,-0.1\n", "-0.1 is not from 0 to 100 %"),
        (RUNS + "none,1,104%\n", "104% is not from 0 to 100 %"),
        (RUNS + "none,1,inf\n", "inf is no number"),
        (RUNS + 'none,1,"0,9"\n', "0,9 is no number"),
        (RUNS + "none,one,0.9\n", "row 2, column seed: one is no whole number"),
        (RUNS + "none,1.5,0.9\n", "row 2, column seed: 1.5 is no whole number"),
        (RUNS + "none,-1,0.9\n", "row 2, column seed: -1 is no whole number"),
        (RUNS + "none,3000000000,0.9\n", "column seed: 3000000000 is no whole number"),
        (RUNS + f"none,1,0.9\nse,{'9' * 5000},0.9\n", "row 3, column seed: 999"),
        (RUNS + f"se,{'0' * 5000}3.5,0.9\n", "row 2, column seed: 000"),
        (RUNS + ",1,0.9\n", "row 2, column variant: is empty"),
        (RUNS + "none,1,0.9\nnone,1.0,0.8\n", "rows 2 and 3 are both variant none, seed 1"),
        (RUNS + "none,1\n", "row 2: has 2 cells, and the first row names 3 columns"),
        (RUNS + "none,1,0.9,x\n", "row 2: has 4 cells"),
        (RUNS + 'none,1,"0.9\n', "row 2: is no CSV"),
        (b"variant,seed,test_accuracy\nn\xff,1,0.9\n", "is not UTF-8 text"),
        ("variant,seed,accuracy,status\nn,1,0.9,odd\n", "row 2, column status: odd is neither"),
        ("variant,seed,accuracy,status,failure\nn,1,0.9,ok,oom\n", "oom, and its status is ok"),
        ("variant,seed,accuracy,macs\nn,1,0.9,5\nn,2,0.9,6\n", "row 3, column macs: 6, and row 2"),
        ("variant,seed,accuracy,epochs\nn,1,0.9,0\n", "row 2, column epochs: 0 is no whole number"),
        ("variant,seed,accuracy,log_loss\nn,1,0.9,-1\n", "row 2, column log_loss: -1 is below 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(
    content: str | bytes, said: str, tmp_path: Path
) -> None:
    assert said in refused(tmp_path, content)


def test_whole_numbers_may_have_zeros_before_and_behind(tmp_path: Path) -> None:
    found = read(tmp_path, RUNS + f"none,{'0' * 5000}3,0.9\nnone,4.000,0.9\n")
    assert [run.seed for run in found.runs] == [3, 4]


def test_json_with_more_digits_than_python_reads_says_its_row_and_column(tmp_path: Path) -> None:
    row = '{"variant": "n", "seed": SEED, "accuracy": 0.9}\n'
    content = row.replace("SEED", "1") + row.replace("SEED", "9" * 5000)
    said = message(DataError, lambda: read(tmp_path, content, "r.jsonl"))
    assert "row 2, column seed: 999" in said
    assert "is no whole number from 0" in said


def test_fractions_are_no_percent(tmp_path: Path) -> None:
    said = refused(tmp_path, RUNS + "none,1,0.931\nse,1,0.94\n", percent=True)
    assert "with --percent no value is above 1 %" in said


# ── a row for each image ──────────────────────────────────────────────────────────────────────────


def test_accuracy_and_bits_follow_from_predictions(tmp_path: Path) -> None:
    """Whatever the order of the rows: images stand by their number."""
    rows = [
        "se,7,10,dog,dog", "se,7,2,cat,dog", "none,1,2,cat,cat", "none,1,10,dog,cat", "none,1,1,cat,cat",
        "se,7,1,cat,fox",
    ]  # fmt: skip
    found = read(tmp_path, IMAGES + "\n".join(rows) + "\n")
    assert found.images is not None
    assert (found.images.count, found.images.classes) == (3, ("cat", "dog", "fox"))
    assert unpack_labels(found.images.labels).tolist() == [0, 0, 1]
    bits = {run.name: unpack_bits(run.correct or b"", 3).tolist() for run in found.runs}
    assert bits == {
        "variant se, seed 7": [False, False, True], "variant none, seed 1": [True, True, False],
    }  # fmt: skip
    assert accuracies(found) == [1 / 3, 2 / 3]
    scores = {(s.metric, s.class_name): s.value for s in found.runs[1].scores}
    assert scores["balanced_accuracy", None] == 0.5
    assert scores["recall", "cat"] == 1.0


def test_a_probability_that_nobody_gave_is_not_known(tmp_path: Path) -> None:
    head = IMAGES.replace("predicted", "predicted,probability")
    found = read(tmp_path, head + "none,1,a,0,0,0.5\nnone,1,b,1,0,\n")
    said = unpack_predictions(found.runs[0].predictions or b"")
    assert said.probability.round(4).tolist() == [0.5, 0.0]
    assert "column probability: 0 is not above 0" in refused(tmp_path, head + "n,1,a,0,0,0\n")


def test_a_column_of_classes_that_has_become_one_of_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, IMAGES + "none,1,a,3,3.0\nnone,1,b,4,3.0\n")
    assert accuracies(found) == [0.5]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["n,1,a,0,0", "n,1,b,1,1", "s,1,a,0,0"], "variant s, seed 1 has no row for image b, which row 3"),
        (["n,1,a,0,0", "n,1,a,0,1"], "rows 2 and 3 are both image a of variant n, seed 1"),
        (["n,1,a,0,0", "s,1,a,1,0"], "row 3, column label: image a is 1 here and 0 in row 2"),
        (["n,1,a,0,"], "row 2, column predicted: is empty"),
        (["n,1,,0,0"], "row 2, column image: is empty"),
        (["n,1,a,cat,0", "n,1,b,dog,1"], "no predicted class is among the labels (label cat"),
    ],
)  # fmt: skip
def test_all_runs_have_the_same_images_and_labels(
    rows: list[str], said: str, tmp_path: Path
) -> None:
    assert said in refused(tmp_path, IMAGES + "\n".join(rows) + "\n")


def test_percent_is_of_no_use_there(tmp_path: Path) -> None:
    assert "--percent" in refused(tmp_path, IMAGES + "n,1,a,0,0\n", percent=True)


def test_runs_that_are_numbered_by_their_accuracy_are_not_paired(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = {name: rng.normal(0.9, 0.01, 8).round(4) for name in ("none", "se")}
    text = {
        order: RUNS + "".join(
            f"{name},{seed},{value}\n"
            for name, values in drawn.items()
            for seed, value in enumerate(np.sort(values)[::order] if order else values, 1)
        )
        for order in (0, 1, -1)
    }  # fmt: skip
    refuse_numbered_by_accuracy(read(tmp_path, text[0]))
    for order in (1, -1):
        said = message(
            AblateError, lambda o=order: refuse_numbered_by_accuracy(read(tmp_path, text[o]))
        )
        assert "the accuracy goes with the seed" in said
