"""What a command does where stdout, HOME, umask or names are not as usual, and with what nobody foresaw."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Shell

from ablate.commands import status as status_command
from ablate.store.writing.store import Store

STUDIES = Path(__file__).parents[2] / "studies"
DIGITS = str(STUDIES / "digits-grid.toml")
RUN = ["run", DIGITS, "--set", "recipe.epochs=1", "--seeds", "1", "--max-runs", "1", "--no-measure",
       "--no-probe", "--device", "cpu", "--executor", "inprocess", "--workers", "1"]  # fmt: skip
ODD = "100 %20 ?a=b#c"
"""Characters that mean something in a URL."""


def ablate(
    folder: Path, *arguments: str, then: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of its own process, with what a POSIX shell adds to it; its first words are left out."""
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -m ablate "$@" {then}', sys.executable, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300, errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
    )  # fmt: skip
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(line for line in lines if not line.startswith(("… ", "... ", "\ufffd ")))
    return done


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "empty.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.mark.slow
def test_what_only_prints_ends_with_a_code_where_it_cannot(database: Path) -> None:
    arguments = ("status", "--db", database.name)
    full = ablate(database.parent, *arguments, then="> /dev/full")
    assert full.returncode == 2
    assert full.stderr == (
        "ablate: stdout: cannot be written: No space left on device: send it elsewhere\n"
    )
    for closed in (">&-", ">&- 2>&- <&-"):
        done = ablate(database.parent, *arguments, then=closed)
        assert (done.returncode, done.stderr) == (0, "")
    gone = ablate(database.parent, *arguments, then="| true", env={"PYTHONUNBUFFERED": "1"})
    assert gone.returncode in (0, 130), "0 if it was quicker than what did not read"
    assert gone.stderr == ""


@pytest.mark.slow
def test_training_goes_on_without_a_reader(tmp_path: Path) -> None:
    for number, (where, reason) in enumerate(
        (("| head -c 1 > /dev/null", "Broken pipe"), ("> /dev/full", "No space left on device")), 1
    ):
        done = ablate(tmp_path, *RUN, "--db", f"{ODD}.db", then=where)
        assert done.returncode == 0
        assert done.stderr == (
            f"ablate: stdout can no longer be written ({reason}): the command goes on without it, "
            "`ablate status` shows how far it has come\n"
        )
        shown = ablate(tmp_path, "status", "--format", "json", "--db", f"sqlite:///{ODD}.db")
        assert f'"finished": {number}' in shown.stdout
    assert (tmp_path / f"{ODD}.db").is_file()
    merged = ablate(tmp_path, "merge", f"{ODD}.db", f"{ODD}.db")
    assert merged.returncode == 2, "its own database"


@pytest.mark.slow
def test_an_encoding_without_our_characters(tmp_path: Path) -> None:
    arguments = ("plan", DIGITS, "--no-probe")
    for name in ("ascii", "cp1252"):
        done = ablate(tmp_path, *arguments, env={"PYTHONIOENCODING": name})
        assert (done.returncode, done.stderr) == (0, "")
        assert "(32×32)" in done.stdout or "(32x32)" in done.stdout or "(32\ufffd32)" in done.stdout
        assert "+--" in done.stdout, "the table's edges"


def test_files_follow_the_umask(tmp_path: Path) -> None:
    for mask in (0o002, 0o022, 0o077):
        folder = tmp_path / oct(mask)
        before = os.umask(mask)
        try:
            Store(f"sqlite:///{folder / 'r.db'}").close()
        finally:
            os.umask(before)
        assert stat.S_IMODE((folder / "r.db").stat().st_mode) == 0o666 & ~mask
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask


@pytest.fixture
def nothing_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases that other tests of this process have opened are looked at too, and some are damaged."""
    monkeypatch.setattr("ablate.store.connection.contents.opened_files", lambda: ())


@pytest.mark.usefixtures("nothing_foreign")
def test_an_error_that_nobody_foresaw(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    monkeypatch.setenv("ABLATE_STATE", str(shell.folder / "state"))
    for error in (KeyError("what"), BrokenPipeError(32, "of another pipe"), EOFError("no more")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(status_command, "read_status", fail)
        code, out, errors = shell("status", "--db", f"postgresql://me:secret@nowhere/{database}")
        assert (code, out, errors.count("\n")) == (70, "", 1)
        assert f"an error that nobody foresaw: {type(error).__name__}" in errors
    files = sorted((shell.folder / "state" / "errors").iterdir())
    assert len(files) == 3
    told = [file.read_text() for file in files]
    assert all("Traceback" in text and "ablate status --db" in text for text in told)
    assert not any("secret" in text for text in told)
    assert sum(f"{file}: please" in errors for file in files) == 1


@pytest.mark.usefixtures("nothing_foreign")
def test_without_a_state_folder_the_error_is_told_all_the_same(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_STATE", str(tmp_path / "file" / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(status_command, "read_status", lambda *_: 1 / 0)
    code, _, errors = shell("status")
    assert code == 70
    assert "ZeroDivisionError: division by zero" in errors
    [file] = tmp_path.glob("error-*.txt")
    assert "ZeroDivisionError" in file.read_text()


@pytest.mark.slow
def test_the_text_of_a_study_is_no_markup(shell: Shell) -> None:
    for question, shown in (
        ("does [/b] help?", "does [/b] help?"),
        ("does [se] beat [cbam]?", "does [se] beat [cbam]?"),
        (":smile:", ":smile:"),
        ("\x1b]0;pwned\x07", "\ufffd]0;pwned\ufffd"),
    ):
        study = shell.folder / "t.toml"
        study.write_text(Path(DIGITS).read_text().replace("question = ", "#"), encoding="utf-8")
        written = question.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
        study.write_text(f'question = "{written}"\n{study.read_text()}')
        code, out, _ = shell("plan", str(study), "--no-probe")
        assert code == 0
        assert f": {shown}" in out.splitlines()[0]


@pytest.mark.slow
def test_doctor_tests_what_errors_send_there_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_STATE", str(tmp_path / "state"))
    code, out, _ = shell("doctor")
    assert code == 0
    assert "warn   database: results/ablation.db: there is none yet" in out
    code, out, _ = shell("doctor", "--db", "typo.db")
    assert code == 1
    assert "WRONG  database: typo.db: there is none yet: `ablate run STUDY` makes it" in out
    code, out, _ = shell("doctor", "--db", str(tmp_path / "file" / "r.db"))
    assert code == 1
    assert "WRONG  writing: " in out
    for variable, name in (("ABLATE_CACHE", "cache folder"), ("ABLATE_STATE", "state folder")):
        with monkeypatch.context() as patched:
            patched.setenv(variable, str(tmp_path / "file" / "x"))
            code, out, _ = shell("doctor")
        assert code == 1
        assert f"WRONG  {name}: {tmp_path}/file/x: cannot be written: set {variable}" in out
    monkeypatch.delenv("ABLATE_STATE")
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, out, _ = shell("doctor")
    assert code == 0
    assert f"warn   HOME: {tmp_path}/file: no folder there can be written" in out
