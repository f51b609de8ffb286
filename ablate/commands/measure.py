"""`ablate measure`: how fast every variant of a study is on this device, by the full protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.datasets import data_of
from ablate.drive.costs import baseline_of, measure_throughput
from ablate.drive.prepare import prepare_plan
from ablate.execute.local import LocalExecutor
from ablate.measure.throughput import FULL_BLOCK_SECONDS, FULL_PROCESSES, FULL_ROUNDS, full
from ablate.page import format as fmt
from ablate.plan import Plan
from ablate.result import Cost
from ablate.search.networks import with_searched
from ablate.stats.ratios import Ratio, in_family
from ablate.stats.words import speed_words
from ablate.store.writing.store import Store
from ablate.study import Study
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.console import own_console, say
from ablate.system.messages.context import context_name
from ablate.system.messages.text import plural
from ablate.tune.choose import Tuning


@dataclass(frozen=True)
class MeasureOptions:
    """Where and how long to measure."""

    device: str = "auto"
    processes: int = FULL_PROCESSES
    rounds: int = FULL_ROUNDS
    block_seconds: float = FULL_BLOCK_SECONDS


def measure_studies(
    studies: Sequence[Study], data: Path | None, url: str, options: MeasureOptions
) -> None:
    """Measure a study in each of its contexts, one after the other.

    Raises:
        AblateError: as `measure_study`.
    """
    for study in studies:
        if study.context:
            say(f"context {context_name(study.context)}")
        measure_study(study, data_of(study, data), url, options)


def measure_study(study: Study, data: Path | None, url: str, options: MeasureOptions) -> None:
    """Measure all variants of a study, whether they are trained or not, those that its search has asked for
    among them, and say what came out.

    Raises:
        AblateError: the study, the data, the device or the database must be changed, or the study is
            being trained here; no cost was stored.
    """
    console = own_console()
    machine = find_machine(options.device, study.recipe.precision)
    # What a network costs is measured whether it learns or not.
    plan = prepare_plan(study, data, console, machine, 1, probe=False)
    store = Store(url)
    store.register(plan)
    with LocalExecutor(workers=1) as executor:
        Tuning(plan, store.choices, machine).kernels(executor)
    protocol = full(options.processes, options.rounds, options.block_seconds)
    plan = with_searched(plan, url)
    costs = measure_throughput(plan, store, machine, console, protocol)
    store.close()
    for line in _lines(plan, costs):
        say(line, console)


def _lines(plan: Plan, costs: Sequence[Cost]) -> list[str]:
    """One line for each variant, one for the noise floor, one for what was dropped."""
    names = {architecture.fingerprint: name for name, architecture in plan.variants.items()}
    baseline, first, others = baseline_of(plan), costs[0], len(names) - 1
    lines = []
    for fingerprint, name in names.items():
        mine = [cost for cost in costs if cost.fingerprint == fingerprint]
        lines.append(f"{name}: {_speeds(mine)} images/s")
        if fingerprint != baseline.fingerprint:
            lines.extend(f"  of the baseline's: {_ratio(cost, others)}" for cost in mine)
    same = [cost for cost in costs if cost.fingerprint == baseline.fingerprint]
    twice = ", ".join(_ratio(cost, family=1) for cost in same)
    lines.append(f"{names[baseline.fingerprint]} measured twice: {twice}: the noise floor")
    kept = f"{first.rounds} of {first.rounds + first.rounds_dropped} rounds count"
    dropped = f"{first.rounds_dropped} dropped because the machine drifted"
    return [*lines, f"{kept}, in {plural(first.processes or 1, 'process', 'processes')}; {dropped}"]


def _speeds(costs: Sequence[Cost]) -> str:
    return ", ".join(f"{cost.mode} {fmt.speed(cost.images_per_second)}" for cost in costs)


def _ratio(cost: Cost, family: int) -> str:
    """`train 0.90× (0.89 to 0.91): slower`, as the report will say it."""
    stored = Ratio(cost.baseline_ratio or 1.0, cost.ratio_low, cost.ratio_high, cost.processes)
    ratio = in_family(stored, family)
    told = fmt.ratio(ratio.ratio, ratio.low, ratio.high)
    return f"{cost.mode} {told}: {speed_words(ratio)}"
