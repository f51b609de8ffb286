"""Results from elsewhere are the same in every kind of database, and known by what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import message

from ablate.elsewhere.values import GivenImages, GivenResults, GivenRun
from ablate.errors import DatabaseError
from ablate.result.elsewhere import images_key, is_elsewhere, run_key_of
from ablate.result.metrics import Score
from ablate.result.predictions import NUMBER
from ablate.store.elsewhere.importing import Asked, Imported, import_results
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.store.reading.frames import Frames, Which, read_frames
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing.store import Store

LABELS = b"\0\0\0\1\0\1"


def run(variant: str, seed: int, said: tuple[int, ...]) -> GivenRun:
    """One on three images, of which the second and third are of the second class."""
    right = sum(a == b for a, b in zip(said, (0, 1, 1), strict=True))
    packed = b"".join(bytes((0, each, 0, 0)) for each in said)
    assert NUMBER.itemsize == 2
    bits = sum((a == b) << (7 - i) for i, (a, b) in enumerate(zip(said, (0, 1, 1), strict=True)))
    scores = (Score("test", "accuracy", right / 3),)
    return GivenRun(
        variant, seed, 2, right / 3, epochs=7, scores=scores, correct=bytes((bits,)), predictions=packed
    )  # fmt: skip


def given(*runs: GivenRun, classes: tuple[str, ...] = ("a", "b")) -> GivenResults:
    return GivenResults(runs, len(runs), GivenImages(3, LABELS, classes, "of three images"))


def put(url: str, results: GivenResults) -> Imported:
    return import_results(url, results, Asked("mine", "r.csv", "0" * 64))


def frames(url: str) -> Frames:
    found = elsewhere_of(url, "mine")
    assert found is not None
    return read_frames(url, "mine", found.setting, Which(found.dataset_hash))


def test_they_come_back_as_they_were_given(any_url: str) -> None:
    Store(any_url).close()
    runs = run("none", 0, (0, 1, 0)), run("se", 0, (0, 1, 1)), run("se", 2**31 - 1, (1, 1, 1))
    assert put(any_url, given(*runs)).changes.added == 3
    assert put(any_url, given(*runs)).changes.written is False
    found = frames(any_url)
    assert is_elsewhere(found.study)
    assert found.paired is False
    shown = found.runs[["variant", "seed", "epochs", "test_accuracy"]].to_numpy().tolist()
    assert shown == [["none", 0, 7, 2 / 3], ["se", 0, 7, 1], ["se", 2**31 - 1, 7, 2 / 3]]
    for column in ("backbone", "attention", "parameters", "macs", "device"):
        assert found.runs[column].isna().all(), column
    keys = [run_key_of(images_key("mine", ""), each.variant, each.seed) for each in runs]
    assert found.runs["run_key"].tolist() == keys
    assert found.images.classes == ("a", "b")
    assert [found.correct[key].tolist() for key in keys] == [
        [True, True, False], [True, True, True], [False, True, True],
    ]  # fmt: skip


@pytest.mark.slow
def test_a_class_that_came_later_leaves_the_others_their_numbers(any_url: str) -> None:
    Store(any_url).close()
    put(any_url, given(run("none", 1, (0, 1, 0)), run("se", 1, (0, 1, 1))))
    # A file that knows a third class, whose name comes first.
    later = GivenImages(3, b"\0\1\0\2\0\2", ("_", "a", "b"), "of three images")
    added = run("se", 2, (0, 0, 0))
    import_results(any_url, GivenResults((added,), 1, later), Asked("mine", "more.csv", "1" * 64))
    found = frames(any_url)
    assert found.images.classes == ("a", "b", "_")
    assert found.images.labels is not None
    assert found.images.labels.tolist() == [0, 1, 1]
    said = {seed: found.images.said[key].predicted.tolist() for seed, key in zip(
        found.runs["seed"], found.runs["run_key"], strict=True) if seed == 2}  # fmt: skip
    assert said == {2: [2, 2, 2]}


def merged(folder: Path, ours: GivenResults, theirs: GivenResults) -> str:
    """A database with ours, into which one with theirs was merged."""
    into, other = (f"sqlite:///{folder / name}" for name in ("ours.db", "theirs.db"))
    put(into, ours)
    import_results(other, theirs, Asked("mine", "b.csv", "1" * 64, baseline="se"))
    assert merge_databases(into, [other]).complaints == []
    return into


@pytest.mark.slow
def test_a_merge_numbers_classes_as_the_first_database_does(tmp_path: Path) -> None:
    # The other file knows a class whose name comes first: b, c are 1, 2 there.
    theirs = GivenImages(3, b"\0\1\0\2\0\2", ("_", "a", "b"), "of three images")
    said = replace(
        run("se", 1, (0, 0, 0)), predictions=b"".join(bytes((0, n, 9, 9)) for n in (1, 0, 2))
    )
    into = merged(tmp_path, given(run("none", 1, (0, 1, 0))), GivenResults((said,), 1, theirs))
    found = frames(into)
    assert found.images.classes == ("a", "b", "_")
    assert found.images.labels is not None
    assert found.images.labels.tolist() == [0, 1, 1]
    told = dict(zip(found.runs["variant"], found.runs["run_key"], strict=True))
    assert found.images.said[told["se"]].predicted.tolist() == [0, 2, 1]
    assert found.images.said[told["none"]].predicted.tolist() == [0, 1, 0]
    alone = f"sqlite:///{tmp_path / 'theirs.db'}"
    assert frames(alone).images.classes == ("_", "a", "b"), "the other is only read"
    assert merge_databases(into, [alone]).complaints == [], "the same once more is no conflict"


@pytest.mark.parametrize(
    "images",
    [
        GivenImages(3, LABELS, ("a", "b"), "of three others"),
        GivenImages(3, b"\0\0\0\0\0\0", ("a", "b"), "of three images"),
    ],
)
def test_a_merge_does_not_put_runs_on_other_images_together(
    tmp_path: Path, images: GivenImages
) -> None:
    into, other = (f"sqlite:///{tmp_path / name}" for name in ("ours.db", "theirs.db"))
    put(into, given(run("none", 1, (0, 1, 0))))
    theirs = GivenResults((run("se", 1, (0, 1, 1)),), 1, images)
    import_results(other, theirs, Asked("mine", "b.csv", "1" * 64, baseline="se"))
    said = message(DatabaseError, lambda: merge_databases(into, [other]))
    assert "theirs.db: study mine: its images or their labels are others than those of" in said
    assert "import its file under another name" in said
    assert frames(into).runs["variant"].tolist() == ["none"], "nothing was written"
