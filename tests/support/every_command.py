"""Every command that ends by itself, with a folder in which it has something to do."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ablate.model import build
from ablate.plan import make_plan
from ablate.result import Finished, Kept
from ablate.store.transfer.imports import import_folder
from ablate.store.writing.store import Store
from ablate.study.file import load_study
from ablate.train.weights import weights_to_bytes

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "studies" / "digits-grid.toml")
TINY = """
name = "tiny"
question = "Does it fit, and is nothing lost at the edge of a terminal that is narrower than this sentence?"
dataset = "digits"
image_size = 16
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

ELSEWHERE = "variant,seed,test_accuracy\nnone,1,0.91\nnone,2,0.92\nse,1,0.93\nse,2,0.91\n"

QUICK: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "study list": ("study", "list"),
    "init": ("init", "--study", "digits", "--out", "mine.toml"),
}
"""They load neither torch nor pandas."""
OTHERS: dict[str, tuple[str, ...]] = {
    "export": ("export",),
    "import": ("import", str(ROOT / "results" / "published" / "cpu"), "--db", "back.db"),
    "import-results": ("import-results", "elsewhere.csv", "--study", "elsewhere"),
    "merge": ("merge", "merged.db", "results/ablation.db"),
    "plan": ("plan", DIGITS, "--no-probe"),
    "run": ("run", "tiny.toml", "--no-measure", *SHORT),
    "search": ("search", "searched.toml", *SHORT),
    "report": ("report", "tiny.toml"),
    "compare": ("compare", *PAIR),
    "profile": ("profile", *PAIR),
    "explain": ("explain", "none", "--study", "tiny.toml", "--samples", "1"),
    "tensorboard": ("tensorboard", "tiny.toml", "--no-serve"),
    "take": ("take", "none", "--study", "tiny.toml", "--out", "taken.safetensors"),
    "fold": ("fold", "se", "--study", "folded.toml", "--out", "folded", "--margin", "0.05"),
    "doctor": ("doctor",),
    "check-attention": ("check-attention", "se"),
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
    (path / "elsewhere.csv").write_text(ELSEWHERE)
    (path / "tiny.toml").write_text(TINY + GRID)
    (path / "folded.toml").write_text(TINY.replace('"tiny"', '"folded"') + GRID)
    (path / "searched.toml").write_text(TINY.replace('"tiny"', '"searched"') + SEARCH)
    Store(f"sqlite:///{path / 'merged.db'}").close()
    _finish(path, "tiny", 0)
    _finish(path, "folded", 1)
    shutil.copytree(path, _as_made(path))
    return path


def _finish(path: Path, study: str, number: int) -> None:
    """A run of that variant of a study as if it had been trained: with weights to take."""
    plan = make_plan(load_study(path / f"{study}.toml"))
    cell = plan.cells[number]
    net = build(cell.variant, len(plan.dataset.classes()), plan.dataset.image_size, cell.seed)
    kept = Kept(weights_to_bytes(net), None)
    store = Store(f"sqlite:///{path}/results/ablation.db")
    store.register(plan)
    [claim] = store.claim_cohort([str(cell.run_key)], 1, lambda _: 0)
    result = Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "m", "fp32", kept)
    store.finish(claim, result, {})
    store.close()


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
