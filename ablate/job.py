"""Cohort → Epochs → Results. Seeding and catching live here, so that the loop stays a loop."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset, read_images
from ablate.errors import AblateError, DataChangedError, DataError
from ablate.measure.activations import capture, find_layers
from ablate.model import build
from ablate.result import (
    Anew,
    Checkpoint,
    ComputePath,
    Epoch,
    Event,
    Failed,
    FailureKind,
    Finished,
    Halved,
    Kept,
    Noted,
    Started,
)
from ablate.result.maps import sample_rows
from ablate.result.predictions import pack_labels
from ablate.result.snapshot import IMAGES, take
from ablate.result.snapshot import pack as pack_snapshot
from ablate.study import PROTOCOL, Recipe, Variant, stream_seed
from ablate.system.machine import Machine, describe_process, prepare_machine
from ablate.system.text import one_line
from ablate.train.checkpoint import Unfit, pack, unpack
from ablate.train.cohort import Member, step_eagerly
from ablate.train.data import Data, load_data
from ablate.train.graphs import make_graphs
from ablate.train.histograms import HistogramTaker
from ablate.train.loop import evaluate, train
from ablate.train.step import Trainer, make_trainer
from ablate.train.unmoved import unmoved_attention
from ablate.train.weights import weights_to_bytes

CHECKPOINT_SECONDS = 20.0
"""A checkpoint is written at the end of an epoch when the last one is at least this old: a killed run
loses little, and short epochs do not drown in writing."""


@dataclass(frozen=True)
class Run:
    """One variant of a cohort. With `keep` its result brings the trained weights and a snapshot for
    pictures, with `histograms` its epochs bring those of weights and gradients; `start` is the
    checkpoint that it goes on from.
    """

    run_key: str
    variant: Variant
    keep: bool = False
    start: bytes | None = None
    histograms: bool = False


@dataclass(frozen=True)
class Cohort:
    """A job: runs of one seed under one recipe, trained side by side. Everything a worker needs.

    `content_hash` is that of the images which its run keys name; a worker that has others trains nothing.

    Yields (run key, event) pairs: for each run its Epochs, Histograms and Checkpoints and then
    exactly one Finished or Failed, and `Anew` before them where its checkpoint is not continued; and for
    the whole cohort, under an empty key, `Started` before anything else, `Halved` when memory ran out and
    `Noted` when its steps could not be a graph after all, or a trained network could not be looked at.
    """

    runs: tuple[Run, ...]
    seed: int
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str] = field(default_factory=dict)
    step_path: str = "eager"
    deterministic: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    content_hash: str | None = None

    def __call__(self) -> Iterator[tuple[str, Event | Started | Halved | Noted]]:
        machine = prepare_machine(
            self.device, self.recipe.precision, deterministic=self.deterministic
        )
        environment = describe_process(
            machine, self.kernels, step_path=self.step_path, deterministic=self.deterministic
        )
        yield "", Started(environment)
        yield from train_cohort(self, machine)


def train_cohort(cohort: Cohort, machine: Machine) -> Iterator[tuple[str, Event | Halved | Noted]]:
    """Train the runs of a cohort. What raises is found by halving: it fails alone, the others go on
    from their last checkpoints.
    """
    left = {run.run_key: run for run in cohort.runs}
    try:
        for run_key, event in _train_and_test(cohort, machine):
            if isinstance(event, Checkpoint):
                left[run_key] = replace(left[run_key], start=event.content)
            elif isinstance(event, Anew):
                left[run_key] = replace(left[run_key], start=None)
            elif isinstance(event, Finished | Failed):
                del left[run_key]
            elif isinstance(event, Noted) and event.step_path is not None:
                cohort = replace(cohort, step_path=event.step_path)
            yield run_key, event
        return
    except Exception as error:
        failure = _failure(error)
        of_all = isinstance(error, DataError)
    # Out of the handler, where nothing holds the cohort's tensors any more.
    _free_memory()
    if of_all:
        # The next cohort of this process reads anew: what is in the cache now, or the source.
        forget_images()
    if of_all or len(left) == 1:
        yield from ((run_key, failure) for run_key in left)
        return
    runs, half = tuple(left.values()), (len(left) + 1) // 2
    if failure.kind == "oom":
        yield "", Halved(half)
    yield from train_cohort(replace(cohort, runs=runs[:half]), machine)
    yield from train_cohort(replace(cohort, runs=runs[half:]), machine)


def _train_and_test(cohort: Cohort, machine: Machine) -> Iterator[tuple[str, Event | Noted]]:
    started = time.perf_counter()
    session = _Session(cohort, machine, load_images(cohort, machine))
    members: dict[str, Member] = {}
    for run in cohort.runs:
        members[run.run_key], unfit = session.member(run)
        if unfit is not None:
            yield run.run_key, Anew(unfit.reason)
    for member in members.values():
        member.seconds += (time.perf_counter() - started) / len(members)
    runs = {run.run_key: run for run in cohort.runs}
    key_of = {id(member): run_key for run_key, member in members.items()}
    last: dict[str, Epoch] = {}
    saved = time.monotonic()
    graphs = None if cohort.step_path == "eager" else make_graphs(cohort.step_path)
    told = False
    stepping = graphs or step_eagerly
    for events in train(list(members.values()), session.data, cohort.recipe, cohort.seed, stepping):
        if graphs is not None and graphs.trouble is not None and not told:
            told = True
            said = f"a cohort is stepped eagerly, it cannot be a graph: {graphs.trouble}"
            yield "", Noted(said, step_path="eager")
            session = replace(session, cohort=replace(cohort, step_path="eager"))
        due = time.monotonic() - saved >= cohort.checkpoint_seconds
        for member, event in events:
            run_key = key_of[id(member)]
            yield run_key, event
            if isinstance(event, Failed):
                continue
            last[run_key] = event
            if member.histograms is not None and member.histograms.latest is not None:
                yield run_key, member.histograms.latest
            if due and event.epoch < cohort.recipe.epochs:
                yield run_key, Checkpoint(event.epoch, pack(member, session.made_by(runs[run_key])))
        saved = time.monotonic() if due else saved
    for run in cohort.runs:
        if members[run.run_key].epochs_done == cohort.recipe.epochs:
            ended = list(session.finish(run, members[run.run_key], last[run.run_key]))
            read_images(cohort.dataset).check()
            yield from ended


@dataclass(frozen=True)
class _Session:
    """A cohort on its machine, with its images on the device."""

    cohort: Cohort
    machine: Machine
    data: Data

    def made_by(self, run: Run) -> dict[str, Any]:
        """What a run's checkpoint must have been made by to be continued here."""
        cohort = self.cohort
        path = find_path(
            self.machine,
            cohort.kernels,
            step_path=cohort.step_path,
            deterministic=cohort.deterministic,
        )
        return {**path.of(run.variant.attention).document(), "protocol": PROTOCOL}

    def member(self, run: Run) -> tuple[Member, Unfit | None]:
        """The run as its checkpoint left it, or at its beginning, and why it is not continued."""
        trainer = self._trainer(run)
        resumed = unpack(run.start, trainer, self.made_by(run)) if run.start is not None else None
        member = resumed if isinstance(resumed, Member) else Member(trainer)
        member.histograms = HistogramTaker() if run.histograms else None
        return member, resumed if isinstance(resumed, Unfit) else None

    def _trainer(self, run: Run) -> Trainer:
        net, cohort = self._net(run), self.cohort
        use_kernels(net, cohort.kernels)
        return make_trainer(net, cohort.recipe, self.machine.device, self.machine.precision)

    def _net(self, run: Run) -> nn.Module:
        """The network of a run as it begins."""
        dataset = self.cohort.dataset
        return build(run.variant, len(dataset.classes()), dataset.image_size, self.cohort.seed)

    def finish(
        self, run: Run, member: Member, last: Epoch
    ) -> Iterator[tuple[str, Finished | Noted]]:
        """The result of a run: tested once, with the weights of its last epoch."""
        started = time.perf_counter()
        stream = stream_seed(self.cohort.seed, "test")
        labels = pack_labels(self.data.test.labels.cpu().numpy(), self.cohort.dataset.classes())
        [test] = evaluate(
            [member.trainer], self.data, self.data.test, stream, predictions=labels is not None
        )
        unmoved = unmoved_attention(member.trainer.net, self._net(run))
        kept, trouble = self._keep(member.trainer) if run.keep else (None, None)
        if trouble is not None:
            yield "", Noted(f"{run.variant.name} was trained, but {trouble}")
        yield (
            run.run_key,
            Finished(
                val_accuracy=last.val_accuracy,
                test_accuracy=test.accuracy,
                test_loss=test.loss,
                test_correct=test.correct,
                seconds=member.seconds + time.perf_counter() - started,
                train_images_per_second=len(self.data.train) * last.epoch / member.train_seconds,
                device=self.machine.name,
                precision=self.machine.precision.name,
                kept=kept,
                unmoved_attention=", ".join(unmoved),
                test_predictions=test.predictions,
                labels=labels,
            ),
        )

    def _keep(self, trainer: Trainer) -> tuple[Kept | None, str | None]:
        """What is kept of a trained network, and what could not be. No run fails by being looked at."""
        use_kernels(trainer.net, {})  # pictures look into modules that fused paths do not call
        try:
            weights = weights_to_bytes(trainer.net)
        except Exception as error:
            return None, f"its weights cannot be kept: {one_line(error)}"
        try:
            return Kept(weights, self._look(trainer)), None
        except Exception as error:
            return Kept(weights, None), f"there are no pictures of it: {one_line(error)}"

    def _look(self, trainer: Trainer) -> bytes:
        """How the network sees the first test image of the first classes, fed as it was trained."""
        dataset = self.cohort.dataset
        labels = self.data.test.labels.cpu().numpy()
        rows = sample_rows(labels, IMAGES)
        images = self.data.test.images[rows]
        layers = find_layers(trainer.net, dataset.image_size)
        shown = self.data.normalise(images)
        shown = shown.contiguous(memory_format=trainer.precision.memory_format)
        seen = capture(trainer.net, shown, layers)
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        return pack_snapshot(take(seen, pixels, labels[rows].tolist(), dataset.classes()))


def find_path(
    machine: Machine,
    kernels: Mapping[str, str],
    *,
    step_path: str = "eager",
    deterministic: bool = False,
) -> ComputePath:
    """The path of runs that this machine computes so. A CPU repeats to the byte in any case."""
    return ComputePath(
        device=machine.name,
        precision=machine.precision.name,
        torch=torch.__version__,
        kernels=tuple(sorted(kernels.items())),
        step_path=step_path,
        deterministic=deterministic or not machine.is_gpu,
    )


def load_images(cohort: Cohort, machine: Machine) -> Data:
    """The images that a cohort is trained and tested on, once they are known to be those of its run keys.

    Raises:
        DataChangedError: they are not, or the source has others by now.
        DataError: they are nowhere any more.
    """
    recipe, found = cohort.recipe, cohort.dataset.content_hash()
    if cohort.content_hash not in (None, found):
        raise DataChangedError(
            f"{cohort.dataset.label}: has other images here than where the run was planned (content "
            f"{str(found)[:8]}, not {str(cohort.content_hash)[:8]}): bring them to the same state"
        )
    return load_data(cohort.dataset, recipe.split, recipe.validation_fraction, machine.device)


def forget_images() -> None:
    """Keep no images for the next cohort."""
    load_data.cache_clear()
    read_images.cache_clear()


def _failure(error: Exception) -> Failed:
    """What an exception means for a run that was alone with it."""
    if isinstance(error, torch.OutOfMemoryError):
        return Failed("oom", str(error).splitlines()[0])
    if isinstance(error, MemoryError):
        return Failed("oom", "the machine's memory ran out")
    if isinstance(error, AblateError):
        return Failed(
            "data_changed" if isinstance(error, DataChangedError) else "error", str(error)
        )
    # torch's CPU allocator raises a plain RuntimeError.
    kind: FailureKind = "oom" if "can't allocate memory" in str(error) else "error"
    return Failed(kind, "".join(traceback.format_exception(error)))


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
