"""The section on images that attention changes: from bits, predictions and stored pictures alone."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from support.report_frames import make_frames, written

from ablate.page import canvas
from ablate.page.document import Figure, Note, Table
from ablate.report.gallery import draw_section
from ablate.report.render import render
from ablate.report.seen.flips import chosen, flips_figure
from ablate.report.story import compose
from ablate.report.summary import summarize
from ablate.result.image_results import Bits, ImageResults, Said
from ablate.result.predictions import pack_predictions
from ablate.store.reading.frames import Frames

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
CLASSES = ("cat", "dog & <ship>", "truck")
RIGHT = {
    "none": [0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
    "up": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "down": [0, 0, 1, 1, 0, 0, 0, 1, 1, 1],
}
"""Which of ten images every run of a variant gets right."""


def png(shade: int) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(packed, format="PNG")
    return packed.getvalue()


def image_frames(**changed: object) -> Frames:
    frames = make_frames({"none": 0.8, "up": 1.0, "down": 0.5}, seeds=2)
    keys = dict(zip(frames.runs["run_key"], frames.runs["variant"], strict=True))
    right = {key: np.array(RIGHT[variant], dtype=bool) for key, variant in keys.items()}
    packed = {key: np.packbits(bits).tobytes() for key, bits in right.items()}
    said = {
        key: pack_predictions(
            np.where(bits, LABELS, (LABELS + 1) % 3), np.full(10, 0.5, np.float32)
        )
        for key, bits in right.items()
    }
    images = ImageResults(
        Bits(packed, 10), Said(said), LABELS, CLASSES, {i: png(20 * i) for i in range(10)}
    )
    return replace(frames, images=replace(images, **changed))  # type: ignore[arg-type]


def blocks(frames: Frames) -> tuple[object, ...]:
    document = compose(summarize(frames))
    return next((s.blocks for s in document.sections if s.name == "images"), ())


@pytest.mark.slow
def test_the_best_and_the_worst_variant_are_told_with_numbers_pictures_and_a_table() -> None:
    first, figure, table, second, *_ = blocks(image_frames())
    assert isinstance(first, Note)
    assert first.text.startswith(
        "up (+20.00 points to none over 2 seeds): of 10 test images 2 are wrong in every run of none "
        "and right in every run of up, 0 the reverse."
    )
    assert first.text.endswith("0.5 of each would be so.")
    assert isinstance(second, Note)
    assert second.text.startswith("down (−30.00 points")
    assert isinstance(figure, Figure)
    assert figure.name == "images-best"
    assert figure.picture.png.startswith(b"\x89PNG")
    assert isinstance(table, Table)
    texts = [[(cell.text, cell.note) for cell in row.cells] for row in table.rows]
    assert texts == [
        [("0", "fixed"), ("cat", ""), ("0 of 2", "dog & <ship> × 2"), ("2 of 2", "cat × 2")],
        [
            ("1", "fixed"),
            ("dog & <ship>", ""),
            ("0 of 2", "truck × 2"),
            ("2 of 2", "dog & <ship> × 2"),
        ],
    ]


@pytest.mark.slow
def test_the_pictures_are_those_that_are_stored() -> None:
    others = {i: png(255 - 20 * i) for i in range(10)}
    drawn, again = best_pictures(image_frames()), best_pictures(image_frames())
    assert drawn != best_pictures(image_frames(pictures=others))
    assert again == drawn, "the same frames, the same bytes"


def best_pictures(frames: Frames) -> bytes:
    with canvas.style():
        return draw_section("images", summarize(frames))["images-best"].picture.png


@pytest.mark.parametrize("inches", [canvas.WIDTH_INCHES, canvas.NARROW_INCHES])
def test_words_of_one_picture_do_not_reach_those_of_the_next(inches: float) -> None:
    """Below a picture stands what most runs took it for, which may be the name of a long class."""
    long = ("a_short_haired_domestic_cat", "a_golden_retriever_puppy", "an_articulated_lorry")
    summary = summarize(image_frames(classes=long))
    with canvas.style(), canvas.width(inches), canvas.kept() as figures:
        for place in (0, 1):
            flips_figure(summary, place)
    for figure in figures:
        painter = FigureCanvasAgg(figure).get_renderer()
        texts = [text for text in figure.axes[0].texts if text.get_text()]
        boxes = [text.get_window_extent(painter) for text in texts]
        assert len(boxes) > 3
        assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.slow
def test_a_picture_that_is_missing_leaves_its_words() -> None:
    some = render(image_frames(pictures={0: png(0)}))
    assert "figures/images-best.png" in some
    none = written(image_frames(pictures={}))
    assert "figures/images-best.png" not in none
    assert "dog &amp; &lt;ship&gt;" in none["report.html"].decode()


@pytest.mark.slow
def test_without_labels_and_predictions_bits_say_what_they_can() -> None:
    frames = image_frames(labels=None, classes=(), said=Said({}))
    _, _, table, *_ = blocks(frames)
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0].cells] == [
        "0",
        "class not stored",
        "0 of 2",
        "2 of 2",
    ]
    assert {cell.note for cell in table.rows[0].cells} == {"fixed", ""}


@pytest.mark.slow
def test_results_without_bits_have_no_section_and_others_say_what_is_left_out() -> None:
    assert blocks(replace(make_frames({"none": 0.8, "up": 0.9}), images=ImageResults())) == ()
    told = image_frames(notes=("2 finished runs not compared image by image: …",))
    assert "2 finished runs not compared" in written(told)["report.md"].decode()


def test_the_order_of_the_study_decides_between_equal_variants() -> None:
    frames = image_frames()
    keys = dict(zip(frames.runs["run_key"], frames.runs["variant"], strict=True))
    same = {k: np.packbits(np.array(RIGHT["none" if v == "none" else "up"], bool)).tobytes()
            for k, v in keys.items()}  # fmt: skip
    [flips] = chosen(summarize(image_frames(correct=Bits(same, 10))))
    assert flips.variant == "up"
