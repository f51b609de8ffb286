"""`ablate measure`: how fast every variant of a study is on this device, by the full protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.drive.costs import baseline_of, measure_throughput
from ablate.drive.prepare import prepare_plan
from ablate.execute.local import LocalExecutor
from ablate.measure.throughput import FULL_BLOCK_SECONDS, ROUNDS, full
from ablate.plan import Plan
from ablate.result import Cost
from ablate.store.store import Store
from ablate.study import Study
from ablate.system.console import own_console, say
from ablate.system.machine import find_machine
from ablate.tune.choose import Tuning


@dataclass(frozen=True)
class MeasureOptions:
    """Where and how long to measure."""

    device: str = "auto"
    rounds: int = ROUNDS
    block_seconds: float = FULL_BLOCK_SECONDS


def measure_study(study: Study, data: Path | None, url: str, options: MeasureOptions) -> None:
    """Measure all variants of a study, whether they are trained or not, and say what came out.

    Raises:
        AblateError: the study, the data, the device or the database must be changed, or the study is
            being trained here; no cost was stored.
    """
    console = own_console()
    machine = find_machine(options.device, study.recipe.precision)
    # What a network costs is measured whether it learns or not.
    plan = prepare_plan(study, data, console, machine, probe=False)
    store = Store(url)
    store.register(plan)
    with LocalExecutor(workers=1) as executor:
        Tuning(plan, store.choices, machine).kernels(executor)
    protocol = full(options.rounds, options.block_seconds)
    costs = measure_throughput(plan, store, machine, console, protocol)
    store.close()
    for line in _lines(plan, costs):
        say(line, console)


def _lines(plan: Plan, costs: Sequence[Cost]) -> list[str]:
    """One line for each variant, one for the noise floor, one for what was dropped."""
    names = {architecture.fingerprint: name for name, architecture in plan.variants.items()}
    baseline, first = baseline_of(plan), costs[0]
    lines = []
    for fingerprint, name in names.items():
        mine = [cost for cost in costs if cost.fingerprint == fingerprint]
        ratios = "" if fingerprint == baseline.fingerprint else f"; {_ratios(mine)} of the baseline"
        lines.append(f"{name}: {_speeds(mine)} images/s{ratios}")
    same = [cost for cost in costs if cost.fingerprint == baseline.fingerprint]
    lines.append(f"{names[baseline.fingerprint]} measured twice: {_ratios(same)}: the noise floor")
    kept = f"{first.rounds} of {first.rounds + first.rounds_dropped} rounds count"
    return [*lines, f"{kept}, {first.rounds_dropped} dropped because the machine drifted"]


def _speeds(costs: Sequence[Cost]) -> str:
    return ", ".join(f"{cost.mode} {cost.images_per_second:,.0f}" for cost in costs)


def _ratios(costs: Sequence[Cost]) -> str:
    return ", ".join(f"{cost.mode} {_ratio(cost)}" for cost in costs)


def _ratio(cost: Cost) -> str:
    if cost.ratio_low is None or cost.ratio_high is None:
        return f"{cost.baseline_ratio:.3f}× (too few rounds for an interval)"
    return f"{cost.baseline_ratio:.3f}× ({cost.ratio_low:.3f} to {cost.ratio_high:.3f})"
