"""The table of figures: each entry draws what its name says, in a section that the report has."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(make_frames(TWO))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_the_name_of_its_line(name: str, summary: Summary) -> None:
    with canvas.style():
        figure = FIGURES[name].draw(summary)
    if figure is None:  # of a search or of kept networks, which these results have not
        assert FIGURES[name].section in ("search", "attention")
        return
    assert figure.name == name
    assert figure.png.startswith(b"\x89PNG")


def test_every_section_of_the_gallery_is_shown_in_the_report(summary: Summary) -> None:
    shown = {figure.name for figure in compose(summary).figures}
    with canvas.style():
        drawn = [n for s in {d.section for d in FIGURES.values()} for n in draw_section(s, summary)]
    assert shown == set(drawn)
    assert len(shown) >= 7


def test_a_new_figure_is_one_line_here(
    summary: Summary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    png = canvas.png(canvas.axes(1.0)[0])

    def dots(_summary: Summary) -> Figure:
        return Figure("dots", "Dots.", "Dots of something.", png)

    frames = make_frames(TWO)
    monkeypatch.setitem(gallery.FIGURES, "dots", Drawing("training", dots))
    page = render(frames)["report.html"].decode()
    assert "Dots of something." in page
    write_report(frames, tmp_path)
    assert (tmp_path / "figures" / "dots.png").read_bytes() == png
    monkeypatch.setitem(gallery.FIGURES, "dots", Drawing("training", lambda _: None))
    write_report(frames, tmp_path)
    assert not (tmp_path / "figures" / "dots.png").exists(), "a figure of an earlier report"
