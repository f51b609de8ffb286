"""Images trained per second: everybody on the same network, and our engine by cohort and workers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from ablate.execute.local import LocalExecutor
from ablate.system.hardware.machine import find_machine
from ablate.system.hardware.precision import choose_precision
from benchmarks.field import Entry, Field
from benchmarks.options import Options, watch
from benchmarks.ours import Squad
from benchmarks.race import Lap, interleaved, race
from benchmarks.statistics import ratio_of

HEAT_ROUNDS = 2
LOADER_WORKERS = (0, 2, 4)
LIGHTNING_PRECISIONS = ("32-true", "bf16-mixed")
COHORTS = (1, 2, 4, 8)


def measure_engine(options: Options) -> dict[str, Any]:
    """For each network: everybody's images per second, and the ratio to the tutorial's way."""
    return {name: _compare(options.field(name), options) for name in options.attention}


def _compare(field: Field, options: Options) -> dict[str, Any]:
    entries = _line_up(field, options.short)
    laps = race([(entry, field) for entry in entries], options.rounds, f"engine, {field.attention}")
    return {
        entry.player: {**asdict(entry), **_measured(own, laps[0])}
        for entry, own in zip(entries, laps, strict=True)
    }


def _measured(laps: Sequence[Lap], against: Sequence[Lap]) -> dict[str, Any]:
    speeds = [lap.images_per_second for lap in laps]
    ratio = ratio_of(speeds, [lap.images_per_second for lap in against])
    return {
        "images_per_round": laps[0].images,
        "images_per_second": statistics.median(speeds),
        "against_today": asdict(ratio),
    }


def _line_up(field: Field, short: bool) -> list[Entry]:
    """The entries of a race. The peers take the best of their settings, which heats find out."""
    workers = LOADER_WORKERS[:1] if short else LOADER_WORKERS
    today = _fastest([Entry("today", number) for number in workers], field)
    precisions = LIGHTNING_PRECISIONS[:1] if short else LIGHTNING_PRECISIONS
    lightning = _fastest([Entry("lightning", today.loader_workers, p) for p in precisions], field)
    device = torch.device(field.device)
    amp = choose_precision("amp", device).name
    return [
        today,
        lightning,
        Entry("timm", today.loader_workers, amp),
        Entry("airbench", precision=amp),
        Entry(
            "ablate",
            precision=amp,
            cohort=find_machine(device.type).cohort,
            workers=find_machine(device.type).workers,
        ),
    ]


def _fastest(entries: Sequence[Entry], field: Field) -> Entry:
    """The entry with the best median over a few rounds; one alone needs none."""
    if len(entries) == 1:
        return entries[0]
    heats = race(
        [(entry, field) for entry in entries], HEAT_ROUNDS, f"heats of {entries[0].player}"
    )
    speeds = [statistics.median(lap.images_per_second for lap in laps) for laps in heats]
    return entries[speeds.index(max(speeds))]


def measure_scaling(options: Options) -> dict[str, Any]:
    """Our engine's images per second for each size of cohort, with one worker and with one a core.

    Ratios are to one worker that trains one run.
    """
    field = options.field(options.attention[-1])
    most = find_machine(options.device).workers
    plans = [
        (w, c) for w in dict.fromkeys((1, most)) for c in COHORTS[: 2 if options.short else None]
    ]
    speeds: dict[tuple[int, int], list[float]] = {plan: [] for plan in plans}
    with LocalExecutor(most) as executor:
        squad = Squad(field, executor)
        for plan in plans:
            squad.lap(*plan)
        seen = watch("scaling")
        for number in range(options.rounds):
            for i in interleaved(len(plans), number):
                started = perf_counter()
                images, _ = squad.lap(*plans[i])
                speeds[plans[i]].append(images / (perf_counter() - started))
            seen(number + 1, options.rounds)
    return {
        "attention": field.attention,
        "rows": [
            {
                "workers": workers,
                "cohort": cohort,
                "images_per_second": statistics.median(own),
                "against_one": asdict(ratio_of(own, speeds[plans[0]])),
            }
            for (workers, cohort), own in speeds.items()
        ],
    }
