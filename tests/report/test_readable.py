"""A report of many variants and seeds shows a part that can be read and says so; its files have the whole."""

from __future__ import annotations

import csv
import io

import pytest
from support.report_frames import make_frames

from ablate.page import canvas
from ablate.page.document import Document, Table
from ablate.report import readable
from ablate.report.effects.forest import effects_figure
from ablate.report.figures import accuracy_figure
from ablate.report.files.export import tables_csv
from ablate.report.readable import ends, few_seeds
from ablate.report.results import results_table
from ablate.report.story import compose
from ablate.report.summary import Summary, summarize

VARIANTS = 12


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Summary:
    """Twelve variants and a baseline where four can be read."""
    for module in ("figures", "effects.forest", "seen.curves"):
        monkeypatch.setattr(f"ablate.report.{module}.MOST_DRAWN", 4)
    for module in ("results", "cost.scatter", "story", "readable"):
        monkeypatch.setattr(f"ablate.report.{module}.MOST_LISTED", 4)
    means = {"none": 0.7} | {f"v{i}": 0.6 + 0.02 * i for i in range(VARIANTS)}
    return summarize(make_frames(means, seeds=3, epochs=1, steps=0))


def test_the_highest_and_lowest_stay_in_their_order_and_what_has_no_value_goes() -> None:
    found = ends([3, 9, None, 1, 7, 5], 4, lambda item: item, lambda item: item == 5)
    assert found == [3, 9, 1, 7, 5]
    assert ends([3, 9], 4, lambda item: item, lambda _item: False) == [3, 9]


def test_figures_draw_the_ends_and_their_data_have_all(many: Summary) -> None:
    with canvas.style(), canvas.kept() as drawn:
        accuracy, effects = accuracy_figure(many), effects_figure(many)
    assert accuracy is not None
    assert effects is not None
    names = [[t.get_text() for t in figure.axes[0].get_yticklabels()] for figure in drawn]
    assert names == [["none", "v0", "v1", "v10", "v11"], ["v11", "v10", "v1", "v0"]]
    assert len({row["variant"] for row in accuracy.data}) == VARIANTS + 1
    assert len(effects.data) == VARIANTS
    assert "13 variants, 5 stand here" in accuracy.caption
    assert "figures/effects.csv" in effects.caption


@pytest.mark.slow
def test_a_table_on_the_page_is_cut_and_its_file_is_whole(many: Summary) -> None:
    table = results_table(many)
    assert [row.cells[0].text for row in table.rows] == ["none", "v0", "v1", "v10", "v11"]
    assert "tables/results.csv" in table.caption
    document = compose(many)
    files = tables_csv(document)
    assert len(list(csv.DictReader(io.StringIO(files["tables/results.csv"].decode())))) == 13
    shown = tables_of(document)
    assert all(len(each.rows) <= 5 for each in shown), [each.caption for each in shown]
    cut = [each for each in shown if each.every and len(each.every) > len(each.rows)]
    assert all(".csv" in each.caption for each in cut)


def tables_of(document: Document) -> list[Table]:
    """Those with a row for each variant or run."""
    named = ("results", "cost", "environment", "selection")
    sections = [section for section in document.sections if section.name in named]
    tables = [each for section in sections for each in section.blocks if isinstance(each, Table)]
    return [each for each in tables if each.columns[0].title in ("Variant", "Run")]


def test_of_many_seeds_some_are_drawn_from_the_lowest_to_the_highest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readable, "MOST_SEEDS", 5)
    values = few_seeds(readable.np.arange(100.0)[::-1])
    assert list(values) == [0, 25, 50, 74, 99]
    assert list(few_seeds(readable.np.array([2.0, 1.0]))) == [1, 2]


def test_seeds_of_a_cell_are_listed_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.report.results.MOST_SEEDS", 2)
    table = results_table(summarize(make_frames({"none": 0.7, "up": 0.75}, seeds=5)))
    count, *told = table.rows[0].cells[2].more
    assert count == "5 seeds"
    assert told[-1] == "3 more are in runs.csv"
    assert len(told) == 3
