"""Frames of a made-up study of every set of three places, with the bits of its runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from support.report_frames import make_frames
from support.worlds import make_samples

from ablate.result.image_results import Bits, ImageResults
from ablate.stats import Sample
from ablate.store.reading.frames import Frames

PLACES = ("pool1", "pool2", "pool3")
SETS = ["+".join(c) for size in (1, 2, 3) for c in itertools.combinations(PLACES, size)]
GATE = "random_gate(pool3, r=16)"


def placed(place: str, r: int = 16) -> str:
    return f"se({place}, r={r})"


GOOD = {placed(places): 2.0 for places in SETS if "pool3" in places}
"""SE helps at pool3 and nowhere else."""


def placed_frames(shifts: Mapping[str, float] = GOOD, *, seeds: int = 6, **study: Any) -> Frames:
    """SE at every set of three places, once with r = 4 as well, and a placebo."""
    names = ["none", *map(placed, SETS), placed("pool3", 4), GATE]
    rng = np.random.default_rng(12)
    samples = make_samples(rng, names, seeds=seeds, images=600, image_by_arm=0.3, shifts=shifts)
    frames = make_frames(dict.fromkeys(names, 0.8), seeds=seeds, **study)
    rows = [_told(row, samples, rng) for row in frames.runs.to_dict("records")]
    runs = frames.runs.from_records(rows)
    keys = zip(runs["run_key"], runs["variant"], runs["seed"], strict=True)
    bits = {k: np.packbits(samples[name].correct[seed]).tobytes() for k, name, seed in keys}
    images = ImageResults(Bits(bits, 600))
    layers = frames.layers[~frames.layers["attention"]]
    return replace(frames, runs=runs, images=images, layers=layers)


def _told(
    row: dict[Any, Any], samples: Mapping[str, Sample], rng: np.random.Generator
) -> dict[Any, Any]:
    """A run with the accuracy of its bits and the place that its variant's name says."""
    test = samples[row["variant"]].scores[row["seed"]]
    kind, _, rest = str(row["variant"]).partition("(")
    place, _, r = rest.rstrip(")").partition(", r=")
    where = {"position": place or None, "reduction": int(r) if r else None}
    accuracy = {"test_accuracy": test, "val_accuracy": test + rng.normal(0, 0.003)}
    return {**row, **where, **accuracy, "attention": kind}
