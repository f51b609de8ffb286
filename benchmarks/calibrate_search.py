"""`python -m benchmarks.calibrate_search`: does a search find what the grid finds, with fewer runs?

A table of real results, every variant of `studies/reduction.toml` on the digits with five seeds, is
replayed: a search asks, the table answers. The 18 variants with 3 seeds each are the grid's 54 runs; a
search has half of them. What it picks is judged by the mean over all five seeds. 50 repeats differ in
the sampler's seed. Fails unless the median pick of TPE or of NSGA-II is within 0.1 points of the grid's
best, and its mean better than that of random search at the same budget.

Then a search of 200 trials with 4 workers is killed ten times: no trial may be lost, no run trained
twice.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna

from ablate.search.asking import Asker
from ablate.search.mirror import OptunaMirror, Outcome
from ablate.search.racing import clearly_worse
from ablate.search.space import Space
from ablate.store.writing.trials import TrialRow
from ablate.study.file import load_study
from ablate.study.search import Search

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "benchmarks" / "results" / "reduction.csv"
STUDY = ROOT / "studies" / "reduction.toml"
REPEATS = 50
SEEDS = 3
SAMPLERS = ("random", "tpe", "nsga2")
CLOSE = 0.001
"""0.1 points."""
START = "2026-01-01T00:00:00+00:00"
"""When every replayed trial was asked for: Optuna wants a time."""

Surface = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Found:
    """What one replayed search picked, and what it took."""

    picked: str
    runs: int
    trials: int


def read_surface() -> dict[str, list[float]]:
    """Validation accuracies by variant, in the order of their seeds."""
    surface: dict[str, list[float]] = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            surface.setdefault(row["variant"], []).append(float(row["val_accuracy"]))
    return surface


def replay(search: Search, space: Space, surface: Surface, budget: int) -> Found:
    """One search on the table: ask, look up, race, tell, until the budget of runs is spent."""
    board = OptunaMirror(optuna.storages.InMemoryStorage(), "replay", search, space, 1)
    asker = Asker(search, space, board, lambda point: space.variant(point).name)
    finished: dict[str, list[float]] = {}
    had: dict[str, list[float]] = {}
    known: dict[str, TrialRow] = {}
    runs = 0

    def told(row: TrialRow) -> Outcome:
        return Outcome((statistics.fmean(had[row.variant]),))

    while runs < budget and (asked := asker.next(len(known), known, told)) is not None:
        name = space.variant(asked[0]).name
        row = TrialRow(len(known), *asked, name, name, asked_at=START)
        board.add(row)
        accuracies = had[name] = list[float]()
        for value in surface[name][: min(SEEDS, budget - runs)]:
            accuracies.append(value)
            if search.racing and clearly_worse(accuracies, list(finished.values())):
                break
        runs += len(accuracies)
        if len(accuracies) == SEEDS:
            finished[name] = accuracies
        known[name] = replace(row, state="complete")
        board.tell(known[name], told(row))
    pool = finished or had
    return Found(max(pool, key=lambda name: statistics.fmean(pool[name])), runs, len(known))


def regrets(
    sampler: str, surface: Surface, repeats: int, share: float, racing: bool
) -> list[float]:
    """By how much each repeat's pick lies below the grid's best, over all seeds of the table."""
    study = load_study(STUDY)
    true = {name: statistics.fmean(values) for name, values in surface.items()}
    budget = int(len(surface) * SEEDS * share)
    found = []
    for repeat in range(repeats):
        search = _search(study.search, sampler, repeat, racing)
        space = Space(study.backbone, search.parameters)
        picked = replay(search, space, surface, budget).picked
        found.append(max(true.values()) - true[picked])
    return found


def _search(search: Search | None, sampler: str, seed: int, racing: bool) -> Search:
    if search is None:
        raise ValueError(f"{STUDY} has no search")
    changes = {"objectives": ["val_accuracy"], "constraints": {}, "sampler": sampler}
    document = {**search.model_dump(), **changes, "sampler_seed": seed, "racing": racing}
    return Search.model_validate(document)


def main(arguments: Sequence[str]) -> int:
    """Replay and kill; 1 if something does not hold."""
    asked = _parser().parse_args(arguments)
    surface = read_surface()
    print(f"{len(surface)} variants, half of {len(surface) * SEEDS} runs, {asked.repeats} repeats")
    print("sampler  racing  median regret  mean regret  within 0.1  (points)")
    medians: dict[str, float] = {}
    means: dict[str, float] = {}
    for racing in (True, False):
        for sampler in asked.samplers:
            started = time.monotonic()
            found = regrets(sampler, surface, asked.repeats, 0.5, racing)
            close = sum(regret <= CLOSE + 1e-12 for regret in found) / len(found)
            median, mean = statistics.median(found), float(np.mean(found))
            if racing:
                medians[sampler], means[sampler] = median, mean
            print(
                f"{sampler:8} {'yes' if racing else 'no':6} {100 * median:10.2f} {100 * mean:13.2f} "
                f"{close:12.0%}   {time.monotonic() - started:.0f} s",
                flush=True,
            )
    models = [name for name in asked.samplers if name != "random"]
    near = [name for name in models if medians[name] <= CLOSE + 1e-12]
    better = [name for name in near if "random" not in means or means[name] < means["random"]]
    print(f"within 0.1 points of the grid's best (median): {', '.join(near) or 'none'}")
    print(f"and better than random search (mean): {', '.join(better) or 'none'}")
    killed = 0 if asked.no_kills else _kill()
    return 0 if better and killed == 0 else 1


def _kill() -> int:
    """Four workers, 200 trials, ten times SIGKILL."""
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/search']\n"
        "import tempfile, pathlib, test_search\n"
        "from support.search_processes import MANY, search_plan\n"
        "plan = search_plan(trials=200, seeds=3, sampler='random', parameters=MANY)\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    test_search.kill_and_go_on(plan, pathlib.Path(folder), kills=10, seed=3)\n"
        "print('200 trials, 4 workers, 10 kills: none lost, none trained twice')\n"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate_search")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, choices=SAMPLERS)
    parser.add_argument("--no-kills", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
