"""Mixed precision against fp32: the same runs in both, seed by seed, and the difference in accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.base import Dataset, Images, Watch
from ablate.datasets.split import stratified_split
from ablate.execute.local import LocalExecutor
from ablate.job import Cohort, Run
from ablate.result import Failed, Finished
from ablate.stats import interval
from ablate.study import Recipe
from ablate.system.hardware.machine import find_machine
from benchmarks.field import VARIANTS
from benchmarks.options import Options, watch
from benchmarks.ours import gather, measure_kernels
from benchmarks.race import BenchmarkError

SEEDS = 10
TRAIN_IMAGES = 5_000
TEST_IMAGES = 2_000
RECIPE = Recipe(epochs=3, schedule="one_cycle")
PRECISIONS = ("amp", "fp32")


@dataclass(frozen=True)
class Smaller(Dataset):
    """The same few images of every class of another dataset, always the same ones."""

    source: Dataset
    train: int
    test: int

    @property
    def image_size(self) -> int:  # type: ignore[override]
        return self.source.image_size

    @property
    def label(self) -> str:
        return self.source.label

    def classes(self) -> tuple[str, ...]:
        return self.source.classes()

    def content_hash(self) -> None:
        """Its runs are not for a database."""

    def load(self, watch: Watch | None = None) -> Images:
        images = self.source.load(watch)
        train, test = _few(images.train_labels, self.train), _few(images.test_labels, self.test)
        return replace(
            images,
            train_images=images.train_images[train],
            train_labels=images.train_labels[train],
            test_images=images.test_images[test],
            test_labels=images.test_labels[test],
        )


def _few(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of about `count` images, a share of each class; all where there are no more."""
    if count >= len(labels):
        return np.arange(len(labels))
    return stratified_split(labels, count / len(labels))[1]


def measure_amp(options: Options) -> dict[str, Any]:
    """The paired difference amp - fp32 of the test accuracy, with Student's t interval."""
    seeds = 2 if options.short else SEEDS
    images = (200, 100) if options.short else (TRAIN_IMAGES, TEST_IMAGES)
    field = options.field("cbam")
    dataset = Smaller(field.dataset, *images)
    loaded = dataset.load()
    results = _train(dataset, seeds, options)
    accuracy = {
        p: [results[p, seed].test_accuracy for seed in range(1, seeds + 1)] for p in PRECISIONS
    }
    pairs = zip(*(accuracy[precision] for precision in PRECISIONS), strict=True)
    difference = interval([amp - fp32 for amp, fp32 in pairs])
    return {
        "variant": field.variant.name,
        "seeds": seeds,
        "epochs": RECIPE.epochs,
        "train_images": len(loaded.train_labels),
        "test_images": len(loaded.test_labels),
        "amp_is": results["amp", 1].precision,
        "test_accuracy": accuracy,
        "difference": asdict(difference),
    }


def _train(dataset: Dataset, seeds: int, options: Options) -> dict[tuple[str, int], Finished]:
    """Every seed in both precisions, one run a worker."""
    machine = find_machine(options.device)
    device = machine.device.type
    asked = [(precision, seed) for seed in range(1, seeds + 1) for precision in PRECISIONS]
    workers, seen = machine.workers, watch("amp")
    results: dict[tuple[str, int], Finished] = {}
    with LocalExecutor(workers) as executor:
        kernels = dict(measure_kernels(executor, device))
        for first in range(0, len(asked), workers):
            group = asked[first : first + workers]
            jobs = [
                Cohort(
                    runs=(Run(f"{precision}/{seed}", VARIANTS["cbam"]),),
                    seed=seed,
                    recipe=RECIPE.model_copy(update={"precision": precision}),
                    dataset=dataset,
                    device=device,
                    kernels=kernels,
                )
                for precision, seed in group
            ]
            for key, event in gather(executor, jobs):
                if isinstance(event, Failed):
                    raise BenchmarkError(f"{key}: {event.error}")
                if isinstance(event, Finished):
                    precision, _, seed = key.partition("/")
                    results[precision, int(seed)] = event
            seen(len(results), len(asked))
    return results
