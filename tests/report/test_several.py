"""One report over several studies: what may be compared, runs that count once, costs by machine."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from conftest import message
from support.report_frames import IMAGES, Page, make_frames
from support.words import Texts, english_in

from ablate.commands.several import folder_of, rendered
from ablate.errors import OptionError
from ablate.page import canvas
from ablate.page.document import Figure, Note
from ablate.page.vector import Picture
from ablate.report.effects.contexts import InContext
from ablate.report.effects.forests import over_both
from ablate.report.several.compared import refuse_strangers
from ablate.report.several.costs import cost_tables
from ablate.report.several.parts import finished, groups_of, make_parts
from ablate.report.several.story import compose_several, several_numbers
from ablate.report.summary import Summary, summarize
from ablate.result.image_results import Bits, ImageResults
from ablate.store.reading.frames import Frames
from ablate.system.messages.language import spoken

UP = {"none": 0.80, "se": 0.84, "eca": 0.8001}
DOWN = {"none": 0.80, "se": 0.76, "cbam": 0.85}
DIGITS, OTHERS = "d" * 64, "0" * 64


def study(name: str, means: dict[str, float], runs: str = "", **given: Any) -> Frames:
    """A study of that name whose runs begin with these letters: its own unless others have them too."""
    frames = make_frames(means, name=name, **given)
    tables = {
        table: getattr(frames, table).assign(
            run_key=(runs or name) + getattr(frames, table)["run_key"]
        )
        for table in ("runs", "epochs", "steps")
    }
    correct = frames.images.correct
    packed = {(runs or name) + key: np.packbits(bits).tobytes() for key, bits in correct.items()}
    images = ImageResults(Bits(packed, IMAGES))
    return replace(frames, **tables, images=images)


def parts_of(*found: tuple[Frames, str]) -> list[InContext]:
    return make_parts([(summarize(frames), content) for frames, content in found])


@pytest.fixture
def three() -> list[InContext]:
    """Two of one kind, the second with the first one's runs of none and se, and one on other images."""
    return parts_of(
        (study("a", UP, "x"), DIGITS),
        (study("b", {"none": 0.80, "se": 0.84}, "x"), DIGITS),
        (study("c", DOWN, recipe=recipe(epochs=8)), OTHERS),
    )


def recipe(**given: Any) -> dict[str, Any]:
    return {**make_frames({"none": 0.8}, seeds=1).study["recipe"], **given}


def page_of(parts: list[InContext]) -> Page:
    """What a browser would see; figures take seconds, and are not drawn."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    with mock.patch.object(canvas, "saved", return_value=Picture(svg, b"a picture", b"a document")):
        return Page(rendered(parts)["report.html"].decode())


def test_the_first_lines_say_what_may_be_compared_and_what_differs(three: list[InContext]) -> None:
    page = page_of(three)
    assert list(page.sections)[1] == "compared", "behind the head of the page"
    assert "a and b may be compared: the same images" in page.sections["compared"]
    assert (
        "c is not compared with a and b: data set differs: cifar10 dddddddd vs cifar10 00000000; "
        "epochs differ: 50 vs 8." in page.sections["compared"]
    )
    assert [group.title for group in groups_of(three)] == ["a and b", "c"]
    assert "Side by side: a and b" in page.sections["group-1"]
    assert "To a and b: data set differs" in page.sections["group-2"]
    head, *rows = page.tables["group-1"]
    assert [cell.split(" ")[0] for cell in head] == ["Variant", "a", "b", "Verdicts"]
    assert [row[0] for row in rows] == ["se", "eca"]
    assert "better, n = 4" in rows[0][1]


def test_what_may_not_be_compared_is_said_where_nothing_may() -> None:
    page = page_of(parts_of((study("a", UP), DIGITS), (study("c", DOWN), OTHERS)))
    assert "No two of these studies may be compared" in page.sections["compared"]
    assert "Contexts of different images are not compared" not in page.sections.get("depends", "")


@pytest.mark.slow
def test_runs_that_two_studies_name_are_counted_once(three: list[InContext]) -> None:
    assert len(finished(three)) == 4 * (3 + 3), "of b none is its own"
    assert dict(three[0].elsewhere) == {}
    assert dict(three[1].elsewhere) == {"se": "the same runs as a: counted there"}
    page = page_of(three)
    assert "se: better in 1 of 2, worse in 1." in page.sections["holds"]
    assert "b has the same runs as a: counted there" in page.sections["holds"]
    assert "8 finished runs stand in more than one of these studies" in page.sections["studies"]
    told = several_numbers(three)
    assert told["finished_runs"] == 24
    assert told["holds"][0] == {
        "variant": "se", "studies": 2, "better": 1, "worse": 1, "equivalent": 0, "identical": 0,
        "undecided": 0,
    }  # fmt: skip


def test_of_shared_runs_the_study_with_more_of_them_counts() -> None:
    few = study("few", UP, "x", seeds=2)
    found = parts_of((few, DIGITS), (study("many", UP, "x", seeds=4), DIGITS))
    assert found[0].elsewhere["se"] == "the same runs as many: counted there"
    assert not found[1].elsewhere


def test_costs_of_unlike_machines_are_columns_of_their_own() -> None:
    machines = ("NVIDIA H100", "NVIDIA H200")
    found = parts_of(
        (study("a", UP, devices=machines[:1]), DIGITS),
        (study("b", UP, devices=machines[1:]), DIGITS),
    )
    (table,) = cost_tables(found)
    notes = [column.note for column in table.columns]
    assert [sum(machine in note for note in notes) for machine in machines] == [3, 3]
    none = table.rows[0]
    assert none.marked
    assert [cell.text for cell in none.cells] == ["none", *["41,000", "152,000", "–"] * 2]
    assert table.rows[1].cells[1].note.startswith("0.98×")
    apart = parts_of(
        (study("a", UP), DIGITS),
        (renamed_networks(study("c", DOWN, backbone="other")), DIGITS),
    )
    assert len(cost_tables(apart)) == 2, "another network has another table"


def renamed_networks(frames: Frames) -> Frames:
    tables = {
        table: getattr(frames, table).assign(
            fingerprint="o" + getattr(frames, table)["fingerprint"]
        )
        for table in ("runs", "costs", "profile")
    }
    return replace(frames, **tables)


@pytest.mark.slow
def test_studies_of_unlike_machines_are_said_to_be(three: list[InContext]) -> None:
    def trained_on(name: str, device: str) -> tuple[Frames, str]:
        frames = study(name, UP)
        return replace(frames, runs=frames.runs.assign(device=device, precision="amp-bf16")), DIGITS

    page = page_of(parts_of(trained_on("a", "NVIDIA H100"), trained_on("b", "AMD EPYC")))
    assert (
        "Trained on unlike machines, so that every study has a column of its own: a on NVIDIA H100, "
        "amp-bf16; b on AMD EPYC, amp-bf16." in page.sections["compared"]
    )
    assert "unlike machines" not in page_of(three).sections["compared"]


@pytest.mark.slow
def test_a_name_that_is_another_network_is_told(three: list[InContext]) -> None:
    changed = study("b", UP)
    fingerprints = changed.runs["fingerprint"].where(changed.runs["variant"] != "se", "changed")
    changed = replace(changed, runs=changed.runs.assign(fingerprint=fingerprints))
    page = page_of(parts_of((study("a", UP), DIGITS), (changed, DIGITS)))
    said = "Not the same network in all of a and b, though it is called so: se."
    assert said in page.sections["compared"]
    assert "Not the same network" not in page_of(three).sections["compared"]


def test_on_the_same_images_it_is_decided_what_an_effect_depends_on() -> None:
    found = parts_of(
        (study("a", UP, backbone="small"), DIGITS), (study("b", DOWN, backbone="large"), DIGITS)
    )
    depends = page_of(found).sections["depends"]
    assert "se against none makes" in depends
    assert "points more at small than at large" in depends


@pytest.mark.slow
def test_programs_get_the_same_and_the_bytes_are_the_same(three: list[InContext]) -> None:
    files = rendered(three)
    assert list(files)[-1] == "report.html"
    assert {"figures/effects.png", "figures/effects.csv", "report.md", "variants.csv"} <= set(files)
    told = json.loads(files["report.json"])
    assert [each["studies"] for each in told["groups"]] == [["a", "b"], ["c"]]
    assert told["groups"][1]["differs"].startswith("data set differs")
    assert [each["called"] for each in told["studies"]] == ["a", "b", "c"]
    rows = list(csv.DictReader(io.StringIO(files["figures/effects.csv"].decode())))
    assert [(row["variant"], row["study"], row["counted"]) for row in rows] == [
        ("se", "a", "1"), ("se", "b", "0"), ("se", "c", "1"), ("eca", "a", "1"), ("cbam", "c", "1"),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(files["variants.csv"].decode())))
    assert {row["study"] for row in rows} == {"a", "b", "c"}
    again = rendered(three)
    assert again == files


def test_of_a_leaked_study_nothing_is_claimed() -> None:
    found = parts_of((study("a", UP), DIGITS), (study("t", UP, split="tutorial"), DIGITS))
    page = page_of(found)
    assert "split differs: validation vs tutorial" in page.sections["compared"]
    assert "se: better in the one study that judges it." in page.sections["holds"]
    assert "not claimed (test-leaked)" in page.sections["group-2"]


def test_one_study_on_two_data_sets_has_two_names() -> None:
    found = parts_of((study("a", UP, "x"), DIGITS), (study("a", DOWN, "y"), OTHERS))
    assert [part.name for part in found] == [
        "a (data set=cifar10 dddddddd)", "a (data set=cifar10 00000000)",
    ]  # fmt: skip
    assert folder_of(found).name == "a-all"


def test_a_study_that_shares_nothing_is_refused(three: list[InContext]) -> None:
    refuse_strangers(three)
    other = study("z", {"none": 0.8, "bam": 0.9}, backbone="other")
    strangers = [*three, *parts_of((other, OTHERS))]
    said = message(OptionError, lambda: refuse_strangers(strangers))
    assert said.startswith("z has nothing in common with a, b and c")
    beside = parts_of((study("a", UP), DIGITS), (study("z", {"none": 0.8, "bam": 0.9}), DIGITS))
    refuse_strangers(beside)


@pytest.mark.slow
def test_the_page_has_the_names_of_its_studies_as_its_title(three: list[InContext]) -> None:
    document = compose_several(three)
    assert document.title == "a, b and c"
    assert ("Finished runs", "24, each counted once") in document.facts


def test_a_summary_without_measured_speed_has_no_table_of_cost() -> None:
    def bare(frames: Frames) -> Summary:
        return summarize(replace(frames, costs=frames.costs.iloc[:0]))

    found = make_parts([(bare(study("a", UP)), DIGITS), (bare(study("b", UP)), DIGITS)])
    assert "cost" not in page_of(found).sections


def everything() -> list[InContext]:
    """Studies on unlike machines with runs of each other, a changed network, another recipe and images."""
    shared = study("b", UP, "x", devices=("NVIDIA H200",))
    elsewhere = shared.runs.assign(device="AMD EPYC", fingerprint="o" + shared.runs["fingerprint"])
    return parts_of(
        (study("a", UP, "x", devices=("NVIDIA H100",)), DIGITS),
        (replace(shared, runs=elsewhere), DIGITS),
        (study("c", DOWN, recipe=recipe(epochs=8)), OTHERS),
        (study("d", {"none": 0.80, "se": 0.84}, split="tutorial"), OTHERS),
    )


@pytest.mark.slow
@pytest.mark.parametrize("made", [everything, lambda: everything()[1:3], lambda: everything()[::3]])
def test_in_chinese_nothing_that_people_read_is_english(
    made: Callable[[], list[InContext]], monkeypatch: pytest.MonkeyPatch
) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))
    parts = made()
    english = rendered(parts)
    with spoken("zh"):
        files = rendered(parts)
    page, text = files["report.html"].decode(), files["report.md"].decode()
    names = [part.name for part in parts]
    assert english_in([*Texts(page).found, *text.splitlines()], [*names, "Noto Sans CJK"]) == []
    differing = {name for name in files if files[name] != english[name]}
    assert differing == {"report.md", "report.html"}, "what programs read is English"


@pytest.mark.slow
def test_without_a_font_the_words_of_the_figure_are_english(three: list[InContext]) -> None:
    """And its caption, which is in the page, is not; that is said beside it."""
    plain = over_both("effects", three, "study")
    with spoken("zh"), mock.patch.object(canvas, "family_of_words", return_value=None):
        figure, note = over_both("effects", three, "study")
    assert isinstance(figure, Figure)
    assert isinstance(note, Note)
    assert figure.picture == plain[0].picture
    assert "同一研究的区间联立成立" in figure.caption
    assert "Noto Sans CJK" in note.text
