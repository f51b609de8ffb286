"""`python -m benchmarks.memory`: does a worker's peak memory grow with the number of training images?

For each number of images a folder of JPEG files is prepared as `ablate run` prepares it, and new workers
train on it, validate and test; on fewer images for more epochs, so that all take as many steps.
Peaks are those of the whole process, by two of the kernel's books: VmHWM and ru_maxrss. Both count
the pages of mapped files that were touched.

A worker keeps the memory that it frees, and how well it fits what is needed next is chance: peaks
differ by 100 MiB from process to process. So several are measured, and others that give back at once
what they free: their peaks are what is in use.

`--workers 2 --limit-gib 6` trains with two workers at once, none of which may map more than that; what
cannot be had then is a failed run, and ends it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from ablate.datasets.base import Dataset
from ablate.datasets.images import ImageFiles
from ablate.errors import AblateError
from ablate.execute import Job
from ablate.execute.local import LocalExecutor
from ablate.job import Cohort, Run
from ablate.result import Failed, Finished
from ablate.study import Recipe, Variant
from ablate.system.software.imports import allow_imports
from benchmarks.ours import gather
from benchmarks.race import BenchmarkError

IMAGES = (2_000, 20_000)
IMAGE_SIZE = 96
CLASSES = 10
TEST_IMAGES = 2_000
"""Enough to evaluate several chunks of them, however few there are for training."""
REPEATS = 3
RECIPE = Recipe(schedule="constant", validation_fraction=0.3)
VARIANT = Variant("benchmarks.memory:small_network")


@dataclass(frozen=True)
class Peak:
    """The most memory that a process has held, as two of the kernel's books have it."""

    vm_hwm_mib: float
    ru_maxrss_mib: float


@dataclass(frozen=True)
class Prepare:
    """A job: decode the images of a folder into the cache, as is done before anything is trained."""

    dataset: Dataset

    def __call__(self) -> Iterator[Peak]:
        self.dataset.load()
        yield peak()


@dataclass(frozen=True)
class Train:
    """A job: train a cohort of one. Yields the peak of its process, and nothing of the training."""

    cohort: Cohort
    give_back: bool

    def __call__(self) -> Iterator[Peak]:
        events = self.cohort()
        next(events)  # the process is set up now
        if self.give_back:
            give_freed_memory_back()
        *_, (_, result) = events
        if not isinstance(result, Finished):
            raise BenchmarkError(result.error if isinstance(result, Failed) else "no result")
        yield peak()


def small_network(classes: int) -> nn.Module:
    """Trains in a tenth of a millisecond an image: what it is says nothing about memory for images."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=4, padding=3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=4, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


def give_freed_memory_back() -> None:
    """Undo `keep_freed_memory`: every larger piece is the system's again as soon as it is free."""
    mmap_threshold = -3
    ctypes.CDLL(None).mallopt(mmap_threshold, 2**16)


def peak() -> Peak:
    """Of this process, until now."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    [high] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return Peak(high / 2**10, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def main(arguments: Sequence[str]) -> int:
    """Print a row for each number of images: MiB."""
    asked = _parser().parse_args(arguments)
    allow_imports(["benchmarks"])
    print("| training images | their pixels | VmHWM | ru_maxrss | in use | preparing |")
    print("|---|---|---|---|---|---|")
    try:
        for count in asked.images:
            epochs = max(1, max(asked.images) // count)
            with address_limit(asked.limit_gib):
                row = _row(count, epochs, asked.size, asked.repeats, asked.workers)
            print(row, flush=True)
    except AblateError as error:
        print(f"memory: {error}", file=sys.stderr)
        return 2
    return 0


def _row(count: int, epochs: int, size: int, repeats: int, workers: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        # Workers inherit it: nothing of this stays in the user's cache.
        os.environ["ABLATE_CACHE"] = f"{folder}/cache"
        dataset = ImageFiles(draw_pictures(Path(folder) / "noise", count, size), size)
        recipe = RECIPE.model_copy(update={"epochs": epochs})
        cohort = Cohort((Run("memory", VARIANT),), 1, recipe, dataset, "cpu")
        prepared, trained, in_use = (
            [peak for _ in range(times) for peak in in_new_processes(job, at_once)]
            for job, times, at_once in (
                (Prepare(dataset), 1, 1),
                (Train(cohort, give_back=False), repeats, workers),
                (Train(cohort, give_back=True), repeats, workers),
            )
        )
    cells = [
        f"{count:,}",
        f"{count * size * size * 3 / 2**20:,.0f}",
        _cell(trained, lambda own: own.vm_hwm_mib),
        _cell(trained, lambda own: own.ru_maxrss_mib),
        _cell(in_use, lambda own: own.vm_hwm_mib),
        _cell(prepared, lambda own: own.vm_hwm_mib),
    ]
    return f"| {' | '.join(cells)} |"


def _cell(peaks: Sequence[Peak], book: Callable[[Peak], float]) -> str:
    """The median, and from where to where they go."""
    mib = [book(own) for own in peaks]
    within = f" ({min(mib):,.0f}–{max(mib):,.0f})" if len(mib) > 1 else ""
    return f"{statistics.median(mib):,.0f}{within}"


def in_new_processes(job: Job, workers: int = 1) -> list[Any]:
    """The one thing that a job yields, in each of some workers at once that do nothing else."""
    with LocalExecutor(workers) as executor:
        return list(gather(executor, [job] * workers))


@contextmanager
def address_limit(gib: float | None) -> Iterator[None]:
    """What this process, and what it starts, may map at most; the system holds them to it."""
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    if gib is not None:
        resource.setrlimit(resource.RLIMIT_AS, (round(gib * 2**30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def draw_pictures(folder: Path, count: int, size: int, test_images: int | None = None) -> Path:
    """A folder of that many training images, and test images beside them: noise.

    In patches of 8×8 pixels, so that a file is small.
    """
    random, side = np.random.default_rng(0), -(-size // 8)
    tested = TEST_IMAGES if test_images is None else test_images
    for split, images in (("train", count), ("test", tested)):
        for label in range(CLASSES):
            (folder / split / str(label)).mkdir(parents=True)
        for number in range(images):
            patches = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
            picture = patches.resize((size, size), Image.Resampling.NEAREST)
            picture.save(folder / split / str(number % CLASSES) / f"{number:06}.jpg")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.memory")
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--size", type=int, default=IMAGE_SIZE)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit-gib", type=float)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
