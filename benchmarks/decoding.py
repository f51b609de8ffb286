"""Photographs decoded for the first time, on all cores and on one, against Pillow on one core.

JPEGs of 500×375 pixels, cut from scikit-learn's two photographs, brought to 224: looked at, hashed, decoded
and written by us; opened, resized and cropped by torchvision's transforms in a loop, and kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import transforms

from ablate.datasets.images import ImageFiles
from ablate.system.files.folders import VARIABLES
from ablate.system.hardware.processor import count_cores
from benchmarks.options import Options, watch
from benchmarks.race import interleaved
from benchmarks.statistics import ratio_of

IMAGES, SHORT_IMAGES = 10_000, 40
WIDTH, HEIGHT, SIDE = 500, 375, 224
QUALITY = 90
MOST_ROUNDS = 3


def measure_decoding(options: Options) -> dict[str, Any]:
    """Images a second of both, in turns, each time from files that the system has in memory."""
    count = SHORT_IMAGES if options.short else IMAGES
    rounds, seen = min(options.rounds, MOST_ROUNDS), watch("decoding")
    with tempfile.TemporaryDirectory() as name:
        photographs = write_photographs(Path(name) / "photographs", count)
        works: dict[str, Callable[[], None]] = {
            "ours": lambda: _ours(photographs),
            "pillow": lambda: _pillow(photographs),
        }
        if hasattr(os, "sched_setaffinity"):  # Linux
            works["ours on one core"] = lambda: _on_one_core(photographs)
        speeds: dict[str, list[float]] = {work: [] for work in works}
        for number in range(rounds):
            for place in interleaved(len(works), number):
                work = list(works)[place]
                started = perf_counter()
                works[work]()
                speeds[work].append(count / (perf_counter() - started))
            seen(number + 1, rounds)
    return {
        "images": count,
        "cores": count_cores(),
        "images_per_second": {work: float(np.median(own)) for work, own in speeds.items()},
        "ratio": asdict(ratio_of(speeds["ours"], speeds["pillow"])),
        **_of_cores(speeds),
    }


def _of_cores(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """How much faster ours is on all cores than on one, where that was measured."""
    alone = speeds.get("ours on one core")
    return {"ratio_of_cores": asdict(ratio_of(speeds["ours"], alone))} if alone else {}


def write_photographs(folder: Path, count: int) -> Path:
    """Windows of two photographs, one class each; a fifth of them to test on."""
    draws = np.random.default_rng(1)
    for label, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        rows, columns = photograph.shape[0] - HEIGHT, photograph.shape[1] - WIDTH
        for number in range(count // 2):
            part = "test" if number % 5 == 0 else "train"
            top, left = draws.integers(rows + 1), draws.integers(columns + 1)
            window = photograph[top : top + HEIGHT, left : left + WIDTH]
            file = folder / part / label / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(window).save(file, quality=QUALITY)
    return folder


def _ours(photographs: Path) -> None:
    with tempfile.TemporaryDirectory() as name, _cached_in(name):
        ImageFiles(photographs, SIDE).load()


def _on_one_core(photographs: Path) -> None:
    """As where this process may use one core only; the others stay to whoever has them."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        _ours(photographs)
    finally:
        os.sched_setaffinity(0, cores)


def _pillow(photographs: Path) -> None:
    bring = transforms.Compose([transforms.Resize(SIDE), transforms.CenterCrop(SIDE)])
    files = sorted(photographs.rglob("*.jpg"))
    kept = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    for row, file in enumerate(files):
        with Image.open(file) as image:
            kept[row] = np.asarray(bring(image.convert("RGB")))


@contextmanager
def _cached_in(folder: str) -> Iterator[None]:
    variable = VARIABLES["cache"]
    before = os.environ.get(variable)
    os.environ[variable] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
