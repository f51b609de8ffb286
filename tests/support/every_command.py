"""Every command that ends by itself, with a folder in which it has something to do."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ablate.store.store import Store
from ablate.store.transfer.imports import import_folder

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "studies" / "digits-grid.toml")
TINY = """
name = "tiny"
question = "Does it fit, and is nothing lost at the edge of a terminal that is narrower than this sentence?"
dataset = "digits"
backbone = "cbam_cnn(width=0.25)"
baseline = "none"
seeds = 1

[recipe]
epochs = 1
batch_size = 256
augment = []
"""
GRID = """
[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = "pool1"
reduction = 4
"""
SEARCH = """
[[grid]]
attention = "none"

[search]
sampler = "random"
trials = 1
seeds = 1

[search.parameters]
attention = ["se"]
position = ["pool1", "pool2"]
reduction = [4, 8]
"""
PAIR = ("none", "cbam(pool*, r=16, k=7)", "--study", DIGITS)
SHORT = ("--max-runs", "1", "--no-probe", "--device", "cpu", "--executor", "inprocess")

QUICK: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "study list": ("study", "list"),
    "init": ("init", "--study", "digits", "--out", "mine.toml"),
}
"""They load neither torch nor pandas."""
OTHERS: dict[str, tuple[str, ...]] = {
    "export": ("export",),
    "import": ("import", str(ROOT / "results" / "published" / "cpu"), "--db", "back.db"),
    "merge": ("merge", "merged.db", "results/ablation.db"),
    "plan": ("plan", DIGITS, "--no-probe"),
    "run": ("run", "tiny.toml", "--no-measure", *SHORT),
    "search": ("search", "searched.toml", *SHORT),
    "report": ("report", DIGITS),
    "compare": ("compare", *PAIR),
    "profile": ("profile", *PAIR),
    "explain": ("explain", "none", "--study", "tiny.toml", "--samples", "1"),
    "tensorboard": ("tensorboard", "--no-serve"),
    "doctor": ("doctor",),
}
EVERY = QUICK | OTHERS
REMEMBERED = ("cache", "state", "tmp")
"""Folders that stay between commands."""


def working_folder(path: Path) -> Path:
    """A folder with the published results of the digits in its database, and two studies of seconds."""
    import_folder(ROOT / "results" / "published" / "cpu", f"sqlite:///{path}/results/ablation.db")
    with closing(sqlite3.connect(path / "results" / "ablation.db")) as connection, connection:
        # Weights are not published: a merge would miss them.
        connection.execute("UPDATE runs SET weights_file = NULL, weights_sha256 = NULL")
    (path / "tiny.toml").write_text(TINY + GRID)
    (path / "searched.toml").write_text(TINY.replace('"tiny"', '"searched"') + SEARCH)
    Store(f"sqlite:///{path / 'merged.db'}").close()
    shutil.copytree(path, _as_made(path))
    return path


def made_anew(path: Path) -> Path:
    """The same folder as `working_folder` made it, whatever commands have trained, written or left half done
    in it since; but for caches, and what is remembered for the user.
    """
    for found in path.iterdir():
        if found.name in REMEMBERED:
            continue
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    shutil.copytree(_as_made(path), path, dirs_exist_ok=True)
    return path


def _as_made(path: Path) -> Path:
    return path.with_name(f"{path.name}-as-made")
