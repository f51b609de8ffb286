"""The pictures of test images that a report shows are stored when a study's runs end, and once."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Shell, small_plan
from PIL import Image
from rich.console import Console

from ablate.datasets import open_dataset
from ablate.datasets.base import read_images
from ablate.drive import pictures
from ablate.drive.pictures import keep_pictures
from ablate.errors import DataError
from ablate.result import Finished
from ablate.result.predictions import pack_labels, pack_predictions
from ablate.store.writing.store import Store

IMAGES = 359


def finished(seed: int) -> Finished:
    images = read_images(open_dataset("digits", None, 32))
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(IMAGES) < 0.9, images.test_labels, 0)
    right = predicted == images.test_labels
    said = pack_predictions(predicted, np.full(IMAGES, 0.5, np.float32))
    return Finished(
        0.5, float(right.mean()), 1.0, np.packbits(right).tobytes(), 1.0, 9.0, "a machine", "fp32",
        test_predictions=said, labels=pack_labels(images.test_labels, images.classes),
    )  # fmt: skip


@pytest.fixture
def store(url: str) -> Store:
    made = Store(url)
    plan = small_plan()
    made.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    for number, claim in enumerate(made.claim_cohort(keys, len(keys), lambda _: 0)):
        made.finish(claim, finished(number), {})
    return made


def stored(url: str) -> dict[int, bytes]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return dict(connection.execute("SELECT image, content FROM test_pictures"))


def test_the_images_that_change_most_are_kept_as_they_are(store: Store, url: str) -> None:
    plan, said = small_plan(), io.StringIO()
    keep_pictures(plan, store, Console(file=said))
    kept = stored(url)
    assert 0 < len(kept) <= 24
    images = read_images(plan.dataset).test_images
    for number, png in kept.items():
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), images[number])
    assert said.getvalue() == ""


def test_what_is_there_is_not_read_again(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan()
    keep_pictures(plan, store, Console(file=io.StringIO()))
    before = stored(url)

    def unreachable(_: object) -> None:
        raise DataError("the archive is gone")

    monkeypatch.setattr(pictures, "read_images", unreachable)
    said = io.StringIO()
    keep_pictures(plan, store, Console(file=said))
    assert (stored(url), said.getvalue()) == (before, "")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("DELETE FROM test_pictures")
    keep_pictures(plan, store, Console(file=said, width=200))
    assert said.getvalue().strip().endswith("the archive is gone")
    assert stored(url) == {}, "and the run ends as it would have"


@pytest.mark.slow
def test_a_study_that_was_run_has_them_in_its_report(shell: Shell) -> None:
    Path("s.toml").write_text(
        'name = "s"\ndataset = "digits"\nbackbone = "cbam_cnn(width=0.25)"\nseeds = 1\n'
        "[recipe]\nepochs = 1\nbatch_size = 256\naugment = []\n"
        '[[grid]]\nattention = "none"\n[[grid]]\nattention = "se"\nposition = "pool3"\n'
    )
    database = ("--db", "r.db")
    code, _, err = shell(
        "run", "s.toml", *database, "--executor", "inprocess", "--no-measure", "--no-probe",
        "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    assert shell("report", "s.toml", *database, "--out", "report")[0] == 0
    assert Path("report/figures/images-best.png").read_bytes().startswith(b"\x89PNG")
    with closing(sqlite3.connect("r.db")) as connection:
        told = "SELECT COUNT(*), SUM((label = predicted) = correct), COUNT(probability) FROM v_predictions"
        assert connection.execute(told).fetchall() == [(718, 718, 718)]
