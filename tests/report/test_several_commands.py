"""`ablate report A B …`: files and names, one folder, --check, JSON, --fail-on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Shell

from ablate.page import canvas
from ablate.page.vector import Picture
from ablate.plan import make_plan
from ablate.store.transfer.imports import import_folder
from ablate.store.writing.store import Store
from ablate.study.file import load_study

ROOT = Path(__file__).parents[2]
STUDY = str(ROOT / "studies" / "digits-grid.toml")
FEW = """name = "digits-few"
dataset = "digits"
backbone = "cbam_cnn"
seeds = 3
[recipe]
epochs = 8
batch_size = 64
optimizer = "adam"
learning_rate = 0.001
schedule = "cosine"
augment = ["crop", "rotate"]
[[grid]]
attention = "none"
[[grid]]
attention = "se"
position = "pool1"
reduction = 16
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The published results of the digits; a study of some of the same runs, and one that never ran."""
    folder = tmp_path_factory.mktemp("published")
    found = f"sqlite:///{folder / 'r.db'}"
    import_folder(ROOT / "results" / "published" / "cpu", found)
    (folder / "few.toml").write_text(FEW)
    (folder / "none.toml").write_text(
        FEW.replace("digits-few", "digits-planned").replace("epochs = 8", "epochs = 7")
    )
    store = Store(found)
    for file in ("few.toml", "none.toml"):
        store.register(make_plan(load_study(folder / file)))
    store.close()
    return found


@pytest.fixture
def report(shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """No figure is drawn; the file of the second study lies here."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))
    (shell.folder / "few.toml").write_text(FEW)
    return shell


@pytest.mark.slow
def test_a_file_and_a_name_make_one_report_that_is_checked(report: Shell, url: str) -> None:
    code, out, err = report("report", STUDY, "few.toml", "--db", url)
    assert (code, err) == (0, "")
    folder = report.folder / "reports" / "digits-grid-and-digits-few"
    assert out.endswith(f"next: open {folder.relative_to(report.folder)}/report.html\n")
    said = (folder / "report.md").read_text()
    assert "digits-grid and digits-few may be compared" in said
    assert "6 finished runs stand in more than one" in said
    assert report("report", STUDY, "digits-few", "--db", url, "--check") == (0, "", "")
    (folder / "figures" / "heat-map.svg").write_text("")
    code, out, _ = report("report", "digits-grid", "digits-few", "--db", url, "--check")
    assert (code, "heat-map.svg: not what the database gives" in out) == (1, True)
    assert report("report", "digits-grid", "digits-few", "--db", url)[0] == 0
    assert not (folder / "figures" / "heat-map.svg").exists()


@pytest.mark.slow
def test_json_is_printed_and_a_verdict_is_an_exit_code(report: Shell, url: str) -> None:
    before = report.files()
    code, out, _ = report("report", "digits-grid", "digits-few", "--db", url, "--format", "json")
    told = json.loads(out)
    assert (code, report.files()) == (0, before)
    assert told["finished_runs"] == 33
    assert told["studies"][1]["counted_elsewhere"] == {
        "se(pool1, r=16)": "the same runs as digits-grid: counted there"
    }
    command = ("report", "digits-grid", "digits-few", "--db", url, "--format", "json", "--fail-on")
    assert report(*command, "worse")[0] == 0
    assert report(*command, "undecided")[0] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("digits-gird", "digits-few"),
            "unknown study 'digits-gird' (did you mean 'digits-grid'?)",
        ),
        (("digits-few", "digits-few"), "digits-few is named twice"),
        (("few.toml", "digits-few"), "digits-few is named twice"),
        (("digits-few",), "under one setting alone"),
        (("digits-few", "digits-planned"), "its baseline none has no finished run yet"),
        (("digits-few", "missing.toml"), "missing.toml: cannot be read"),
        (("digits-grid", "few.toml", "--set", "seeds=2"), "--set: for study files alone"),
        (("digits-grid", "few.toml", "--comment"), "--comment: does nothing with several studies"),
        (("digits-grid", "few.toml", "--figure", "effects"), "--figure: does nothing with several"),
        (
            ("digits-grid", "few.toml", "--latex", "wide"),
            "--latex: does nothing with several studies",
        ),
        (("digits-grid", "few.toml", "--check", "--fail-on", "worse"), "--fail-on: does nothing"),
    ],
)
def test_what_cannot_be_is_one_line(
    report: Shell, url: str, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = report("report", *arguments, "--db", url)
    assert (code, err.count("\n"), said in err) == (2, 1, True), err
