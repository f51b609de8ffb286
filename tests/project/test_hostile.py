"""A database from somebody hostile: one line from every command that reads one, and nothing is changed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Shell, message

from ablate.errors import DatabaseError
from ablate.page.document import Column, Document, Row, Section, Table, TableCell
from ablate.page.html import html, markdown
from ablate.report.files.latex import escaped
from ablate.result import histograms, snapshot
from ablate.store.files import stored as stored_file
from ablate.system.files import packed
from ablate.tensorboard.traces import show_traces

STUDY = """
name = "small"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
baseline = "none"
seeds = 2

[recipe]
epochs = 1
batch_size = 256
augment = []

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = "pool1"
reduction = 4
"""
SEARCH = """
[search]
sampler = "random"
trials = 2
seeds = 2
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and a database of two runs of it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(STUDY)
    subprocess.run(
        [sys.executable, "-m", "ablate", "run", "small.toml", "--device", "cpu", "--seeds", "1",
         "--executor", "inprocess", "--no-measure", "--no-probe"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def evil(trained: Path, shell: Shell) -> Path:
    """A copy of it in the working folder, for an attack; a good one is beside it."""
    for name in ("evil.db", "good.db"):
        (shell.folder / name).write_bytes((trained / "results/ablation.db").read_bytes())
    (shell.folder / "small.toml").write_text(STUDY)
    return shell.folder / "evil.db"


def attack(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def commands(database: str) -> Iterator[tuple[str, ...]]:
    """Every command that reads a database, on this one."""
    db, quick = ("--db", database), ("--device", "cpu", "--no-probe", "--executor", "inprocess")
    yield ("status", *db)
    yield ("status", "small.toml", *db)
    yield ("doctor", *db)
    yield ("plan", "small.toml", "--no-probe", *db)
    yield ("run", "small.toml", "--max-runs", "0", "--no-measure", *quick, *db)
    yield ("measure", "small.toml", "--device", "cpu", *db)
    yield ("report", "small.toml", *db)
    yield ("compare", "none", "se(pool1, r=4)", "--study", "small.toml", *db)
    yield ("explain", "none", "--study", "small.toml", *db)
    yield ("take", "none", "--study", "small.toml", "--out", "taken.py", *db)
    yield ("fold", "se(pool1, r=4)", "--study", "small.toml", "--out", "folded", *db)
    yield ("profile", "none", "se(pool1, r=4)", "--study", "small.toml", *db)
    yield ("tensorboard", "--no-serve", *db)
    yield ("export", "--out", "export", *db)
    yield ("merge", "good.db", database)
    yield ("merge", database, "good.db")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n"
EVERYWHERE = ("view for the revision", "older revision with a trigger", "other JSON")
"""Kinds that every command is shown, one of each check; the others those that read most: plans take time."""
READERS = ("status", "doctor", "report", "tensorboard", "export", "merge")
REFUSED = ("is not made as", "an older database", "a database of another program")
SCHEMAS = {
    "trigger": (
        "CREATE TRIGGER t AFTER INSERT ON epochs BEGIN DELETE FROM epochs; END",
    ),
    "trigger on a view": (
        "CREATE TRIGGER t INSTEAD OF INSERT ON v_runs BEGIN DELETE FROM runs; END",
    ),
    "view for a table": ("DROP TABLE looks", f"CREATE VIEW looks AS {ENDLESS}"),
    "view for the revision": ("DROP TABLE ablate_version", f"CREATE VIEW ablate_version AS {ENDLESS}"),
    "view of ours": ("DROP VIEW v_runs", f"CREATE VIEW v_runs AS {ENDLESS}"),
    "view more": (f"CREATE VIEW more AS {ENDLESS}",),
    "column": ("ALTER TABLE runs ADD COLUMN more INTEGER AS (seed + 1)",),
    "index": ("CREATE INDEX more ON runs (seed)",),
    "no index": ("DROP INDEX cells_in_order",),
    "virtual table": ("CREATE VIRTUAL TABLE more USING fts5(a)",),
    "older revision with a trigger": (
        "UPDATE ablate_version SET version_num = '0006'",
        "CREATE TRIGGER t AFTER INSERT ON epochs BEGIN DELETE FROM epochs; END",
    ),
    "older revision with other tables": ("UPDATE ablate_version SET version_num = '0003'",),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_is_not_ours_is_one_line(kind: str, evil: Path, shell: Shell) -> None:
    attack(evil, *SCHEMAS[kind])
    before = evil.read_bytes(), (shell.folder / "good.db").read_bytes()
    for command in commands("evil.db"):
        if kind not in EVERYWHERE and command[0] not in READERS:
            continue
        code, out, err = shell(*command)
        told = out if command[0] == "doctor" else err
        assert code == (1 if command[0] == "doctor" else 2), command
        assert command[0] == "doctor" or err.count("\n") == 1, (command, err)
        assert any(f"evil.db: {start}" in told for start in REFUSED), (command, told)
    assert (evil.read_bytes(), (shell.folder / "good.db").read_bytes()) == before


CONTENTS = {
    "text for a number": "UPDATE runs SET seconds = 'long'",
    "a number for text": "UPDATE cells SET variant = X'00ff'",
    "no JSON": "UPDATE runs SET recipe = '{'",
    "other JSON": "UPDATE runs SET recipe = '[1]'",
    "a definition without a recipe": "UPDATE studies SET definition = '{}'",
    "a context that is none": (
        "UPDATE studies SET definition = json_set(definition, '$.context', 'everywhere')"
    ),
    "layers that are none": "UPDATE architectures SET layers = '[1]'",
    "a status of its own": "UPDATE runs SET status = 'gone'",
    "bits that are text": "UPDATE runs SET test_correct = 'yes'",
    "a path for a key": "UPDATE cells SET study = '../../escape'",
    "endless images": "UPDATE test_sets SET images = 1000000000000",
    "labels of other images": "UPDATE test_sets SET labels = X'00'",
    "fewer images than none": "UPDATE datasets SET test_images = -1",
    "more than all of them": "UPDATE datasets SET majority_share = 7",
    "files passed over without a number": 'UPDATE datasets SET passed_over = \'{".txt": "many"}\'',
    "a row for nothing": "DELETE FROM architectures",
    "a deep document": f"UPDATE runs SET recipe = '{'[' * 100000}'",  # noqa: S608
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTENTS)
def test_rows_that_are_not_ours_are_no_traceback_and_never_taken_over(
    kind: str, evil: Path, shell: Shell
) -> None:
    attack(evil, CONTENTS[kind])
    attacked = evil.read_bytes()
    good = (shell.folder / "good.db").read_bytes()
    for command in commands("evil.db"):
        if kind not in EVERYWHERE and command[0] not in READERS:
            continue
        if command[0] == "measure":
            continue  # it would measure, for a minute: it reads no rows that the others do not
        evil.write_bytes(attacked)
        code, _, err = shell(*command)  # what is not caught fails the test
        assert "Traceback" not in err, command
        if command[0] == "doctor" or command[:2] == ("merge", "good.db") or command[0] == "export":
            assert code != 0, command
            assert err.count("\n") <= 1, (command, err)
    assert (shell.folder / "good.db").read_bytes() == good


def beside(folder: Path) -> list[Path]:
    """What lies there, but for the cache."""
    return sorted(path for path in folder.glob("*") if path.name != "cache")


@pytest.mark.slow
def test_names_out_of_a_database_lead_nowhere_else(evil: Path, shell: Shell) -> None:
    outside = shell.folder.parent
    before = beside(outside)
    for study in ("../../escape", f"{outside}/escape", "..", "a/b"):
        attack(evil, *(f"UPDATE {table} SET study = '{study}'" for table in ("cells", "studies")))  # noqa: S608
        code, _, err = shell("tensorboard", "--no-serve", "--db", "evil.db")
        assert code == 2
        assert err.count("\n") == 1
        assert shell("merge", "good.db", "evil.db")[0] == 2
    assert shell("tensorboard", "--no-serve", "--db", "good.db")[0] == 0
    assert beside(outside) == before
    assert not list(shell.folder.rglob("escape*"))


@pytest.mark.slow
def test_a_link_where_event_files_go_is_not_followed(
    evil: Path, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (shell.folder / "logs").mkdir()
    (shell.folder / "logs/small").symlink_to(tmp_path / "elsewhere")
    code, _, err = shell("tensorboard", "--no-serve", "--db", "evil.db", "--logdir", "logs")
    assert (code, "is a link" in err) == (2, True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_trace_that_is_a_link_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces/a-eager.pt.trace.json.gz").symlink_to(tmp_path / "secret")
    (tmp_path / "traces/b-eager.pt.trace.json.gz").write_text("ours")
    show_traces(tmp_path / "traces", tmp_path / "logs", {"a", "b"})
    shown = [path.name for path in (tmp_path / "logs/traces").iterdir()]
    assert shown == ["b-eager.pt.trace.json.gz"]


def npz(**arrays: np.ndarray) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def lying(content: bytes, shape: bytes, told: bytes) -> bytes:
    """Uncompressed, with another shape in an array's header."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out, zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            changed = archive.read(name).replace(shape + b" " * (len(told) - len(shape)), told)
            out.writestr(name, changed)
    return packed.getvalue()


BOMBS = {
    "zeros": npz(images=np.zeros(packed.MOST_BYTES + 1, np.uint8)),
    "a shape of terabytes": lying(npz(images=np.zeros(4)), b"(4,), }", b"(9999999999999,), }"),
    "no archive": b"\x00" * 100,
    "nothing": npz(),
    "labels that are none": npz(labels=np.frombuffer(b"[1]", np.uint8), images=np.zeros(3)),
}


@pytest.mark.parametrize("unpack", [snapshot.unpack, histograms.unpack])
@pytest.mark.parametrize("kind", BOMBS)
def test_packed_arrays_are_measured_before_they_are_unpacked(
    kind: str, unpack: Callable[[bytes], object]
) -> None:
    assert len(BOMBS[kind]) < 2**20
    tracemalloc.start()
    try:
        message((DatabaseError, histograms.DamagedError), lambda: unpack(BOMBS[kind]))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_bomb_in_a_database_is_one_line(evil: Path, shell: Shell) -> None:
    with closing(sqlite3.connect(evil)) as connection, connection:
        connection.execute("UPDATE explanations SET content = ?", [BOMBS["zeros"]])
    for command in (("report", "small.toml"), ("tensorboard", "--no-serve")):
        code, _, err = shell(*command, "--db", "evil.db")
        assert (code, err.count("\n"), "MiB" in err) == (2, 1, True), command


def test_control_characters_reach_neither_markdown_nor_latex_nor_the_page() -> None:
    name = "a\x1b[31m\x07\u202eb"
    table = Table(name, (Column(name),), (Row((TableCell(name),)),))
    page = Document(name, name, ((name, name),), "", (Section("s", name, (table,)),))
    for text in (
        markdown(page),
        escaped(name).replace("[U+FFFD]", "\N{REPLACEMENT CHARACTER}"),
        html(page),
    ):
        assert not set("\x1b\x07\u202e") & set(text)
        assert "\N{REPLACEMENT CHARACTER}" in text


def answers(address: str, **headers: str) -> tuple[int, list[str]]:
    asked = urllib.request.Request(address, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:  # noqa: S310
            return reply.status, reply.headers.get_all("Content-Security-Policy")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_all("Content-Security-Policy")


@pytest.mark.slow
def test_tensorboard_answers_its_own_address_alone(evil: Path, shell: Shell) -> None:
    command = [sys.executable, "-m", "ablate", "tensorboard", "--db", "evil.db", "--port", "6106"]
    with subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        told = next(line for line in served.stdout if "http://" in line)
        address = re.findall(r"http://\S+?/", told)[0]
        try:
            assert "frame-ancestors 'none'" in answers(address)[1]
            assert "frame-ancestors 'self'" in answers(f"{address}data/plugin_entry.html")[1]
            assert answers(f"{address}data/runs")[0] == 200
            port = address.rstrip("/").rpartition(":")[2]
            assert answers(f"{address}data/runs", Host=f"evil.example:{port}")[0] == 403
            assert answers(f"{address}data/runs", Origin="http://evil.example")[0] == 403
        finally:
            served.send_signal(signal.SIGINT)


@pytest.mark.slow
def test_workers_import_nothing_from_beside_the_study(evil: Path, shell: Shell) -> None:
    """Neither what the standard library has nor what ablate depends on."""
    for name in ("multiprocessing", "csv", "torch", "numpy"):
        (shell.folder / name).mkdir()
        (shell.folder / name / "__init__.py").write_text(f"open('imported-{name}', 'w')")
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "run", "small.toml", "--seeds", "1", "--device", "cpu",
         "--no-measure", "--no-probe", "--workers", "1", "--max-runs", "1", "--db", "new.db"],
        cwd=shell.folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(shell.folder.glob("imported-*"))


@pytest.mark.slow
def test_links_where_files_are_written_are_not_followed(
    trained: Path, evil: Path, shell: Shell, tmp_path: Path
) -> None:
    """In a report's folder, in the place of Optuna's copy, of traces and of a lock."""
    shutil.copytree(trained / "results" / "weights", shell.folder / "weights")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("what they have")
    reports = shell.folder / "reports" / "small"
    reports.mkdir(parents=True)
    (reports / "figures").symlink_to(theirs)
    assert_refused(shell("report", "small.toml", "--db", "evil.db"))
    (reports / "figures").unlink()
    reports.rmdir()
    reports.symlink_to(theirs)
    for command in (("report", "small.toml"), ("explain", "none", "--study", "small.toml")):
        assert_refused(shell(*command, "--db", "evil.db"))
    (shell.folder / "optuna.db").symlink_to(theirs / "file")
    (shell.folder / "searched.toml").write_text(STUDY + SEARCHED)
    quick = ("--device", "cpu", "--no-probe", "--executor", "inprocess", "--max-runs", "0")
    for command in (("dashboard",), ("search", "searched.toml", *quick)):
        assert_refused(shell(*command, "--db", "evil.db"))
    assert [path.name for path in theirs.iterdir()] == ["file"]
    assert (theirs / "file").read_text() == "what they have"


def assert_refused(ended: tuple[int, str, str]) -> None:
    code, _, err = ended
    assert (code, err.count("\n"), "is a link" in err) == (2, 1, True), err


SEARCHED = """
[search]
sampler = "random"
trials = 1
seeds = 1

[search.parameters]
attention = ["se"]
position = ["pool1"]
reduction = [4]
"""


@pytest.mark.slow
def test_search_and_dashboard_refuse_a_schema_that_is_not_ours(evil: Path, shell: Shell) -> None:
    (shell.folder / "searched.toml").write_text(STUDY + SEARCHED)
    quick = ("--device", "cpu", "--no-probe", "--executor", "inprocess", "--max-runs", "0")
    attack(evil, *SCHEMAS["trigger"])
    before = evil.read_bytes()
    code, _, err = shell("search", "searched.toml", *quick, "--db", "evil.db")
    assert (code, err.count("\n"), "is not made as" in err) == (2, 1, True), err
    assert evil.read_bytes() == before
    assert not (shell.folder / "optuna.db").exists()
    # Optuna's copy from somebody else: another program's tables, and no SQLite at all.
    for content in (b"\x80\x04 a pickle", b"SQLite format 3\x00" + bytes(100)):
        (shell.folder / "optuna.db").write_bytes(content)
        code, _, err = shell("dashboard", "--db", "good.db")
        assert (code, err.count("\n")) == (2, 1), err
        assert (shell.folder / "optuna.db").read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["study", "weights", "number", "control"])
def test_an_export_from_somebody_hostile_is_one_line_and_leaves_nothing(
    kind: str, evil: Path, shell: Shell
) -> None:
    """Its hashes are right: whoever made it could count them."""
    assert shell("export", "--format", "jsonl", "--db", "good.db", "--out", "theirs")[0] == 0
    name = {"study": "cells", "weights": "runs", "number": "epochs", "control": "studies"}[kind]
    file = shell.folder / "theirs" / "tables" / f"{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row.update(
            {
                "study": {"study": "../../escape"},
                "weights": {"run_key": "../../../../escape"},
                "number": {"train_loss": "1); DROP TABLE runs"},
                "control": {"study": "a\x1b]0;pwned\x07"},
            }[kind]
        )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = shell.folder / "theirs" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"][f"tables/{name}.jsonl"] |= {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
    }
    manifest.write_text(json.dumps(told))
    there = {path.name for path in shell.folder.iterdir()}
    code, _, err = shell("import", "theirs", "--db", "new.db")
    assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False), err
    assert not set("\x1b\x07") & set(err)
    assert {path.name for path in shell.folder.iterdir()} == there


def test_files_beside_a_database_are_measured_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(stored_file.MOST_BYTES + 1)  # takes no room on the disk
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("big", "larger than 8 GiB"), ("pipe", "no plain file")):
        with pytest.raises(OSError, match=said):
            stored_file.read_beside(tmp_path / name)
    (tmp_path / "ours").write_bytes(b"weights")
    assert stored_file.read_beside(tmp_path / "ours") == b"weights"


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n" + bytes(10**6)])
def test_pictures_that_are_none_or_too_large_are_never_taken_over(
    content: bytes, evil: Path, shell: Shell
) -> None:
    with closing(sqlite3.connect(evil)) as connection, connection:
        connection.execute("INSERT INTO test_pictures VALUES ('x', 32, 999, ?)", [content])
    code, _, err = shell("merge", "good.db", "evil.db")
    assert (code, err.count("\n"), "test_pictures.content" in err) == (2, 1, True), err
