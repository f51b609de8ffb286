"""Every command where HOME, umask, encoding, stdout, width or names are not as usual: no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.every_command import EVERY, OTHERS, QUICK, made_anew, working_folder

from ablate.cli import COMMANDS, study


@dataclass(frozen=True)
class Surroundings:
    """What a command is started in; `codes` are those that it may end with."""

    env: dict[str, str] = field(default_factory=dict)
    before: str = ""
    then: str = ""
    codes: tuple[int, ...] = (0,)


SURROUNDINGS = {
    "no home": Surroundings(before="unset HOME; "),
    "a home that cannot be written": Surroundings({"HOME": "/dev/null/home"}),
    "umask 077": Surroundings(before="umask 077; "),
    "umask 000": Surroundings(before="umask 000; "),
    "PIP_USER": Surroundings({"PIP_USER": "1"}),
    "cp1252": Surroundings({"PYTHONIOENCODING": "cp1252"}),
    "ascii": Surroundings({"PYTHONIOENCODING": "ascii"}),
    "POSIX": Surroundings({"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "closed": Surroundings(then=">&-"),
    "all closed": Surroundings(then=">&- 2>&- <&-"),
    "full": Surroundings(then="> /dev/full", codes=(0, 2)),
    "head": Surroundings(then="| head -c 1 > /dev/null", codes=(0, 130)),
    "40 columns": Surroundings({"COLUMNS": "40"}),
}
TRIED = {
    name: tuple(list(OTHERS)[(2 * number + i) % len(OTHERS)] for i in range(2))
    for number, name in enumerate(SURROUNDINGS)
}
"""The commands that each is tried with: in turn, so that every command and every one of them occurs."""
ODD = "50% of ?a=b#c & [x]"
"""Characters that mean something in a URL, a shell or markup."""


def ended(
    folder: Path, arguments: tuple[str, ...], around: Surroundings
) -> subprocess.CompletedProcess[str]:
    cached = {"ABLATE_CACHE": str(folder / "cache"), "ABLATE_STATE": str(folder / "state")}
    homeless = "HOME" in around.before or "HOME" in around.env
    if homeless:  # what it has without any of them
        cached = {}
    env = {k: v for k, v in os.environ.items() if k not in ("ABLATE_CACHE", "ABLATE_STATE")}
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; {around.before}"$0" -m ablate "$@" {around.then}',
         sys.executable, *arguments],
        cwd=folder, capture_output=True, check=False, timeout=300, text=True, errors="replace",
        env={**env, **cached, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder / "tmp"),
             **around.env},
    )  # fmt: skip


def check(folder: Path, arguments: tuple[str, ...], around: Surroundings) -> None:
    done = ended(folder, arguments, around)
    assert "Traceback" not in done.stderr, (arguments, done.stderr)
    assert done.returncode in around.codes, (arguments, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return working_folder(tmp_path_factory.mktemp("everywhere"))


def test_every_command_is_tried_or_ends_never_by_itself() -> None:
    known = {*COMMANDS, *(f"study {name}" for name in study.STUDY_COMMANDS)}
    assert known - EVERY.keys() == {"dashboard", "measure", "study rename", "study delete"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_quick_commands(name: str, folder: Path) -> None:
    for command in ("study list",) if name != "no home" else QUICK:
        check(made_anew(folder), EVERY[command], SURROUNDINGS[name])


def test_the_turns_leave_no_command_out() -> None:
    assert {command for tried in TRIED.values() for command in tried} == OTHERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name"), [(command, name) for name, tried in TRIED.items() for command in tried]
)
def test_all_others(command: str, name: str, folder: Path) -> None:
    check(made_anew(folder), EVERY[command], SURROUNDINGS[name])


@pytest.mark.slow
@pytest.mark.parametrize("command", [*EVERY, "study rename", "study delete"])
def test_names_that_mean_something_in_a_url(command: str, folder: Path) -> None:
    """In every option that is a database, a storage or a folder."""
    made_anew(folder)
    database = folder / f"{ODD}.db"
    shutil.copy(folder / "results" / "ablation.db", database)
    shutil.copytree(folder / "results" / "weights", folder / "weights", dirs_exist_ok=True)
    arguments = {
        "study rename": ("study", "rename", "digits-grid", "other"),
        "study delete": ("study", "delete", "digits-grid", "--yes"),
        "merge": ("merge", f"{ODD} 2.db", database.name),
        "import": (*EVERY["import"][:2], "--db", f"{ODD} 2.db"),
        "export": ("export", "--out", f"export/{ODD}"),
        "search": (*EVERY["search"], "--storage", f"sqlite:///{ODD} optuna.db"),
        "tensorboard": (*EVERY["tensorboard"], "--logdir", f"tensorboard/{ODD}"),
        "report": (*EVERY["report"], "--out", f"reports/{ODD}"),
        "explain": (*EVERY["explain"], "--out", f"reports/{ODD}"),
        "init": (*EVERY["init"][:3], "--out", f"{ODD}.toml"),
        "take": (*EVERY["take"][:4], "--out", f"reports/{ODD}/taken.py"),
        "fold": (*EVERY["fold"], "--out", f"reports/{ODD}/folded"),
    }.get(command, EVERY.get(command, ()))
    if command == "merge":
        shutil.copy(folder / "merged.db", folder / f"{ODD} 2.db")
    db = (
        ()
        if command in ("merge", "import", "init", "check-attention")
        else ("--db", f"sqlite:///{database.name}")
    )
    check(folder, (*arguments, *db), Surroundings())
    assert {p.name for p in folder.iterdir() if p.name.startswith("50")} <= {
        f"{ODD}.db", f"{ODD} 2.db", f"{ODD}.toml", f"{ODD} optuna.db"
    }  # fmt: skip
