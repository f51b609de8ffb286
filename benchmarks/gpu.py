"""`python -m benchmarks.gpu`: what a CUDA device gains, and where its time goes. JSON, a file a device.

Questions for each batch size: what a step takes a run of the reference grid, by the way it is taken and the
runs beside it (paths); who trains how many images a second (race); how much several runs side by side and
the recorded step bring, what attention costs, and how near that is to the roofline (grid); how many
kernels an eager step of one run launches (steps) and the recorded one of a whole seed, and which of them take
its time (kernels). `--short` shows on any device that it runs; on a CPU steps are eager, and nothing is
compiled.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ablate.attention import fusable
from ablate.errors import AblateError
from ablate.execute.local import LocalExecutor
from ablate.system.hardware.machine import find_machine
from ablate.system.hardware.precision import choose_precision
from ablate.system.messages.text import duration
from ablate.tune.cohorts import MeasureCohorts
from ablate.tune.stepped import TIMED_BATCHES
from benchmarks import record
from benchmarks.field import IMAGE_SIZE, VARIANTS, Entry, Field, reference_grid
from benchmarks.kernels import measure_kernels, measure_steps
from benchmarks.options import Options, watch
from benchmarks.ours import Squad
from benchmarks.race import BenchmarkError, interleaved, race
from benchmarks.roofline import bytes_per_image, copy_bytes_per_second
from benchmarks.statistics import ratio_of

RESULTS = Path(__file__).parent / "results"
BATCH_SIZES = (64, 512)
COHORTS = (1, 2, 4, 8, 16)
PATHS = ("eager", "graph", "compiled")
SIDE_BY_SIDE = 8
"""In the race: fewer than a cohort has of most studies."""
LAP_EPOCHS = {"eager": 2, "compiled": 8, "graph": 16}
"""In a lap: one takes some by eager steps seconds, and others by graph milliseconds."""

Shots = dict[tuple[int, str], list[float]]
"""(runs side by side, step path) → images per second, one for each round."""


def measure_race(options: Options, batch_size: int) -> dict[str, Any]:
    """Everybody's images per second, and the ratio to the tutorial's way, which has batches of 64."""
    fields = [replace(options.field(name), batch_size=batch_size) for name in options.attention]
    entries = _entries(fields[0].device, options.short)
    # All networks in one race, so that everybody warms up at the same time.
    contestants = [(entry, field) for field in fields for entry in entries.values()]
    laps = race(contestants, options.rounds, f"race, batches of {batch_size}")
    speeds = [[lap.images_per_second for lap in own] for own in laps]
    return {
        name: dict(_against_today(entries, speeds[at * len(entries) : (at + 1) * len(entries)]))
        for at, name in enumerate(options.attention)
    }


def _against_today(
    entries: Mapping[str, Entry], speeds: Sequence[list[float]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every entry with its images per second, of which the first one's are today's."""
    for (name, entry), own in zip(entries.items(), speeds, strict=True):
        figures = {
            "images_per_second": statistics.median(own),
            "against_today": asdict(ratio_of(own, speeds[0])),
        }
        yield name, asdict(entry) | figures


def _entries(device: str, short: bool) -> dict[str, Entry]:
    """Who takes part; a lap of each is about as long as those of the others."""
    amp = choose_precision("amp", torch.device(device)).name
    laps = {name: 1 if short else epochs for name, epochs in LAP_EPOCHS.items()}
    entries = {
        "today": Entry("today", loader_workers=0 if short else 4),
        "airbench": Entry("airbench", precision=amp, epochs=laps["eager"]),
        "ablate, eager": Entry("ablate", precision=amp, epochs=laps["eager"]),
    }
    if device == "cuda":
        graph = Entry("ablate", precision=amp, step_path="graph", epochs=laps["graph"])
        entries |= {
            "compiled": Entry("compiled", precision=amp, epochs=laps["compiled"]),
            "ablate": graph,
            "ablate, compiled": replace(graph, step_path="compiled"),
            f"ablate, {SIDE_BY_SIDE} runs": replace(
                graph, cohort=SIDE_BY_SIDE, epochs=4 * graph.epochs
            ),
        }
    return entries


def measure_grid(options: Options, batch_size: int) -> dict[str, Any]:
    """Our engine by attention, runs side by side and step path; beside it the roofline."""
    device = find_machine(options.device).device
    bandwidth = copy_bytes_per_second(device)
    figures: dict[str, Any] = {"copy_bytes_per_second": bandwidth, "networks": {}}
    plain: Shots = {}
    for attention in options.attention:
        field = replace(options.field(attention), batch_size=batch_size)
        shots = _shots(field, options)
        plain = plain or shots
        net = field.net()
        moved = bytes_per_image(net, torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
        rows = list(_rows(shots, plain, bandwidth / moved))
        figures["networks"][attention] = {"bytes_per_image": moved, "rows": rows}
    return figures


def _shots(field: Field, options: Options) -> Shots:
    cohorts = options.cohorts or (COHORTS[:2] if options.short else COHORTS)
    paths = PATHS if field.device == "cuda" else PATHS[:1]
    plans = [
        (cohort, path)
        for cohort in cohorts
        for path in paths
        if path in (options.step_paths or paths)
    ]
    if not plans:
        raise BenchmarkError(f"a {field.device} steps by {', '.join(paths)} alone")
    shots: Shots = {plan: [] for plan in plans}
    with LocalExecutor(1) as executor:
        squad = Squad(field, executor)
        for plan in plans:
            squad.lap(1, *plan, _lap_epochs(plan, options.short))
        seen = watch(f"grid, {field.attention}, {field.batch_size}")
        for number in range(options.rounds):
            for i in interleaved(len(plans), number):
                started = time.perf_counter()
                images, _ = squad.lap(1, *plans[i], _lap_epochs(plans[i], options.short))
                shots[plans[i]].append(images / (time.perf_counter() - started))
            seen(number + 1, options.rounds)
    return shots


def _lap_epochs(plan: tuple[int, str], short: bool) -> int:
    cohort, path = plan
    return 1 if short else cohort * LAP_EPOCHS["eager" if path == "eager" else "graph"]


def _rows(shots: Shots, plain: Shots, roofline: float) -> Iterator[dict[str, Any]]:
    """`slower_than_plain` compares with the first network, at the same cohort and on the same path;
    its rounds were others, so it is a ratio of medians.
    """
    first = next(iter(shots.values()))
    for plan, speeds in shots.items():
        speed = statistics.median(speeds)
        yield {
            "cohort": plan[0],
            "step_path": plan[1],
            "images_per_second": speed,
            "against_first": asdict(ratio_of(speeds, first)),
            "slower_than_plain": statistics.median(plain[plan]) / speed,
            "share_of_roofline": speed / roofline,
        }


def measure_paths(options: Options, batch_size: int) -> dict[str, Any]:
    """Microseconds that a step takes a run of the reference grid, one seed of it, by step path and cohort;
    and the seconds of all that was measured on a path, of which compiling is the most.
    """
    field = replace(options.field("none"), batch_size=batch_size)
    grid = reference_grid()
    on_gpu = field.device == "cuda"
    networks = (
        {"eager": grid[:2], "graph": grid, "compiled": grid} if on_gpu else {"eager": grid[:2]}
    )
    fused = dict.fromkeys(fusable(), "fused")
    found: dict[str, Any] = {}
    with LocalExecutor(1) as executor:
        for path, variants in networks.items():
            started = time.perf_counter()
            job = MeasureCohorts(variants, field.recipe, field.dataset, field.device, fused, path)
            sizes = list(executor.results(job))
            found[path] = {
                "seconds": time.perf_counter() - started,
                "us_a_run": {
                    str(each.size): 1e6 * each.seconds_a_run / TIMED_BATCHES for each in sizes
                },
            }
    return found


QUESTIONS: dict[str, Callable[[Options, int], dict[str, Any]]] = {
    "paths": measure_paths,
    "race": measure_race,
    "grid": measure_grid,
    "steps": measure_steps,
    "kernels": measure_kernels,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; the figures of each question are written as soon as it is answered."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (asked.cohort or asked.step_path) and asked.what not in ("grid", "kernels", "all"):
        parser.error(f"--cohort and --step-path are of grid and kernels, not of {asked.what}")
    options = Options(
        data=asked.data,
        rounds=asked.rounds or (1 if asked.short else Options.rounds),
        steps=8 if asked.short else Options.steps,
        attention=tuple(asked.attention or (tuple(VARIANTS)[-1:] if asked.short else VARIANTS)),
        short=asked.short,
        device=asked.device,
        cohorts=tuple(asked.cohort or ()),
        step_paths=tuple(asked.step_path or ()),
    )
    try:
        place = record.describe_conditions(options)
        out = asked.out or RESULTS / (
            "short.json" if asked.short else f"{slug(place['device'])}.json"
        )
        for batch_size in asked.batch_size or BATCH_SIZES[: 1 if asked.short else None]:
            for name in QUESTIONS if asked.what == "all" else (asked.what,):
                started = time.monotonic()
                figures = QUESTIONS[name](options, batch_size)
                record.merge(out, f"gpu/{name}/{batch_size}", figures, place)
                took = duration(time.monotonic() - started)
                print(f"{name}, batches of {batch_size}: {took}, in {out}", flush=True)
    except AblateError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 2
    return 0


def slug(device: str) -> str:
    """The name of a device as a file name: `NVIDIA H200` → `nvidia-h200`."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*QUESTIONS, "all"])
    parser.add_argument("--data", type=Path, help="a folder or archive of images, else the digits")
    parser.add_argument("--out", type=Path, help="the JSON file (benchmarks/results/<device>.json)")
    parser.add_argument(
        "--attention", action="append", choices=VARIANTS, help="only these networks"
    )
    parser.add_argument("--batch-size", action="append", type=int, help="only batches of this size")
    parser.add_argument(
        "--cohort", action="append", type=int, help="grid, kernels: only so many runs side by side"
    )
    parser.add_argument(
        "--step-path", action="append", choices=PATHS, help="grid, kernels: only this way"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds of each comparison ({Options.rounds})")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cuda")
    parser.add_argument("--short", action="store_true", help="a trial, no figures")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
