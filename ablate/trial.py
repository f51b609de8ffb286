"""Run → Epochs → Result. Seeding and catching live here, so that the loop stays a loop."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ablate.datasets.base import Dataset
from ablate.explain.arrays import sample_rows
from ablate.explain.capture import capture, find_layers
from ablate.explain.snapshot import IMAGES, pack, take
from ablate.explain.weights import weights_to_bytes
from ablate.model import build
from ablate.result import Epoch, Event, Failed, FailureKind, Finished, Kept
from ablate.study import Recipe, Variant, stream_seed
from ablate.train.data import Data, load_data
from ablate.train.loop import DivergedError, evaluate, train
from ablate.train.precision import choose_precision, device_name, prepare_device
from ablate.train.step import Trainer, make_trainer


@dataclass(frozen=True)
class Run:
    """A variant and a seed under one recipe and dataset: everything a worker needs, picklable.

    With `keep` the result brings the trained weights and a snapshot for pictures.
    """

    run_key: str
    variant: Variant
    seed: int
    recipe: Recipe
    dataset: Dataset
    device: str
    keep: bool = False

    def __call__(self) -> Iterator[Event]:
        return trial(self)


def trial(run: Run) -> Iterator[Event]:
    """Train a run. Yields an Epoch after each epoch and then exactly one Finished or Failed."""
    try:
        yield from _train_and_test(run)
    except DivergedError as error:
        yield Failed("diverged", str(error), error.epoch)
    except torch.OutOfMemoryError as error:
        yield Failed("oom", str(error).splitlines()[0])
    except MemoryError:
        yield Failed("oom", "the machine's memory ran out")
    except Exception as error:
        # torch's CPU allocator raises a plain RuntimeError.
        kind: FailureKind = "oom" if "can't allocate memory" in str(error) else "error"
        yield Failed(kind, traceback.format_exc())


def _train_and_test(run: Run) -> Iterator[Epoch | Finished]:
    started = time.perf_counter()
    device = prepare_device(run.device)
    precision = choose_precision(run.recipe.precision, device)
    data = load_data(run.dataset, run.recipe.split, run.recipe.validation_fraction, device)
    net = build(run.variant, len(run.dataset.classes()), run.dataset.image_size, run.seed)
    trainer = make_trainer(net, run.recipe, device, precision)
    # Dropout draws from torch's global generators.
    torch.manual_seed(stream_seed(run.seed, "dropout"))
    epochs = []
    for epoch in train(trainer, data, run.recipe, run.seed):
        epochs.append(epoch)
        yield epoch
    test = evaluate(trainer, data, data.test)
    images = len(data.train) * len(epochs)
    seconds = time.perf_counter() - started
    yield Finished(
        val_accuracy=epochs[-1].val_accuracy,
        test_accuracy=test.accuracy,
        test_loss=test.loss,
        test_correct=test.correct,
        seconds=seconds,
        train_images_per_second=images / sum(len(data.train) / e.images_per_second for e in epochs),
        device=device_name(device),
        precision=precision.name,
        kept=_kept(run, trainer, data) if run.keep else None,
    )


def _kept(run: Run, trainer: Trainer, data: Data) -> Kept:
    """The weights, and how the network sees the first test image of the first classes."""
    labels = data.test.labels.cpu().numpy()
    rows = sample_rows(labels, IMAGES)
    images = data.test.images[rows]
    layers = find_layers(trainer.net, run.dataset.image_size)
    seen = capture(trainer.net, data.normalise(images), layers)
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    snapshot = take(seen, pixels, labels[rows].tolist(), run.dataset.classes())
    return Kept(weights_to_bytes(trainer.net), pack(snapshot))
