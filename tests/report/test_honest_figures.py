"""Figures show no number that cannot be, hide no seed, and have no colour that says what is not known."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from PIL import Image
from support.grid_frames import grid_frames
from support.report_frames import CBAM, TWO, make_frames

from ablate.page import canvas, pictures
from ablate.page import format as fmt
from ablate.page.document import Figure
from ablate.page.pictures import Heat, WeightRow
from ablate.page.vector import Styles, file_svg, inline
from ablate.report.cost.profiles import left_out
from ablate.report.cost.scatter import cost_figure
from ablate.report.effects.heat import LEAST_RANGE, heat_map
from ablate.report.effects.placement_map import placement_figure
from ablate.report.figures import accuracy_figure
from ablate.report.seen.curves import epoch_loss_figure, learning_figure
from ablate.report.summary import Summary, summarize
from ablate.result.maps import HeatMaps
from ablate.stats import interval
from ablate.store.reading.frames import Frames


def drawing(draw: Callable[[Summary], Figure | None], frames: Frames) -> tuple[Figure, Drawing]:
    """What a report would show, and the figure before it is written."""
    with canvas.style(), canvas.kept() as drawn:
        figure = draw(summarize(frames))
    assert figure is not None
    return figure, drawn[-1]


def with_scores(frames: Frames, scores: list[float]) -> Frames:
    """The runs in their order with these test accuracies."""
    return replace(frames, runs=frames.runs.assign(test_accuracy=scores))


def test_accuracy_stays_within_what_a_share_can_be_and_an_arrow_says_where_an_interval_goes_on() -> (
    None
):
    """Two seeds far apart have an interval from −300 to 400 %."""
    frames = with_scores(make_frames(TWO, seeds=2), [0.3, 0.8, 0.55, 0.56])
    _, figure = drawing(accuracy_figure, frames)
    (ax,) = figure.axes
    low, high = ax.get_xlim()
    assert 0 <= low < 30
    assert 80 < high <= 100
    markers = {line.get_marker() for line in ax.lines}
    assert {"<", ">"} <= markers


def test_equal_seeds_are_each_seen_and_have_no_interval() -> None:
    frames = with_scores(make_frames(TWO, seeds=4), [0.5] * 4 + [0.25, 0.25, 0.75, 0.75])
    _, figure = drawing(accuracy_figure, frames)
    points = [line for line in figure.axes[0].lines if line.get_color() == canvas.FAINT]
    for line in points:
        at = list(zip(*line.get_data(), strict=True))
        assert len(set(at)) == 4, "no seed lies on another"
    assert fmt.accuracy(interval([0.3036, 0.3036])) == "30.36", "not ± 0.00"


def test_a_few_tenths_are_not_the_whole_scale_of_colours() -> None:
    means = {"none": 0.83, **dict.fromkeys(CBAM, 0.83)}
    figure, drawn = drawing(heat_map, make_frames(means))
    low, high = drawn.axes[0].collections[0].get_clim()
    assert high - low >= LEAST_RANGE - 1e-9
    assert {row["reduction"] for row in figure.data} == {4, 16}


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_ticks_stand_at_epochs(epochs: int) -> None:
    _, figure = drawing(learning_figure, make_frames(TWO, epochs=epochs))
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(float(tick).is_integer() for tick in ticks)


def test_the_highest_and_the_lowest_mean_have_no_colour_of_a_verdict() -> None:
    assert not set(canvas.HIGHLIGHTS[1:]) & set(canvas.TONE_COLORS.values())
    _, figure = drawing(learning_figure, make_frames({"none": 0.83, "up": 0.85, "down": 0.81}))
    used = {line.get_color() for ax in figure.axes for line in ax.lines}
    assert used <= {*canvas.HIGHLIGHTS, canvas.FAINT}
    assert figure.legends, "outside, over no line"
    assert all(ax.get_legend() is None for ax in figure.axes)


def test_loss_by_epoch_is_that_of_training_and_of_held_out_images_on_one_scale() -> None:
    frames = make_frames(TWO, epochs=4)
    epochs = frames.epochs.assign(
        train_loss=1 / frames.epochs["epoch"], val_loss=0.5, test_loss=None
    )
    figure, drawn = drawing(epoch_loss_figure, replace(frames, epochs=epochs))
    assert [ax.get_title("left") for ax in drawn.axes] == ["Training", "Validation"]
    assert len({ax.get_ylim() for ax in drawn.axes}) == 1
    assert figure.data[0] == {
        "variant": "none", "epoch": 1, "train_loss": 1.0, "val_loss": 0.5, "train_loss_sd": 0.0,
        "val_loss_sd": 0.0, "n": 4,
    }  # fmt: skip


def test_every_set_of_places_is_a_row_of_the_map() -> None:
    figure, drawn = drawing(placement_figure, grid_frames(15, seeds=3, epochs=1))
    names = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert names[:3] == ["pool1", "pool2", "pool3"]
    assert names[-1] == "pool1 + pool2 + pool3"
    assert len(names) == 7
    assert len(figure.data) == 14
    assert {row["places"] for row in figure.data} == set(names)


PHOTO = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def heat() -> Drawing:
    maps = np.random.default_rng(1).random((3, 8, 8))
    layers = (HeatMaps("conv1", (0, 4, 2), (0.5, 0.4, 0.3), maps),)
    return pictures.heat_maps([Heat("none", "true cat", PHOTO, layers)])


def test_photographs_keep_their_colours_and_look_alike_in_every_format() -> None:
    with canvas.style():
        picture = canvas.saved(heat())
    png = Image.open(io.BytesIO(picture.png)).convert("RGB")
    colors = png.getcolors(10_000_000)
    assert colors is not None
    assert len(colors) > 5000
    embedded = re.findall(rb'href="data:image/png;base64,([^"]+)"', picture.svg)
    assert len(embedded) == 4
    for data in embedded:
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
        assert image.getextrema()[3] == (255, 255), "blended once, by us"
    titles = [text.get_text() for text in heat().findobj(lambda t: hasattr(t, "get_text"))]
    assert "conv1\nchannel 5\nmean 0.40" in titles, "counted from 1"


def test_weights_of_places_take_no_room_where_there_are_none() -> None:
    channel, spatial = np.full(8, 0.5), np.full((4, 4), 0.5)
    assert len(pictures.weights([WeightRow("se", channel, None)]).axes) == 1
    both = pictures.weights([WeightRow("cbam", channel, spatial), WeightRow("se", channel, None)])
    assert len(both.axes) == 5  # two rows of two, and a scale of colours
    assert both.axes[0].get_xlim()[0] == pytest.approx(0.4), "the first channel is 1"


def test_what_is_not_drawn_is_said() -> None:
    assert left_out(5, 5) == ""
    assert "Of 27 profiled variants the baseline and the 11 whose step" in left_out(12, 27)


def test_a_figure_in_the_page_has_the_pages_colours_no_style_of_its_own_and_titles() -> None:
    with canvas.style():
        figure, (ax,) = canvas.axes(1.0)
        (line,) = ax.plot([0, 1], [0, 1], color=canvas.BLUE)
        canvas.tip(line, "<b>up</b>: 1.2 & more")
        svg = canvas.saved(figure).svg
    styles = Styles()
    element = inline(svg, "f", styles)
    assert "<title>&lt;b&gt;up&lt;/b&gt;: 1.2 &amp; more</title>" in element
    assert "style=" not in element
    assert "var(--plot-blue)" in styles.sheet
    assert "#1f6fb2" not in styles.sheet
    assert b"<title>" in file_svg(svg)
    assert b"tip: " not in file_svg(svg)


def test_a_narrow_figure_stacks_its_panels_and_keeps_the_size_of_its_letters() -> None:
    with canvas.style():
        wide, boxes = canvas.axes(2.0, 3)
        with canvas.width(3.3):
            narrow, below = canvas.axes(2.0, 3)
    assert len(boxes) == len(below) == 3
    assert (wide.get_figwidth(), wide.get_figheight()) == (canvas.WIDTH_INCHES, 2.0)
    assert (narrow.get_figwidth(), narrow.get_figheight()) == (3.3, 6.0)
    with canvas.width(3.3):
        assert (
            max(map(len, canvas.two_lines("a_very_long_name(pool1, r=16, k=7)").split("\n"))) <= 24
        )


@pytest.mark.slow
@pytest.mark.parametrize("inches", [canvas.WIDTH_INCHES, canvas.NARROW_INCHES])
@pytest.mark.parametrize(("which", "named"), [("two", 2), ("many", 1)])
def test_points_of_cost_have_names_that_hide_no_other(
    which: str, named: int, inches: float
) -> None:
    frames = make_frames(TWO) if which == "two" else grid_frames(27)
    with canvas.width(inches):
        _, figure = drawing(cost_figure, frames)
    painter = FigureCanvasAgg(figure).get_renderer()
    for ax in figure.axes:
        inside, boxes = ax.get_window_extent(painter), []
        for text in ax.texts:
            text.update_positions(painter)
            boxes.append(Text.get_window_extent(text, painter))
        assert len(boxes) >= named
        assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)
        assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
