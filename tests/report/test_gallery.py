"""The table of figures: each entry draws what its name says, in a section that the report has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support.report_frames import TWO, make_frames

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.report import gallery
from ablate.report.gallery import FIGURES, Drawing, draw_section
from ablate.report.render import render, write_report
from ablate.report.story import compose
from ablate.report.summary import Summary, summarize
from ablate.store.reading.frames import Frames, read_frames
from ablate.store.transfer.imports import import_folder
from ablate.study.file import load_study

NOT_THERE = {
    "shapley",
    *(
        name
        for name in FIGURES
        if FIGURES[name].section in ("search", "images", "classes", "contexts")
    ),
}
"""What the published results have not: every set of some places, a search, pictures of test images, what
runs said of each, and other contexts."""
PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "cpu"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """The published results of the digits: everything but a search."""
    url = f"sqlite:///{tmp_path_factory.mktemp('published') / 'r.db'}"
    import_folder(PUBLISHED, url)
    study = load_study(Path(__file__).parents[2] / "studies" / "digits-grid.toml")
    return read_frames(url, study.name, study.setting)


@pytest.fixture(scope="module")
def summary(frames: Frames) -> Summary:
    return summarize(frames)


@pytest.fixture(scope="module")
def drawn(summary: Summary) -> Callable[[str], Figure | None]:
    """The figure of a name, drawn once for all tests: each takes a second."""

    @cache
    def draw(name: str) -> Figure | None:
        with canvas.style():
            return FIGURES[name].draw(summary)

    return draw


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.slow
def test_a_figure_has_the_name_of_its_line(
    name: str, drawn: Callable[[str], Figure | None]
) -> None:
    figure = drawn(name)
    if figure is None:
        assert name in NOT_THERE
        return
    assert figure.name == name
    assert figure.picture.png.startswith(b"\x89PNG")
    assert figure.picture.pdf.startswith(b"%PDF")
    assert b"<svg" in figure.picture.svg
    keys = {tuple(record) for record in figure.data}
    assert len(keys) == 1, "the numbers in it, each record with the same keys"


@pytest.mark.slow
def test_every_section_of_the_gallery_is_shown_in_the_report(
    summary: Summary, drawn: Callable[[str], Figure | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, drawing in FIGURES.items():
        figure = drawn(name)
        once = replace(drawing, draw=lambda _, figure=figure: figure)
        monkeypatch.setitem(FIGURES, name, once)
    shown = {figure.name for figure in compose(summary).figures}
    sections = {drawing.section for drawing in FIGURES.values()}
    assert shown == {name for section in sections for name in draw_section(section, summary)}
    assert shown == FIGURES.keys() - NOT_THERE


@pytest.mark.slow
def test_a_new_figure_is_one_line_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = canvas.saved(canvas.axes(1.0)[0])

    def dots(_summary: Summary) -> Figure:
        return Figure("dots", "Dots.", "Dots of something.", picture)

    frames = make_frames(TWO)  # a small report is rendered quickly
    monkeypatch.setitem(gallery.FIGURES, "dots", Drawing("training", dots))
    page = render(frames)["report.html"].decode()
    assert "Dots of something." in page
    write_report(frames, tmp_path)
    assert (tmp_path / "figures" / "dots.png").read_bytes() == picture.png
    monkeypatch.setitem(gallery.FIGURES, "dots", Drawing("training", lambda _: None))
    write_report(frames, tmp_path)
    assert not (tmp_path / "figures" / "dots.png").exists(), "a figure of an earlier report"
