"""What a shell is offered while a command is typed, by its own protocol: in a process without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli import COMMANDS

PROGRAM = """
import sys
sys.argv[0] = "ablate"
from ablate import cli
try:
    cli.main()
finally:
    heavy = [name for name in ("torch", "numpy", "sqlalchemy", "optuna") if name in sys.modules]
    print("loaded:", heavy, file=sys.stderr)
"""


def asked(folder: Path, shell: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, "_ABLATE_COMPLETE": shell, **environment,
                         "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stderr == "loaded: []\n"
    return done.stdout.splitlines()


def typed(folder: Path, words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    number = str(len(words.split(" ")) - 1)
    return asked(folder, "complete_bash", COMP_WORDS=words, COMP_CWORD=number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("mine.toml", "other.txt", "studies/first.toml", "[odd]*/a b.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.slow
def test_bash_is_offered_commands_options_values_and_study_files(folder: Path) -> None:
    assert typed(folder, "ablate ") == [*COMMANDS, "study"]
    assert typed(folder, "ablate study re") == ["rename"]
    assert "--until-decided" in typed(folder, "ablate run --u")
    assert typed(folder, "ablate run --device c") == ["cpu", "cuda"]
    assert typed(folder, "ablate run ") == ["[odd]*/a b.toml", "mine.toml", "studies/first.toml"]
    assert typed(folder, "ablate report studies/f") == ["studies/first.toml"]
    assert typed(folder, "ablate report nowhere/f") == [""]
    assert typed(folder, "ablate init --study att") == ["attention", "attention-core"]


@pytest.mark.slow
def test_zsh_and_fish_are_offered_the_same(folder: Path) -> None:
    given = {"_TYPER_COMPLETE_ARGS": "ablate run m", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert any("mine.toml" in line for line in asked(folder, "complete_zsh", **given))
    assert asked(folder, "complete_fish", **given) == ["mine.toml"]
    for shell in ("bash", "zsh", "fish"):
        assert f"_ABLATE_COMPLETE=complete_{shell}" in "\n".join(asked(folder, f"source_{shell}"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_is_installed_works_in_bash(folder: Path) -> None:
    program = folder / "ablate"
    program.write_text(f"#!{sys.executable}\nfrom ablate.__main__ import main\nmain()\n")
    program.chmod(0o755)
    script = (
        'eval "$(_ABLATE_COMPLETE=source_bash ./ablate)"; COMP_WORDS=(./ablate doct); COMP_CWORD=1; '
        '_ablate_completion ./ablate; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "doctor\n"
