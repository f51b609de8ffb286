"""Cohorts of small networks on real digits, and what is compared of their events."""

from __future__ import annotations

from typing import Any

from conftest import run_events

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.job import Cohort, Run
from ablate.result import Checkpoint, Halved
from ablate.study import Recipe, Variant

VARIANTS = {
    "none": ("none", None),
    "se": ("se", "pool3"),
    "cbam": ("cbam", "pool2+pool3"),
    "eca": ("eca", "pool3"),
}
TIMES = {"seconds", "images_per_second", "train_images_per_second"}


def make_run(name: str) -> Run:
    attention, position = VARIANTS[name]
    return Run(name, complete(Variant("cbam_cnn(width=0.25)", attention, position)), keep=True)


def make_cohort(*names: str, **changes: Any) -> Cohort:
    """A job of runs that are named by their variants; small networks on real digits."""
    recipe = {"epochs": 2, "augment": ("crop",), "batch_size": 256, **changes.pop("recipe", {})}
    runs = tuple(map(make_run, names))
    device = changes.pop("device", "cpu")
    return Cohort(runs, 1, Recipe(**recipe), open_dataset("digits", None, 16), device, **changes)


def events_of(job: Cohort) -> dict[str, list[Any]]:
    """The events of each run, in order; checkpoints apart."""
    events: dict[str, list[Any]] = {run.run_key: [] for run in job.runs}
    for run_key, event in run_events(job):
        # What is told of a whole cohort has no key.
        if run_key and not isinstance(event, Checkpoint | Halved):
            events[run_key].append(event)
    return events


def facts(events: list[Any]) -> list[dict[str, Any]]:
    """Everything but the times: also the weights that a run ended with."""
    return [{k: getattr(e, k) for k in e.__slots__ if k not in TIMES} for e in events]
