"""The last line of a command says what to type next, and what is typed so can be: it names this database."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from conftest import Shell
from support.real_database import change, real_database
from typer.main import get_command

from ablate.cli import app
from ablate.store.writing.store import Store

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"
ODD = "odd 100% ?#.db"


@pytest.fixture
def folder(shell: Shell) -> Path:
    change(real_database(shell.folder / ODD), "DELETE FROM explanations")  # no real pictures
    Store(f"sqlite:///{shell.folder / 'other.db'}").close()
    return shell.folder


def typed_next(said: str) -> list[str]:
    """The words of the first command that the last line names."""
    last = said.splitlines()[-1]
    assert last.startswith("next: ablate "), said
    return shlex.split(last.removeprefix("next: ablate ").partition(",")[0])


COMMANDS = {
    "init": (("init", "--study", "digits"), "wrote digits.toml"),
    "export": (("export", "--out", "out dir"), "out dir/v_runs.csv: 4 rows"),
    "merge": (("merge", "other.db", ODD), "4 runs added to other.db"),
    "tensorboard": (
        ("tensorboard", "--no-serve"),
        "wrote tensorboard: event files of 3 runs",
    ),
    "status": (("study", "list"), "earlier"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_it_can_be_typed(name: str, shell: Shell, folder: Path) -> None:
    arguments, said = COMMANDS[name]
    db = () if arguments[0] in ("init", "merge") else ("--db", ODD)
    code, out, err = shell(*arguments, *db)
    assert (code, err) == (0, "")
    assert said in out
    command, *options = typed_next(out)
    parsed = get_command(app).commands[command].make_context(command, options).params  # type: ignore[attr-defined]
    if db and command != "import":
        assert parsed["db"] == ODD


@pytest.mark.slow
def test_an_export_is_brought_back_by_what_its_last_line_says(shell: Shell, folder: Path) -> None:
    _, out, _ = shell("export", "--db", ODD)
    assert typed_next(out)[:2] == ["import", "export"]
    code, out, _ = shell("import", "export", "--db", "back.db")
    assert (code, "imported into back.db" in out) == (0, True)
    assert shell(*typed_next(out))[0] == 0


@pytest.mark.slow
def test_of_a_report_an_explanation_and_doctor(shell: Shell) -> None:
    study = str(STUDIES / "digits-grid.toml")
    shell("import", str(ROOT / "results/published/cpu"))
    code, out, _ = shell("report", study)
    assert (code, out.splitlines()[-1]) == (0, "next: open reports/digits-grid/report.html")
    assert "wrote reports/digits-grid: " in out
    code, out, _ = shell(
        "explain", "none", "--study", str(STUDIES / "digits.toml"), "--set", "name=other"
    )
    assert (code, out.splitlines()[-1].startswith("next: open reports/")) == (0, True)
    code, out, _ = shell("doctor")
    assert out.splitlines()[-1] == "next: ablate status --db sqlite:///results/ablation.db"


def test_without_results_doctor_says_how_to_get_some(shell: Shell) -> None:
    assert shell("doctor")[1].splitlines()[-1] == "next: ablate init --study digits"


@pytest.mark.slow
def test_status_names_the_file_of_a_study_whatever_it_is_called(shell: Shell, folder: Path) -> None:
    _, out, _ = shell("status", "--db", ODD)
    name = out.splitlines()[-1].partition("file of study ")[2].partition(",")[0]
    assert name, out
    (folder / f"{name}.toml").write_text("no = [")
    (folder / "broken.toml").write_text(f'name = "{name}"\nseeds = "many"\n')
    text = (STUDIES / "digits-grid.toml").read_text()
    mine = folder / "my grid.toml"
    mine.write_text("\ufeff" + text.replace('name = "digits-grid"', f'name = "{name}"'), "utf-8")
    code, out, errors = shell("status", "--db", ODD)
    assert (code, errors, typed_next(out)[1]) == (0, "", mine.name)
    mine.unlink()
    code, out, _ = shell("status", "--db", ODD)
    assert (code, out.splitlines()[-1].endswith("which is not in this folder")) == (0, True)
