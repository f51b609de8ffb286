"""The report over several contexts: each with its own baseline, and one table that says where it holds."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.report_frames import Page, make_frames
from support.small_files import files_of_at_most
from support.words import Texts, english_in

from ablate.commands.contexts import write_reports
from ablate.errors import OutputError
from ablate.page.document import Figure, Table
from ablate.report.effects.contexts import InContext, where_table
from ablate.report.render import WIDE
from ablate.report.several.over import render_contexts
from ablate.report.story import compose
from ablate.report.summary import summarize
from ablate.system.messages.language import spoken

pytestmark = pytest.mark.usefixtures("words_alone")

QUESTION = "Does attention help a three-block CNN, where, and at what cost?"
UP = {"none": 0.80, "se": 0.84}
SAME = {"none": 0.90, "se": 0.9001, "cbam": 0.86}


def in_context(means: dict[str, float], content: str = "same", **context: Any) -> InContext:
    named = tuple(context.items())
    summary = summarize(make_frames(means, context=context))
    return InContext(named, f"contexts/{'-'.join(context)}", summary, content)


@pytest.fixture
def contexts() -> list[InContext]:
    return [in_context(UP, backbone="small"), in_context(SAME, backbone="large")]


def test_every_variant_is_compared_with_the_baseline_of_its_own_context(
    contexts: list[InContext],
) -> None:
    rows = {row.cells[0].text: row.cells[1:] for row in where_table(contexts).rows}
    small, large, told = rows["se"]
    alone = [each.of("se") for each in contexts]
    assert [each.effect.difference for each in alone if each and each.effect] == pytest.approx(
        [0.04, 0.0001], abs=0.003
    )
    assert small.tone == "better"
    assert small.text.startswith("+")
    assert large.tone != "better"
    assert told.text == "better in 1, undecided in 1"
    absent, worse, told = rows["cbam"]
    assert absent.note == "not in this context"
    assert (worse.tone, told.text) == ("worse", "worse in 1")


def test_the_page_says_where_it_holds_and_what_it_depends_on(contexts: list[InContext]) -> None:
    files = render_contexts(contexts)
    page = Page(files["report.html"].decode())
    assert "se: better in 1, undecided in 1." in page.sections["where"]
    assert "better: backbone=small" in page.sections["where"]
    assert "se against none makes" in page.sections["depends"]
    assert "points more at small than at large" in page.sections["depends"]
    assert "contexts/backbone/report.html" in page.sections["contexts"]
    assert b"booktabs" in files["table.tex"]
    assert list(files)[-1] == "report.html"


@pytest.mark.slow
def test_the_report_of_one_context_says_whether_it_holds_in_the_others(
    contexts: list[InContext],
) -> None:
    own = replace(contexts[0].summary, contexts=tuple(contexts))
    document = compose(own)
    (section,) = [each for each in document.sections if each.name == "contexts"]
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table == where_table(contexts)
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    told = [(row["variant"], row["context"], row["n"]) for row in figure.data]
    assert told == [
        ("se", "backbone=small", 4),
        ("se", "backbone=large", 4),
        ("cbam", "backbone=large", 4),
    ]
    alone = compose(contexts[0].summary)
    assert "contexts" not in [each.name for each in alone.sections]


def test_the_figure_over_all_contexts_lies_beside_the_page(contexts: list[InContext]) -> None:
    files = render_contexts(contexts)
    kinds = [name.rpartition(".")[2] for name in files if name.startswith("figures/contexts.")]
    assert kinds == ["png", "svg", "pdf", "csv"]
    assert b"(figures/contexts.png)" in files["report.md"]
    assert render_contexts(contexts) == files


@pytest.mark.slow
def test_of_the_reports_of_all_contexts_all_are_written_or_none(tmp_path: Path) -> None:
    folder, each = tmp_path / "a" / "b", [in_context(UP, one="small"), in_context(SAME, two="x")]
    with files_of_at_most(20_000), pytest.raises(OutputError, match="File too large"):
        write_reports(folder, each, WIDE)
    assert not list(tmp_path.iterdir())
    assert write_reports(folder, each, WIDE)[-1] == folder / "report.html"
    for name in ("", "contexts/one", "contexts/two"):
        assert (folder / name / "report.html").exists()
    (folder / "contexts" / "one" / "figures" / "heat-map.png").write_bytes(b"of an earlier one")
    (folder / "figures" / "heat-map.svg").write_bytes(b"of an earlier one")
    write_reports(folder, each, WIDE)
    assert not [*folder.rglob("heat-map.png"), *folder.rglob("heat-map.svg")]


def test_programs_get_the_same(contexts: list[InContext]) -> None:
    files = render_contexts(contexts)
    found = json.loads(files["report.json"])
    assert [each["context"] for each in found["contexts"]] == [
        {"backbone": "small"},
        {"backbone": "large"},
    ]
    assert [e["variant"] for e in found["contexts"][1]["effects"]] == ["se", "cbam"]
    rows = list(csv.DictReader(io.StringIO(files["variants.csv"].decode())))
    assert [(row["context"], row["variant"]) for row in rows] == [
        ("backbone=small", "none"),
        ("backbone=small", "se"),
        ("backbone=large", "none"),
        ("backbone=large", "se"),
        ("backbone=large", "cbam"),
    ]


def test_contexts_of_other_images_are_not_compared_with_each_other() -> None:
    apart = [in_context(UP, "one", dataset="a"), in_context(UP, "two", dataset="b")]
    page = Page(render_contexts(apart)["report.html"].decode())
    assert "Contexts of different images are not compared" in page.sections["depends"]
    assert "se: better in all 2." in page.sections["where"]


def test_of_a_leaked_study_nothing_is_claimed() -> None:
    leaked = [
        InContext(
            (("backbone", name),),
            name,
            summarize(make_frames(UP, split="tutorial", context={"backbone": name})),
        )
        for name in ("a", "b")
    ]
    table = where_table(leaked)
    assert table.rows[0].cells[1].note == "not claimed (test-leaked)"
    assert table.rows[0].cells[-1].text == "not judged"


def test_in_chinese_nothing_that_people_read_is_english(contexts: list[InContext]) -> None:
    english = render_contexts(contexts)
    with spoken("zh"):
        files = render_contexts(contexts)
    page, text = files["report.html"].decode(), files["report.md"].decode()
    assert english_in([*Texts(page).found, *text.splitlines()], [QUESTION, "Noto Sans CJK"]) == []
    assert "2 处：更好" not in page
    assert "1 处：更好，1 处：未定" in page
    for name in ("variants.csv", "report.json", "table.tex"):
        assert files[name] == english[name]
