"""Cohort → Epochs → Results. Seeding and catching live here, so that the loop stays a loop."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset, read_images
from ablate.datasets.unchanged import Unchanged
from ablate.errors import AblateError, DataChangedError, DataError, NetworkChangedError
from ablate.identity.proof import Proof
from ablate.measure.activations import capture, find_layers
from ablate.model import build, prove
from ablate.network.pretrained import load_pretrained
from ablate.result import (
    Anew,
    Checkpoint,
    ComputePath,
    Epoch,
    Event,
    Failed,
    FailureKind,
    Finished,
    GivenBack,
    Halved,
    Kept,
    Noted,
    PartTested,
    Started,
)
from ablate.result.maps import sample_rows
from ablate.result.metrics import Score, Split
from ablate.result.named import NamedNetwork
from ablate.result.predictions import pack_labels
from ablate.result.pretrained import Pretrained
from ablate.result.snapshot import IMAGES, take
from ablate.result.snapshot import pack as pack_snapshot
from ablate.stats.metrics import measure
from ablate.study import ALL_DATA, PROTOCOL, DataTable, Recipe, Variant, stream_seed
from ablate.study.batches import epoch_images
from ablate.study.metrics import BEGAN_ACCURACY, BEGAN_LOSS
from ablate.system.device_errors import (
    CaptureError,
    ProcessSpentError,
    breaks_process,
    chain,
    out_of_memory,
)
from ablate.system.language import N_
from ablate.system.machine import Machine, describe_process, prepare_machine
from ablate.system.text import one_line
from ablate.train.checkpoint import Unfit, pack, unpack
from ablate.train.cohort import Began, Member, step_eagerly
from ablate.train.data import Data, Part, draw, forget_data, load_data
from ablate.train.graphs import make_graphs
from ablate.train.histograms import HistogramTaker
from ablate.train.loop import Evaluation, evaluate, train
from ablate.train.step import Trainer, make_trainer
from ablate.train.unmoved import attention_values, unmoved_attention
from ablate.train.weights import weights_to_bytes

CHECKPOINT_SECONDS = 20.0
"""A checkpoint is written at the end of an epoch when the last one is at least this old: a killed run
loses little, and short epochs do not drown in writing."""


CHECKPOINT_WORTH = 50.0
"""And how many times as long as writing the last one took: so writing takes at most 2 % of the time."""


def checkpoint_interval(asked_seconds: float, cost_seconds: float) -> float:
    """The least time between checkpoints, given what the last ones cost. 0 asks for one after each epoch."""
    return max(asked_seconds, CHECKPOINT_WORTH * cost_seconds) if asked_seconds else 0.0


@dataclass(frozen=True)
class Run:
    """One variant of a cohort. With `keep` its result brings the trained weights, with `look` (unless set, as
    `keep` says) a snapshot for pictures, with `histograms` its epochs bring those of weights and gradients;
    `start` is the checkpoint that it goes on from. `fingerprint` is that of the network which its key names.
    """

    run_key: str
    variant: Variant
    keep: bool = False
    look: bool | None = None
    start: bytes | None = None
    histograms: bool = False
    fingerprint: str | None = None

    @property
    def looked_at(self) -> bool:
        return self.keep if self.look is None else self.look


@dataclass(frozen=True)
class Cohort:
    """A job: runs of one seed, and of one fold where there are folds, under one recipe, trained side by side.
    Everything a worker needs.

    `content_hash` is that of the images which its run keys name; a worker that has others trains nothing.
    `named` is the network of the user's that they name: a worker that builds another trains nothing either,
    and whose code turns out to be other code gives no result. `pretrained` are the weights that its networks
    begin with; a worker that finds others trains nothing.

    Yields (run key, event) pairs: for each run its Epochs, Histograms and Checkpoints and then
    exactly one Finished or Failed, and `Anew` before them where its checkpoint is not continued; and for
    the whole cohort, under an empty key, `Started` before anything else, `Halved` when memory ran out,
    `Noted` when its steps could not be a graph after all, or a network could not be looked at, and
    `GivenBack` where the process must not go on, after which nothing comes.

    Raises:
        ProcessSpentError: a capture failed.
        torch.AcceleratorError: the device answers this process with nothing but errors.
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
    named: NamedNetwork | None = None
    data: DataTable = ALL_DATA
    pretrained: Pretrained | None = None
    fold: int | None = None

    def __call__(self) -> Iterator[tuple[str, Event | Started | Halved | Noted | GivenBack]]:
        machine = prepare_machine(
            self.device, self.recipe.precision, deterministic=self.deterministic
        )
        environment = describe_process(
            machine, self.kernels, step_path=self.step_path, deterministic=self.deterministic
        )
        yield "", Started(environment)
        yield from train_cohort(self, machine)


def train_cohort(
    cohort: Cohort, machine: Machine
) -> Iterator[tuple[str, Event | Halved | Noted | GivenBack]]:
    """Train the runs of a cohort. What raises is found by halving: it fails alone, the others go on
    from their last checkpoints. Not in a process that is spent or broken: there the next ones would fail
    by what these have done.
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
    except ProcessSpentError:
        raise
    except Exception as error:
        if breaks_process(error):
            raise
        failure = _failure(error)
        captured = next((each for each in chain(error) if isinstance(each, CaptureError)), None)
        trouble = None if captured is None else str(captured)
        of_all = isinstance(error, DataError | NetworkChangedError)
    if trouble is not None:
        yield from _spent(list(left), failure, trouble)
        raise ProcessSpentError
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


def _spent(
    left: list[str], failure: Failed, trouble: str
) -> Iterator[tuple[str, Failed | Halved | GivenBack]]:
    """The last events of a process in which a capture failed: of memory that ran out the cohort is halved,
    otherwise its networks are stepped eagerly.
    """
    if failure.kind != "oom":
        said = f"its cohort is stepped eagerly, it cannot be a graph: {trouble}"
        yield "", GivenBack(said, step_path="eager")
    elif len(left) == 1:
        yield left[0], failure
        yield "", GivenBack(N_("memory ran out in this process"))
    else:
        yield "", Halved((len(left) + 1) // 2)
        yield "", GivenBack(N_("memory ran out while its cohort was recorded"))


def _train_and_test(cohort: Cohort, machine: Machine) -> Iterator[tuple[str, Event | Noted]]:
    started = time.perf_counter()
    session = _Session(cohort, machine, load_images(cohort, machine), prove_networks(cohort))
    images = read_images(cohort.dataset)
    unchanged = Unchanged(images)
    members: dict[str, Member] = {}
    for run in cohort.runs:
        members[run.run_key], unfit = session.member(run)
        if unfit is not None:
            yield run.run_key, Anew(unfit.reason)
    for member in members.values():
        member.seconds += (time.perf_counter() - started) / len(members)
    runs = {run.run_key: run for run in cohort.runs}
    yield from session.look_before_training([(run, members[run.run_key]) for run in cohort.runs])
    key_of = {id(member): run_key for run_key, member in members.items()}
    last: dict[str, Epoch] = {}
    saved, cost = time.monotonic(), 0.0
    graphs = None if cohort.step_path == "eager" else make_graphs(cohort.step_path)
    told = False
    stepping = graphs or step_eagerly
    for events in train(list(members.values()), session.data, cohort.recipe, cohort.seed, stepping):
        if graphs is not None and graphs.trouble is not None and not told:
            told = True
            said = f"a cohort is stepped eagerly, it cannot be a graph: {graphs.trouble}"
            yield "", Noted(said, step_path="eager")
            session = replace(session, cohort=replace(cohort, step_path="eager"))
        due = time.monotonic() - saved >= checkpoint_interval(cohort.checkpoint_seconds, cost)
        # Before anything of this epoch is given away: what is stored may be gone on from.
        unchanged.prove(thoroughly=due)
        writing = 0.0
        for member, event in events:
            run_key = key_of[id(member)]
            yield run_key, event
            if isinstance(event, Failed):
                continue
            last[run_key] = event
            began = time.monotonic()
            yield from session.beside(runs[run_key], member, event, due=due)
            writing += time.monotonic() - began
        if due:
            saved, cost = time.monotonic(), writing
    for run in cohort.runs:
        if members[run.run_key].epochs_done == cohort.recipe.epochs:
            ended = list(session.finish(run, members[run.run_key], last[run.run_key]))
            images.check()
            session.check_code()
            yield from ended


@dataclass(frozen=True)
class _Session:
    """A cohort on its machine, with its images on the device and proof of its networks. `begun` has the
    attention of each run as it was initialised; `unsaved` runs can have no checkpoints.
    """

    cohort: Cohort
    machine: Machine
    data: Data
    proof: Proof | None = None
    begun: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)

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

    def look_before_training(
        self, members: Sequence[tuple[Run, Member]]
    ) -> Iterator[tuple[str, Noted]]:
        """Epoch 0: what networks that begin with trained weights are worth as they are, with attention."""
        new = [(run, member) for run, member in members if member.epochs_done == 0]
        if self.cohort.pretrained is None or not new:
            return
        stream = stream_seed(self.cohort.seed, "evaluation", 0)
        trainers = [member.trainer for _, member in new]
        for (run, member), seen in zip(
            new, evaluate(trainers, self.data, self.data.watched, stream), strict=True
        ):
            member.began = Began(seen.accuracy, seen.loss)
            if run.looked_at:
                said = f"{run.variant.name} begins with an accuracy of {100 * seen.accuracy:.2f} %"
                yield "", Noted(f"{said}, before any training")

    def beside(
        self, run: Run, member: Member, epoch: Epoch, *, due: bool
    ) -> Iterator[tuple[str, Event | Noted]]:
        """What goes with an epoch: its histograms, and a checkpoint where one is due."""
        taker = member.histograms
        if taker is not None and taker.trouble is not None:
            member.histograms = None
            yield "", Noted(f"{run.variant.name} has no more histograms: {taker.trouble}")
        elif taker is not None and taker.latest is not None:
            yield run.run_key, taker.latest
        if due and epoch.epoch < self.cohort.recipe.epochs and run.run_key not in self.unsaved:
            yield self._checkpoint(run, member, epoch.epoch)

    def _checkpoint(self, run: Run, member: Member, epoch: int) -> tuple[str, Event | Noted]:
        """The state of a run after an epoch, or why it has none: it can come to its end all the same."""
        try:
            return run.run_key, Checkpoint(epoch, pack(member, self.made_by(run)))
        except Exception as error:
            self.unsaved.add(run.run_key)
            said = f"{run.variant.name} has no checkpoints and begins anew if it is stopped"
            return "", Noted(f"{said}: {one_line(error)}")

    def _trainer(self, run: Run) -> Trainer:
        net, cohort = self._net(run), self.cohort
        if self.proof is not None:
            self.proof.check_weights(net)
        if cohort.pretrained is not None:
            dataset, backbone = cohort.dataset, run.variant.backbone
            classes = len(dataset.classes())
            load_pretrained(net, cohort.pretrained, backbone, classes, dataset.image_size)
        self.begun[run.run_key] = attention_values(net)
        use_kernels(net, cohort.kernels)
        machine, labels = self.machine, self.data.train.labels
        return make_trainer(net, cohort.recipe, machine.device, machine.precision, labels)

    def _net(self, run: Run) -> nn.Module:
        """The network of a run as it begins."""
        dataset = self.cohort.dataset
        return build(run.variant, len(dataset.classes()), dataset.image_size, self.cohort.seed)

    def check_code(self) -> None:
        """Nothing that these runs are given away with came from other code than their keys name."""
        if self.proof is not None:
            self.proof.check_code()

    def finish(
        self, run: Run, member: Member, last: Epoch
    ) -> Iterator[tuple[str, Finished | Noted]]:
        """The result of a run: tested once, with the weights of its last epoch."""
        started = time.perf_counter()
        member.trainer.settle()
        classes = self.cohort.dataset.classes()
        test = self._test("test", self.data.test, member)
        tested, right = tested_images(self.cohort)
        labels = pack_labels(right, classes)
        unmoved, unseen = self._unmoved(run, member.trainer)
        kept, trouble = self._keep(run, member.trainer)
        for said in filter(None, (unseen, trouble, self._one_class(test))):
            yield "", Noted(f"{run.variant.name} was trained, but {said}")
        yield (
            run.run_key,
            Finished(
                val_accuracy=last.val_accuracy,
                test_accuracy=test.accuracy,
                test_loss=test.loss,
                test_correct=test.correct,
                seconds=member.seconds + time.perf_counter() - started,
                train_images_per_second=self._images_trained(last.epoch) / member.train_seconds,
                device=self.machine.name,
                precision=self.machine.precision.name,
                kept=kept,
                unmoved_attention=unmoved,
                test_predictions=None if labels is None else test.predictions,
                labels=labels,
                scores=self._scores(member, test),
                tested=tested,
            ),
        )

    def _images_trained(self, epochs: int) -> int:
        return epoch_images(len(self.data.train), self.cohort.recipe) * epochs

    def _test(self, split: Split, part: Part, member: Member) -> Evaluation:
        """What a network says of all images of a part, from a stream of its own."""
        stream = stream_seed(self.cohort.seed, split)
        [found] = evaluate([member.trainer], self.data, part, stream, outputs=True)
        return found

    def _scores(self, member: Member, test: Evaluation) -> tuple[Score, ...]:
        """Every metric of the test images, and of the validation images where there are some."""
        found = self._measured("test", self.data.test, test) + self._began(member)
        if self.data.val is None:
            return found
        part = self.data.val
        return *self._measured("validation", part, self._test("validation", part, member)), *found

    def _began(self, member: Member) -> tuple[Score, ...]:
        if member.began is None:
            return ()
        split: Split = "test" if self.data.val is None else "validation"
        began = {BEGAN_ACCURACY: member.began.accuracy, BEGAN_LOSS: member.began.loss}
        return tuple(Score(split, metric, value) for metric, value in began.items())

    def _measured(self, split: Split, part: Part, seen: Evaluation) -> tuple[Score, ...]:
        if seen.logits is None or not np.isfinite(seen.logits).all():
            return ()
        classes = self.cohort.dataset.classes()
        values = measure(seen.logits, part.labels.cpu().numpy())
        return tuple(
            Score(split, metric, value, None if number is None else classes[number])
            for (metric, number), value in values.items()
        )

    def _one_class(self, test: Evaluation) -> str | None:
        """That a network says one class of everything, as one does that has learnt nothing."""
        classes = self.cohort.dataset.classes()
        if test.logits is None or len(classes) < 2:
            return None
        said = np.unique(test.logits.argmax(axis=1))
        return f"says {classes[said[0]]!r} of every test image" if len(said) == 1 else None

    def _unmoved(self, run: Run, trainer: Trainer) -> tuple[str | None, str | None]:
        """Which attention training never moved, or None and why nobody could look."""
        try:
            return ", ".join(unmoved_attention(trainer.net, self.begun[run.run_key])), None
        except Exception as error:
            return None, f"whether its attention was moved is not known: {one_line(error)}"

    def _keep(self, run: Run, trainer: Trainer) -> tuple[Kept | None, str | None]:
        """What is kept of a trained network, and what could not be. No run fails by being looked at."""
        if not (run.keep or run.looked_at):
            return None, None
        try:
            use_kernels(trainer.net, {})  # pictures look into modules that fused paths do not call
            weights = weights_to_bytes(trainer.net) if run.keep else None
        except Exception as error:
            return None, f"its weights cannot be kept: {one_line(error)}"
        try:
            return Kept(weights, self._look(trainer) if run.looked_at else None), None
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
    whole = load_data(cohort.dataset, recipe, machine.device, cohort.fold)
    return draw(whole, cohort.data, cohort.seed)


def tested_images(cohort: Cohort) -> tuple[PartTested | None, NDArray[np.int64]]:
    """Which of all images that are tested this cohort's fold tests, and the labels of all (N,)."""
    images = read_images(cohort.dataset)
    labels = images.tested_labels
    if cohort.fold is None:
        return None, labels
    rows = images.fold(cohort.fold).tested
    return PartTested(rows.start, rows.stop - rows.start, len(labels)), labels


def prove_networks(cohort: Cohort) -> Proof | None:
    """Show that the networks which are trained here are those of the run keys; of ours and of torchvision
    there is nothing to show.

    Raises:
        NetworkChangedError: they are not.
    """
    if cohort.named is None:
        return None
    wanted = [(run.variant, run.fingerprint) for run in cohort.runs]
    return prove(cohort.named, cohort.dataset.image_size, wanted)


def forget_images() -> None:
    """Keep no images for the next cohort."""
    forget_data()
    read_images.cache_clear()


_CHANGED: dict[type[AblateError], FailureKind] = {
    DataChangedError: "data_changed",
    NetworkChangedError: "network_changed",
}


def _failure(error: Exception) -> Failed:
    """What an exception means for a run that was alone with it."""
    if (memory := out_of_memory(error)) is not None:
        return Failed("oom", memory)
    if isinstance(error, AblateError):
        found = [kind for name, kind in _CHANGED.items() if isinstance(error, name)]
        return Failed(found[0] if found else "error", str(error))
    return Failed("error", "".join(traceback.format_exception(error)))


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
