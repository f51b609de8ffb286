"""A database from somebody hostile: one line from every command that reads one, and nothing is changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Shell

STUDY = """
name = "small"
dataset = "digits"
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
    yield ("profile", "none", "se(pool1, r=4)", "--study", "small.toml", *db)
    yield ("tensorboard", "--no-serve", *db)
    yield ("export", "--out", "export", *db)
    yield ("merge", "good.db", database)
    yield ("merge", database, "good.db")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n"
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


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_is_not_ours_is_one_line(kind: str, evil: Path, shell: Shell) -> None:
    attack(evil, *SCHEMAS[kind])
    before = evil.read_bytes(), (shell.folder / "good.db").read_bytes()
    for command in commands("evil.db"):
        code, out, err = shell(*command)
        told = out if command[0] == "doctor" else err
        assert code == (1 if command[0] == "doctor" else 2), command
        assert command[0] == "doctor" or err.count("\n") == 1, (command, err)
        assert "evil.db: is" in told or "evil.db: an older database" in told, (command, told)
    assert (evil.read_bytes(), (shell.folder / "good.db").read_bytes()) == before


CONTENTS = {
    "text for a number": "UPDATE runs SET seconds = 'long'",
    "a number for text": "UPDATE cells SET variant = X'00ff'",
    "no JSON": "UPDATE runs SET recipe = '{'",
    "other JSON": "UPDATE runs SET recipe = '[1]'",
    "a definition without a recipe": "UPDATE studies SET definition = '{}'",
    "layers that are none": "UPDATE architectures SET layers = '[1]'",
    "a status of its own": "UPDATE runs SET status = 'gone'",
    "bits that are text": "UPDATE runs SET test_correct = 'yes'",
    "a path for a key": "UPDATE cells SET study = '../../escape'",
    "endless images": "UPDATE test_sets SET images = 1000000000000",
    "labels of other images": "UPDATE test_sets SET labels = X'00'",
    "a row for nothing": "DELETE FROM architectures",
    "a deep document": f"UPDATE runs SET recipe = '{'[' * 100000}'",
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_rows_that_are_not_ours_are_no_traceback_and_never_taken_over(
    kind: str, evil: Path, shell: Shell
) -> None:
    attack(evil, CONTENTS[kind])
    good = (shell.folder / "good.db").read_bytes()
    for command in commands("evil.db"):
        code, _, err = shell(*command)  # what is not caught fails the test
        assert "Traceback" not in err, command
        if command[0] == "doctor" or command[:2] == ("merge", "good.db") or command[0] == "export":
            assert code != 0, command
            assert err.count("\n") <= 1, (command, err)
    assert (shell.folder / "good.db").read_bytes() == good
