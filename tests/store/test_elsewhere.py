"""Results from elsewhere are the same in every kind of database, and known by what they say."""

from __future__ import annotations

import pytest

from ablate.elsewhere.values import GivenImages, GivenResults, GivenRun
from ablate.result.elsewhere import images_key, is_elsewhere, run_key_of
from ablate.result.metrics import Score
from ablate.result.predictions import NUMBER
from ablate.store.elsewhere.importing import Asked, Imported, import_results
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.store.reading.frames import Frames, Which, read_frames
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
