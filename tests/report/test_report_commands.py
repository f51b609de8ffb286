"""`ablate report` and `compare` for programs, pull requests and papers; one folder for each setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from conftest import Shell
from matplotlib.figure import Figure as Drawing
from PIL import Image

import ablate
from ablate.errors import OptionError, StudyError, UnknownNameError
from ablate.page import canvas
from ablate.page.vector import Picture
from ablate.store.transfer.imports import import_folder

ROOT = Path(__file__).parents[2]
STUDY = str(ROOT / "studies" / "digits-grid.toml")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The published results of the digits."""
    found = f"sqlite:///{tmp_path_factory.mktemp('published') / 'r.db'}"
    import_folder(ROOT / "results" / "published" / "cpu", found)
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is drawn."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_json_is_report_json_and_writes_nothing(shell: Shell, url: str) -> None:
    code, out, _ = shell("report", STUDY, "--db", url, "--format", "json")
    told = json.loads(out)
    assert code == 0
    assert told["study"] == "digits-grid"
    assert told["setting"]
    assert told["dataset_hash"]
    assert len(told["effects"]) == 10
    assert not list(shell.folder.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_a_verdict_is_an_exit_code(shell: Shell, url: str) -> None:
    verdicts = {
        e["verdict"]
        for e in json.loads(shell("report", STUDY, "--db", url, "--format", "json")[1])["effects"]
    }
    assert verdicts == {"undecided"}
    command = ("report", STUDY, "--db", url, "--format", "json", "--fail-on")
    assert shell(*command, "worse")[0] == 0
    assert shell(*command, "worse", "--fail-on", "undecided")[0] == 4
    pair = ("compare", "none", "se(pool1, r=16)", "--study", STUDY, "--db", url)
    code, out, _ = shell(*pair, "--format", "json", "--fail-on", "undecided")
    told = json.loads(out)
    assert (code, told["effect"]["verdict"], told["in_family"]) == (4, "undecided", True)
    assert any("No difference found" in line for line in told["words"])
    assert shell(*pair, "--fail-on", "worse")[0] == 0


@pytest.mark.slow
def test_a_comment_is_short_and_has_the_answer(shell: Shell, url: str) -> None:
    code, out, _ = shell("report", STUDY, "--db", url, "--comment")
    assert code == 0
    assert out.startswith("# digits-grid\n")
    assert "10 variants against the baseline none: 10 undecided." in out
    assert "| **none**" in out
    assert "![" not in out
    assert len(out) < 6000


@pytest.mark.slow
def test_a_figure_of_a_papers_column(shell: Shell, url: str) -> None:
    code, _, err = shell("report", STUDY, "--db", url, "--figure", "effects", "--width", "8.4cm")
    assert (code, err) == (0, "")
    folder = shell.folder / "reports" / "digits-grid" / "paper"
    assert {path.name for path in folder.iterdir()} == {
        f"effects.{kind}" for kind in ("png", "svg", "pdf", "csv")
    }
    with Image.open(folder / "effects.png") as picture:
        dots = picture.info["dpi"][0]
        assert round(dots) == 300
        assert picture.width / dots == pytest.approx(8.4 / 2.54, abs=0.02)
    assert (folder / "effects.csv").read_text().startswith('"variant","difference","low","high"')
    assert b"CreationDate" not in (folder / "effects.pdf").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--figure", "efects"), "effects"),
        (("--figure", "shapley"), "nothing to show"),
        (("--width", "8cm"), "--figure"),
        (("--figure", "effects", "--width", "8 parsec"), "cm, mm, in or pt"),
        (("--check", "--comment"), "not both"),
        (("--columns", "speed"), "there is no column 'speed'"),
        (("--fail-on", "wors"), "worse"),
        (("--format", "json", "--out", "x"), "--out: does nothing with --format json"),
        (("--comment", "--latex", "narrow"), "--latex: does nothing with --comment"),
        (("--figure", "effects", "--fail-on", "worse"), "--fail-on: does nothing with --figure"),
        (("--check", "--fail-on", "worse"), "--fail-on: does nothing with --check"),
    ],
)
def test_what_cannot_be_is_one_line(
    shell: Shell, url: str, options: tuple[str, ...], said: str
) -> None:
    code, _, err = shell("report", STUDY, "--db", url, *options)
    assert (code, err.count("\n"), said in err) == (2, 1, True), err


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
def test_another_setting_has_a_folder_of_its_own(shell: Shell, url: str) -> None:
    assert shell("report", STUDY, "--db", url)[0] == 0
    usual = shell.folder / "reports" / "digits-grid"
    told = json.loads((usual / "report.json").read_text())
    (usual / "report.json").write_text(json.dumps(told | {"setting": "another"}))
    code, out, _ = shell("report", STUDY, "--db", url)
    assert code == 0
    assert "has a folder of its own" in out
    (own,) = [path for path in (shell.folder / "reports").iterdir() if path != usual]
    assert own.name.startswith(f"digits-grid-{told['setting'][:8]}")
    assert json.loads((usual / "report.json").read_text())["setting"] == "another"
    assert shell("report", STUDY, "--db", url, "--check")[0] == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
def test_the_table_for_a_column_is_the_one_that_is_checked(shell: Shell, url: str) -> None:
    options = ("--latex", "narrow", "--columns", "variant,accuracy")
    assert shell("report", STUDY, "--db", url, *options)[0] == 0
    table = (shell.folder / "reports" / "digits-grid" / "table.tex").read_text()
    assert r"\begin{tabular*}{\columnwidth}" in table
    assert r"Variant & Accuracy (\%) \\" in table
    assert shell("report", STUDY, "--db", url, *options, "--check")[0] == 0
    assert shell("report", STUDY, "--db", url, "--check")[0] == 1


def test_a_notebook_has_effects_table_and_figures(url: str) -> None:
    results = ablate.open_results(url)
    effects, table = results.effects("digits-grid"), results.table("digits-grid")
    assert list(effects.index) == [name for name in table.index if name != "none"]
    assert effects["difference"].to_dict() == table["difference"].drop("none").to_dict()
    figure = results.figure("effects", "digits-grid", width_inches=3.3)
    assert isinstance(figure, Drawing)
    assert figure.get_figwidth() == pytest.approx(3.3)
    assert len(figure.axes[0].get_yticklabels()) == 10
    wrong: list[tuple[type[Exception], Callable[[], object]]] = [
        (UnknownNameError, lambda: results.figure("efects", "digits-grid")),
        (OptionError, lambda: results.figure("shapley", "digits-grid")),
        (StudyError, lambda: results.effects("digits-grit")),
    ]
    for error, do in wrong:
        with pytest.raises(error):
            do()


def test_drawing_for_a_notebook_writes_no_format() -> None:
    with canvas.style(), canvas.kept() as drawn, mock.patch.object(canvas, "png") as never:
        assert canvas.saved(canvas.axes(1.0)[0]) == Picture(b"")
    assert len(drawn) == 1
    never.assert_not_called()
