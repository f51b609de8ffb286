"""A results database of any size, without training: for tests of commands and for measuring their speed.

    python tests/support/big_database.py FILE        # 10,000 finished runs with 50 epochs each

Its study is `big_study(...)`; `python -m ablate plan` takes the study file that is written beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, insert, update

from ablate.plan import Plan, make_plan
from ablate.store import schema
from ablate.store.connection.engine import WRITE, open_engine
from ablate.store.writing.rows import add_environment
from ablate.store.writing.store import Store
from ablate.study.file import parse_study

POSITIONS = ["pool1", "pool2", "pool3", "pool1+pool2", "pool1+pool3", "pool2+pool3", "pool*"]
DEVICE = "a made-up GPU"
TIME = "2026-01-01T{:02d}:{:02d}:00.000Z"


def big_study(seeds: int, epochs: int, name: str = "big") -> dict[str, Any]:
    """A study of 20 variants."""
    return {
        "name": name,
        "dataset": "digits",
        "backbone": "cbam_cnn",
        "seeds": seeds,
        "recipe": {"epochs": epochs},
        "grid": [
            {"attention": "none"},
            {"attention": "se", "position": POSITIONS, "reduction": [4, 16]},
            {"attention": "cbam_channel", "position": POSITIONS[:5], "reduction": 8},
        ],
    }


def big_plan(seeds: int, epochs: int, name: str = "big") -> Plan:
    """Its plan."""
    return make_plan(parse_study(big_study(seeds, epochs, name), "big_database"))


def fill(url: str, plan: Plan, finished: int | None = None, steps: int = 0, seed: int = 0) -> None:
    """Register a plan and finish its first runs, all of them unless said otherwise.

    Every epoch is there, and `steps` steps of each run. The numbers are made up from a seed.
    """
    store = Store(url)
    store.register(plan)
    store.close()
    keys = [str(cell.run_key) for cell in plan.cells][:finished]
    epochs = plan.study.recipe.epochs
    rng = np.random.default_rng(seed)
    engine = open_engine(url, create=False)
    with engine.execution_options(**WRITE).begin() as connection:
        if keys:
            _finish(connection, keys, epochs, rng)
        for i in range(0, len(keys), 200):
            rows = list(_epochs(keys[i : i + 200], epochs, rng))
            connection.execute(insert(schema.epochs), rows)
            if steps:
                rows = list(_steps(keys[i : i + 200], epochs, steps, rng))
                connection.execute(insert(schema.steps), rows)
    engine.dispose()


def _finish(connection: Connection, keys: list[str], epochs: int, rng: np.random.Generator) -> None:
    environment_id = add_environment(connection, {"commit": "0" * 40, "torch": "2.15.0"})
    results = [
        {
            "key": key,
            "val": float(accuracy),
            "test": float(accuracy + 0.01),
            "loss": float(1 - accuracy),
            "correct": rng.integers(0, 256, 45, dtype=np.uint8).tobytes(),
            "taken": 2.0 * epochs,
            "at": TIME.format(i // 60 % 24, i % 60),
        }
        for i, (key, accuracy) in enumerate(
            zip(keys, rng.normal(0.9, 0.01, len(keys)), strict=True)
        )
    ]
    finish = (
        update(schema.runs)
        .where(schema.runs.c.run_key == bindparam("key"))
        .values(
            status="finished",
            attempts=1,
            val_accuracy=bindparam("val"),
            test_accuracy=bindparam("test"),
            test_loss=bindparam("loss"),
            test_correct=bindparam("correct"),
            seconds=bindparam("taken"),
            train_images_per_second=1000.0,
            device=DEVICE,
            precision="amp-bf16",
            environment_id=environment_id,
            started_at=bindparam("at"),
            finished_at=bindparam("at"),
        )
    )
    connection.execute(finish, results)
    attempts = [
        {
            "token": key * 2,
            "run_key": key,
            "number": 1,
            "host": "somewhere/1/",
            "pid": 4242,
            "started_at": result["at"],
            "finished_at": result["at"],
            "outcome": "finished",
        }
        for key, result in zip(keys, results, strict=True)
    ]
    connection.execute(insert(schema.attempts), attempts)


def _epochs(keys: list[str], epochs: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    noise = rng.normal(0, 0.01, (len(keys), epochs)).tolist()
    for key, mine in zip(keys, noise, strict=True):
        for epoch, error in enumerate(mine, start=1):
            accuracy = 1 - 0.5 / epoch**0.5 + error
            yield {
                "run_key": key,
                "epoch": epoch,
                "train_loss": 1 - accuracy,
                "train_accuracy": accuracy,
                "val_loss": 1.1 - accuracy,
                "val_accuracy": accuracy - 0.01,
                "learning_rate": 1e-3,
                "seconds": 2.0 + error,
                "images_per_second": 1000.0 + error,
            }


def _steps(
    keys: list[str], epochs: int, steps: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    noise = rng.normal(0, 0.1, (len(keys), steps)).tolist()
    for key, mine in zip(keys, noise, strict=True):
        for step, error in enumerate(mine, start=1):
            yield {
                "run_key": key,
                "step": 100 * step,
                "epoch": min(epochs, 1 + (step - 1) * epochs // steps),
                "batch_loss": 2.3 / step + error,
                "batch_accuracy": 0.5,
                "learning_rate": 1e-3,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a big results database.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=500, help="of 20 variants")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=0, help="of each run")
    given = parser.parse_args()
    started = time.monotonic()
    plan = big_plan(given.seeds, given.epochs)
    planned = time.monotonic()
    fill(f"sqlite:///{given.file.absolute()}", plan, steps=given.steps)
    filled = time.monotonic()
    given.file.with_suffix(".toml").write_text(_toml(big_study(given.seeds, given.epochs)))
    print(
        f"{given.file}: {len(plan.cells):,} runs with {given.epochs} epochs, planned in "
        f"{planned - started:.1f} s, filled in {filled - planned:.1f} s, "
        f"{given.file.stat().st_size / 2**20:.0f} MiB"
    )


def _toml(study: dict[str, Any]) -> str:
    lines = [f"{k} = {json.dumps(v)}" for k, v in study.items() if k not in ("recipe", "grid")]
    lines += ["", "[recipe]", *(f"{k} = {json.dumps(v)}" for k, v in study["recipe"].items())]
    for table in study["grid"]:
        lines += ["", "[[grid]]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
