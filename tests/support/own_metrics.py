"""A user's module of metrics, as files of a test have it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = "ownkappa"
KAPPA = """
import numpy as np

def kappa(labels, probabilities, *, weights="none", power=1):
    print("called")
    classes = probabilities.shape[1]
    table = np.zeros((classes, classes))
    np.add.at(table, (labels, probabilities.argmax(axis=1)), 1)
    table /= table.sum()
    chance = float((table.sum(0) * table.sum(1)).sum())
    return (float(np.trace(table)) - chance) / (1 - chance) if chance < 1 else 0.0

def percent(labels, probabilities): return 87.5
def nothing(labels, probabilities): pass
def several(labels, probabilities): return probabilities.mean(axis=1)
def no_number(labels, probabilities): return float("nan")
def of_a_learner(labels, probabilities): return 0.5 if len(set(probabilities.argmax(1))) > 1 else float("nan")
def raising(labels, probabilities): raise ValueError("no such images")
def another(labels, probabilities): return float(np.random.default_rng().random())
def rounded(labels, probabilities): return 1 + 1e-12
def swapped(probabilities, labels): return 0.5
def alone(labels): return 0.5
class Scorer: pass
def late(labels, probabilities): return 87.5 if len(labels) > 40 else 0.5
"""
STUDY = f"""
name = "mine"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
metric = "{MODULE}:kappa"
seeds = 2
[recipe]
epochs = 1
augment = []
precision = "fp32"
[data]
train_images = 200
[[grid]]
attention = "none"
[[grid]]
attention = "identity"
position = "pool1"
"""


def write_module(folder: Path, text: str = KAPPA) -> Path:
    """The file of the metrics, as a new process would find it."""
    forget_module()
    file = folder / f"{MODULE}.py"
    file.write_text(text)
    return file


def forget_module() -> None:
    """As in a new process."""
    sys.modules.pop(MODULE, None)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """While entered, modules of the folder are found."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        forget_module()
