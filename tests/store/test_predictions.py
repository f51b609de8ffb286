"""What each run said of each test image: stored once, read in plain SQL and in frames, on both databases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
from conftest import claim_one, rows_of
from support.real_database import change as change_file

from ablate.plan import Plan
from ablate.result import Finished
from ablate.result.predictions import Labels, pack_predictions
from ablate.store.reading.frames import Frames, Which, read_frames
from ablate.store.reading.results import Results
from ablate.store.writing.store import Store

Opener = Callable[[str], Store]
IMAGES = 301
"""More than a byte has values, and no whole number of bytes of bits."""


@pytest.fixture
def url(any_url: str) -> str:
    return any_url


@pytest.fixture
def store(url: str, plan: Plan, open_store: Opener) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


def labels_of(images: int, classes: int = 1000) -> np.ndarray:
    return np.arange(images) * 7 % classes


def result(images: int = IMAGES, seed: int = 0, *, predictions: bool = True) -> Finished:
    """A result whose predictions use every byte."""
    rng = np.random.default_rng(seed)
    labels = labels_of(images)
    predicted = np.where(rng.random(images) < 0.6, labels, rng.integers(0, 1000, images))
    right = predicted == labels
    said = pack_predictions(predicted, rng.random(images).astype(np.float32))
    finished = Finished(
        0.5, float(right.mean()), 1.8, np.packbits(right).tobytes(), 4.0, 500.0, "a machine", "fp32"
    )
    if not predictions:
        return finished
    kept = Labels(labels.astype(">u2").tobytes(), tuple(f"class {i}" for i in range(1000)))
    return replace(finished, test_predictions=said, labels=kept)


def finish(store: Store, plan: Plan, *results: Finished) -> list[str]:
    """Finish the first runs with these results; returns their keys."""
    keys = [str(cell.run_key) for cell in plan.cells]
    for each in results:
        claim = claim_one(store, keys)
        assert claim is not None
        store.finish(claim, each, {"commit": "abc"})
    return keys[: len(results)]


def change(url: str, statement: str) -> None:
    if url.startswith("sqlite:///"):
        change_file(Path(url.removeprefix("sqlite:///")), statement)
        return
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def frames_of(url: str, plan: Plan) -> Frames:
    content = str(plan.dataset.content_hash())
    return read_frames(url, plan.study.name, plan.study.setting, Which(content))


VIEW = "SELECT image, label, predicted, probability, correct FROM v_predictions"


def test_the_view_says_what_was_stored(store: Store, url: str, plan: Plan) -> None:
    given = result()
    [key] = finish(store, plan, given)
    rows = rows_of(url, f"{VIEW} WHERE run_key = '{key}' ORDER BY image")
    numbers = np.frombuffer(given.test_predictions or b"", dtype=">u2").reshape(-1, 2)
    assert [row[0] for row in rows] == list(range(IMAGES))
    assert [row[1] for row in rows] == labels_of(IMAGES).tolist()
    assert [row[2] for row in rows] == numbers[:, 0].tolist()
    assert [row[3] for row in rows] == pytest.approx((numbers[:, 1] / 65535).tolist())
    right = np.unpackbits(np.frombuffer(given.test_correct, dtype=np.uint8), count=IMAGES)
    assert [row[4] for row in rows] == right.tolist()
    assert all((row[1] == row[2]) == bool(row[4]) for row in rows)


def test_a_run_with_bits_alone_has_rows_without_a_prediction(
    store: Store, url: str, plan: Plan
) -> None:
    given = result(predictions=False)
    finish(store, plan, given)
    rows = rows_of(url, VIEW)
    assert len(rows) == IMAGES
    assert {row[1:4] for row in rows} == {(None, None, None)}
    assert sum(row[4] for row in rows) / IMAGES == given.test_accuracy


def test_labels_that_come_later_are_those_of_all(store: Store, url: str, plan: Plan) -> None:
    first, second = finish(store, plan, result(predictions=False), result(seed=1))
    told = f"SELECT COUNT(label), COUNT(predicted) FROM v_predictions WHERE run_key = '{first}'"  # noqa: S608
    assert rows_of(url, told) == [(IMAGES, 0)]
    assert rows_of(url, told.replace(first, second)) == [(IMAGES, IMAGES)]


def test_predictions_of_other_images_are_not_taken_for_those_of_these(
    store: Store, url: str, plan: Plan
) -> None:
    other = result(seed=1)
    assert other.labels is not None
    turned = Labels(other.labels.packed[::-1], other.labels.classes)
    _, second = finish(store, plan, result(), replace(other, labels=turned))
    told = f"SELECT COUNT(predicted) FROM v_predictions WHERE run_key = '{second}'"  # noqa: S608
    assert rows_of(url, told) == [(0,)]


def test_bits_of_another_number_of_images_are_left_out_and_told(
    store: Store, url: str, plan: Plan
) -> None:
    first, second = finish(store, plan, result(), result(seed=1))
    cut = "X'FFFF'" if url.startswith("sqlite") else r"'\xFFFF'"
    change(url, f"UPDATE runs SET test_correct = {cut} WHERE run_key = '{second}'")  # noqa: S608
    assert rows_of(url, "SELECT DISTINCT run_key FROM v_predictions") == [(first,)]
    images = frames_of(url, plan).images
    assert set(images.correct) == {first}
    [note] = images.notes
    assert note.startswith("1 finished run not compared image by image: stored for another number")
    assert "301 test images" in note


def test_frames_have_the_bits_of_every_run(store: Store, url: str, plan: Plan) -> None:
    given = [result(), result(seed=1, predictions=False)]
    first, second = finish(store, plan, *given)
    frames = frames_of(url, plan)
    assert set(frames.correct) == {first, second}
    for key, each in zip((first, second), given, strict=True):
        assert frames.correct[key].shape == (IMAGES,)
        assert frames.correct[key].mean() == each.test_accuracy
    assert set(frames.images.said) == {first}
    assert frames.images.labels is not None
    assert frames.images.labels.tolist() == labels_of(IMAGES).tolist()
    assert frames.images.classes[3] == "class 3"
    assert frames.images.notes == ()


def test_a_notebook_has_them_too(store: Store, url: str, plan: Plan) -> None:
    [key] = finish(store, plan, result())
    frame = Results(url).predictions
    assert list(frame["run_key"].unique()) == [key]
    assert list(frame["image"]) == list(range(IMAGES))


def test_one_run_of_ten_thousand_images_is_read_in_a_moment(
    store: Store, url: str, plan: Plan
) -> None:
    """It takes 0.05 s; what fetches the whole value for each byte takes seconds."""
    keys = finish(store, plan, *(result(10_000, seed) for seed in range(3)))
    started = time.perf_counter()
    rows = rows_of(url, f"{VIEW} WHERE run_key = '{keys[1]}'")
    assert len(rows) == 10_000
    assert time.perf_counter() - started < 1.0


def test_pictures_are_kept_once(store: Store, plan: Plan) -> None:
    content = str(plan.dataset.content_hash())
    store.pictures.add(content, 32, {3: b"a", 7: b"b"})
    store.pictures.add(content, 32, {7: b"other", 9: b"c"})
    store.pictures.add(content, 16, {1: b"d"})
    assert store.pictures.stored(content, 32) == {3, 7, 9}
    assert store.pictures.stored("elsewhere", 32) == set()


def test_of_more_predictions_than_fit_into_memory_those_of_the_first_seeds_are_read(
    store: Store, url: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = finish(store, plan, *(result() for _ in plan.cells))
    seeds = {str(cell.run_key): cell.seed for cell in plan.cells}
    monkeypatch.setattr("ablate.store.reading.image_results.MOST_SAID_BYTES", 1)
    images = frames_of(url, plan).images
    assert set(images.correct) == set(keys), "what was right is known of all"
    assert {seeds[key] for key in images.said} == {1}
    assert max(seeds.values()) > 1
    assert "seeds 1 to 1" in images.notes[0]
