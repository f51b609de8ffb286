"""`python -m benchmarks.calibrate_verdicts`: how often are verdicts wrong, where the truth is known?

Each cell is 2,000 made-up studies (`benchmarks.worlds`) of 1,797 test images, judged by `ablate.stats`
as the report judges real ones. Beside it stands what Welch's t-test with Holm's adjustment says of the
same studies, about seeds alone. Percent of studies; the bars are those of docs/verdicts.md. A quarter
of an hour on two cores; `--studies 200` for a first look.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ablate.stats import Effect, Sample, Verdict, effects
from ablate.system.messages.text import duration
from benchmarks.options import watch
from benchmarks.worlds import World

STUDIES = 2000
MARGIN = 0.005
UNEQUAL = (1.5, 1.0, 7.0, 1.0, 3.0, 1.0, 5.0, 2.0, 1.0, 4.0)
"""The ratios of ten arms as they were measured on real trainings."""

Effects = Mapping[str, Effect]
CLAIMS = (Verdict.BETTER, Verdict.WORSE)


@dataclass(frozen=True)
class Row:
    """A world, what is counted in it, and the bar for each number of seeds."""

    name: str
    world: World
    counted: Callable[[Effects, World], bool]
    bars: Mapping[int, tuple[float, float]]


def false_verdict(found: Effects, world: World) -> bool:
    """Any better or worse that is not so."""
    return any(e.verdict in CLAIMS for n, e in found.items() if n != "1" or not world.effect)


def missed(found: Effects, world: World) -> bool:
    """Any interval without the true difference."""
    truth = {"1": world.effect}
    return any(
        not (e.low is not None and e.high is not None and e.low <= truth.get(n, 0.0) <= e.high)
        for n, e in found.items()
    )


def detected(found: Effects, world: World) -> bool:
    """The one real difference."""
    return found["1"].verdict is (Verdict.BETTER if world.effect > 0 else Verdict.WORSE)


def called_equivalent(found: Effects, _world: World) -> bool:
    """The variant whose true difference is the margin."""
    return found["1"].verdict is Verdict.EQUIVALENT


def _up_to(three: float, five: float, ten: float) -> dict[int, tuple[float, float]]:
    return {3: (0, three), 5: (0, five), 10: (0, ten)}


NULL = World(own_images=0.0)
ROWS = (
    Row("no effect, images × arms", World(), false_verdict, _up_to(6, 6, 6)),
    Row("ratio 1.5", World(ratios=(1.5,)), false_verdict, _up_to(6.5, 6.5, 6.5)),
    Row("ratio 3", World(ratios=(3.0,)), false_verdict, _up_to(8, 6.5, 6)),
    Row("unequal arms, any interval misses", World(ratios=UNEQUAL), missed, _up_to(8.5, 6.5, 6)),
    Row("baseline 3, others 1", World(ratios=(3.0, *[1.0] * 9)), missed, _up_to(10, 7.5, 6)),
    Row("one variant, ratio 3", World(arms=2, ratios=(3.0,)), false_verdict, _up_to(6, 6, 6)),
    Row(
        "three times the baseline seeds",
        World(ratios=(1.5,)),
        false_verdict,
        _up_to(8, 6.5, 6),
    ),
    Row(
        "power for +0.45 points",
        replace(NULL, effect=0.0045),
        detected,
        {3: (13, 100), 5: (35, 100), 10: (75, 100)},
    ),
    Row("power at the stated smallest effect", NULL, detected, dict.fromkeys((3, 5, 10), (70, 85))),
    Row(
        "equivalent at the margin",
        replace(NULL, effect=MARGIN),
        called_equivalent,
        _up_to(5, 5, 5),
    ),
    Row("359 images, ratio 2", World(ratios=(2.0,), images=359), false_verdict, _up_to(8, 6.5, 6)),
    Row(
        "seeds correlate, ratio 3",
        World(ratios=(3.0,), shared=0.6),
        false_verdict,
        _up_to(8, 6.5, 6),
    ),
    Row("3 variants, 30 seeds", World(arms=4), false_verdict, {30: (0, 6)}),
)


@dataclass(frozen=True)
class Cell:
    """A row at one number of seeds, and what came out: percent of studies, ours and Welch's."""

    row: Row
    world: World
    ours: float
    welch: float

    @property
    def holds(self) -> bool:
        """Whether the bar is kept."""
        low, high = self.row.bars[self.world.seeds]
        return low <= self.ours <= high


def main(arguments: Sequence[str]) -> int:
    """Print every row; 1 if one is beyond its bar."""
    asked = _parser().parse_args(arguments)
    started, held, done = time.monotonic(), True, 0
    total, tell = sum(len(row.bars) for row in ROWS), watch("verdicts")
    print(f"{asked.studies:,} studies a cell; percent, Welch + Holm in brackets, bars behind")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(asked.processes) as pool:
        for row in ROWS:
            cells = []
            for seeds in row.bars:
                tell(done, total)
                cells.append(cell(row, seeds, asked.studies, asked.seed, pool))
                done += 1
            held &= all(each.holds for each in cells)
            print(f"{row.name:36s}" + "".join(map(_told, cells)), flush=True)
    print(
        f"{'all bars hold' if held else 'NOT all bars hold'}; {duration(time.monotonic() - started)}"
    )
    return 0 if held else 1


def cell(row: Row, seeds: int, studies: int, seed: int, pool: ProcessPoolExecutor) -> Cell:
    """Simulate one row at one number of seeds."""
    world = replace(row.world, seeds=seeds)
    if row.name.startswith("three times"):
        world = replace(world, baseline_seeds=3 * seeds)
    if row.name.startswith("power at the stated"):
        world = replace(world, effect=stated(world, seed))
    chunks = np.array_split(np.arange(studies), max(1, studies // 50))
    tasks = [(row.name, world, seed, chunk.tolist()) for chunk in chunks]
    ours, welch = np.sum(list(pool.map(count, tasks)), axis=0) * 100 / studies
    return Cell(row, world, float(ours), float(welch))


def stated(world: World, seed: int, studies: int = 100) -> float:
    """The smallest detectable effect that studies of this world state, the median."""
    rngs = (np.random.default_rng([seed, 99, i]) for i in range(studies))
    found = [effects(world.study(rng), "0", MARGIN)["1"].smallest_detectable for rng in rngs]
    return float(np.median([each for each in found if each is not None]))


def count(task: tuple[str, World, int, list[int]]) -> tuple[int, int]:
    """In how many of these studies the row's event is there, by our verdicts and by Welch's."""
    name, world, seed, numbers = task
    number, row = next((i, r) for i, r in enumerate(ROWS) if r.name == name)
    ours = welch = 0
    for study in numbers:
        samples = world.study(np.random.default_rng([seed, number, world.seeds, study]))
        ours += row.counted(effects(samples, "0", MARGIN), world)
        claims = welch_holm(samples)
        welch += claims["1"] if row.counted is detected else _any_false(claims, world)
    return ours, welch


def welch_holm(samples: Mapping[str, Sample]) -> dict[str, bool]:
    """Which variants the customary way calls different: Welch's t-test on accuracies, Holm's adjustment."""
    names = [name for name in samples if name != "0"]
    base = samples["0"].at(sorted(samples["0"].seeds))[:, None]
    others = np.stack([samples[name].at(sorted(samples[name].seeds)) for name in names], axis=1)
    with warnings.catch_warnings():  # of equal values, which are no difference
        warnings.simplefilter("ignore", RuntimeWarning)
        tested = stats.ttest_ind(others, base, equal_var=False)
    ps = np.nan_to_num(np.asarray(tested.pvalue), nan=1.0)
    adjusted = np.maximum.accumulate(np.sort(ps) * np.arange(len(ps), 0, -1))
    rank = np.argsort(np.argsort(ps))
    return {name: bool(adjusted[rank[i]] <= 0.05) for i, name in enumerate(names)}


def _any_false(claims: Mapping[str, bool], world: World) -> bool:
    return any(claimed for name, claimed in claims.items() if name != "1" or not world.effect)


def _told(found: Cell) -> str:
    low, high = found.row.bars[found.world.seeds]
    bar = f"≤ {high:g}" if low == 0 else f"≥ {low:g}" if high == 100 else f"{low:g}–{high:g}"
    mark = "" if found.holds else " !"
    return f"  n = {found.world.seeds}: {found.ours:4.1f} ({found.welch:.1f}; {bar}){mark}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate_verdicts")
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
