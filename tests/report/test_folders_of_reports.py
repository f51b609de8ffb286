"""A report takes the place of one that tells nothing which it does not tell, and then all of its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.commands.folders import Report, usual_folder
from ablate.report.render import differing_in, of_reports
from ablate.report.several.over import write_over

A, B, C = ("a" * 16, "1" * 64), ("b" * 16, "1" * 64), ("a" * 16, "2" * 64)


def item(told: tuple[str, str]) -> dict[str, Any]:
    return {"setting": told[0] or None, "dataset_hash": told[1] or None}


def document(kind: str, *told: tuple[str, str]) -> dict[str, Any]:
    """What report.json says of this."""
    return item(told[0]) if kind == "study" else {kind: [item(each) for each in told]}


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports" / "name").mkdir(parents=True)
    return tmp_path / "reports"


ELSEWHERE = ("", "")


@pytest.mark.parametrize(
    ("there", "kind", "told"),
    [
        (document("study", A), "study", [A]),
        (document("study", ELSEWHERE), "study", [ELSEWHERE]),
        (document("contexts", A), "contexts", [A, B]),
        (document("studies", A, B), "studies", [B, A]),
        ({"study": "of a version that did not say"}, "study", [A]),
        ({"contexts": [{"folder": "likewise"}]}, "contexts", [A]),
        ([], "study", [A]),
    ],
)
def test_the_usual_folder_is_taken_where_nothing_is_lost(
    reports: Path, there: Any, kind: Any, told: Sequence[tuple[str, str]]
) -> None:
    (reports / "name" / "report.json").write_text(json.dumps(there))
    assert usual_folder(Report(kind, frozenset(told)), "name", "apart").name == "name"


@pytest.mark.parametrize(
    ("there", "kind", "told"),
    [
        (document("study", A), "study", [B]),
        (document("study", A), "study", [C]),
        (document("contexts", A, B), "study", [A]),
        (document("study", A), "contexts", [A, B]),
        (document("contexts", A, B), "contexts", [C, B]),
        (document("contexts", A, B), "contexts", [A]),
        (document("studies", A, B), "studies", [A, C]),
        (document("study", A), "studies", [A, B]),
    ],
)
def test_another_report_has_a_folder_of_its_own_and_a_note(
    reports: Path, capsys: pytest.CaptureFixture[str], there: Any, kind: Any,
    told: Sequence[tuple[str, str]],
) -> None:  # fmt: skip
    (reports / "name" / "report.json").write_text(json.dumps(there))
    assert usual_folder(Report(kind, frozenset(told)), "name", "apart").name == "apart"
    assert "folder of its own" in " ".join(capsys.readouterr().out.split())


OLD = (
    "numbers.tex", "runs.csv", "table.tex", "tables/effects.csv", "figures/heat-map.png",
    "contexts/old/report.json", "contexts/old/report.html", "contexts/old/figures/cost.svg",
)  # fmt: skip
THEIRS = (
    "notes.md",
    "figures/mine.png",
    "contexts/mine/report.md",
    "contexts/old/notes.md",
    "tables/a.txt",
)


def lay(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of an earlier report")


def test_what_an_earlier_report_left_is_named_and_removed(tmp_path: Path) -> None:
    lay(tmp_path, [*OLD, *THEIRS, "contexts/gone/report.json", "contexts/gone/tables/a.csv"])
    files = {"contexts/new/report.json": b"{}", "report.html": b"<html>"}
    stale = {*OLD, "contexts/gone/report.json", "contexts/gone/tables/a.csv"}
    assert {str(p.relative_to(tmp_path)) for p in differing_in(tmp_path, files)} == {*files, *stale}
    write_over(tmp_path, files)
    there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert there == {*files, *THEIRS}
    assert not (tmp_path / "contexts" / "gone").exists()
    assert differing_in(tmp_path, files) == []


def test_a_link_among_the_contexts_is_left_alone(tmp_path: Path) -> None:
    lay(tmp_path / "elsewhere", ["report.json"])
    (tmp_path / "report" / "contexts").mkdir(parents=True)
    (tmp_path / "report" / "contexts" / "link").symlink_to(tmp_path / "elsewhere")
    assert of_reports(tmp_path / "report") == set()
