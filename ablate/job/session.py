"""The runs of a cohort from their beginning, or their checkpoints, to their results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ablate.attention import use_kernels
from ablate.datasets.base import read_images
from ablate.datasets.unchanged import Unchanged
from ablate.identity.own_function import FunctionProof
from ablate.identity.own_metric import prove_metric
from ablate.identity.proof import Proof
from ablate.job.checkpoints import CheckpointClock
from ablate.job.finish import finish
from ablate.job.images import load_images
from ablate.job.path import find_path
from ablate.model import build, prove
from ablate.network.pretrained import load_pretrained
from ablate.result import (
    Anew,
    Checkpoint,
    Epoch,
    Event,
    Failed,
    Noted,
)
from ablate.stats.own_metric import OwnMetric
from ablate.study import PROTOCOL, stream_seed
from ablate.system.hardware.machine import Machine
from ablate.system.messages.text import one_line, seed_and_fold
from ablate.train.checkpoint import Unfit, pack, unpack
from ablate.train.cohort import Began, Member, Stepping, step_eagerly
from ablate.train.data import Data
from ablate.train.graphs import make_graphs
from ablate.train.histograms import HistogramTaker
from ablate.train.loop import evaluate, train
from ablate.train.own_loop import train_own
from ablate.train.own_trainer import OwnTrainer, prove_trainer
from ablate.train.step import Trainer, make_trainer
from ablate.train.unmoved import attention_values

if TYPE_CHECKING:
    from ablate.job.cohort import Cohort, Run


def train_and_test(cohort: Cohort, machine: Machine) -> Iterator[tuple[str, Event | Noted]]:
    """Everything that happens to the runs of a cohort, if nothing raises."""
    started = time.perf_counter()
    session = _begin(cohort, machine)
    images = read_images(cohort.dataset)
    unchanged = Unchanged(images)
    members: dict[str, Member] = {}
    for run in cohort.runs:
        members[run.run_key], unfit = session.member(run)
        if unfit is not None:
            yield run.run_key, Anew(unfit.reason)
    for member in members.values():
        member.seconds += (time.perf_counter() - started) / len(members)
    yield from session.look_before_training([(run, members[run.run_key]) for run in cohort.runs])
    last: dict[str, Epoch] = {}
    for run_key, event in _train(session, members, unchanged):
        if isinstance(event, Epoch):
            last[run_key] = event
        yield run_key, event
    for run in cohort.runs:
        if members[run.run_key].epochs_done == cohort.recipe.epochs:
            ended = list(finish(session, run, members[run.run_key], last[run.run_key]))
            images.check()
            session.check_code()
            yield from ended


def _begin(cohort: Cohort, machine: Machine) -> Session:
    """A cohort with its images, and proof that its networks, trainer and metric are those that were planned.

    Raises:
        DataChangedError, NetworkChangedError, CodeChangedError: they are not.
    """
    trainer, its_code = (None, None) if cohort.trainer is None else prove_trainer(cohort.trainer)
    metric, code = (None, None) if cohort.metric is None else prove_metric(cohort.metric)
    functions = tuple(filter(None, (its_code, code)))
    data, proof = load_images(cohort, machine), prove_networks(cohort)
    return Session(
        cohort, machine, data, proof, trainer=trainer, metric=metric, functions=functions
    )


def _train(
    session: Session, members: Mapping[str, Member], unchanged: Unchanged
) -> Iterator[tuple[str, Event | Noted]]:
    """The epochs of all members, and what goes with them."""
    cohort = session.cohort
    runs = {id(members[run.run_key]): run for run in cohort.runs}
    clock = CheckpointClock(cohort.checkpoint_seconds)
    graphs = None if cohort.step_path == "eager" else make_graphs(cohort.step_path)
    stepping, told = graphs or step_eagerly, False
    for events in _epochs(session, list(members.values()), stepping):
        if graphs is not None and graphs.trouble is not None and not told:
            told = True
            said = f"a cohort is stepped eagerly, it cannot be a graph: {graphs.trouble}"
            yield "", Noted(said, step_path="eager")
            session = replace(session, cohort=replace(cohort, step_path="eager"))
        if graphs is not None and graphs.compiled is not None:
            yield "", Noted(graphs.compiled)
            graphs.compiled = None
        due, writing = clock.is_due, 0.0
        # Before anything of this epoch is given away: what is stored may be gone on from.
        unchanged.prove(thoroughly=due)
        for member, event in events:
            run = runs[id(member)]
            yield run.run_key, event
            if isinstance(event, Failed):
                continue
            began = time.monotonic()
            yield from session.beside(run, member, event, due=due)
            writing += time.monotonic() - began
        if due:
            clock.wrote(writing)


def _epochs(
    session: Session, members: Sequence[Member], stepping: Stepping
) -> Iterator[list[tuple[Member, Epoch | Failed]]]:
    """What each epoch measured, by our own loop or a user's trainer, which trains one run after the other."""
    cohort = session.cohort
    if session.trainer is None:
        yield from train(members, session.data, cohort.recipe, cohort.seed, stepping)
        return
    classes = len(cohort.dataset.classes())
    for member in members:
        yield from train_own(
            member, session.trainer, session.data, cohort.recipe, cohort.seed, classes
        )


@dataclass(frozen=True)
class Session:
    """A cohort on its machine, with its images on the device and proof of its networks and of the user's
    functions. `begun` has the attention of each run as it was initialised; `unsaved` runs can have no
    checkpoints. `trainer` is the user's, if one trains, and `metric` the user's, if one measures.
    """

    cohort: Cohort
    machine: Machine
    data: Data
    proof: Proof | None = None
    begun: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)
    trainer: OwnTrainer | None = None
    metric: OwnMetric | None = None
    functions: tuple[FunctionProof, ...] = ()

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
                said = f"{self.named(run)}, begins with an accuracy of {100 * seen.accuracy:.2f} %"
                yield "", Noted(f"{said}, before any training")

    def named(self, run: Run) -> str:
        """As notes call a run: several seeds and folds have its variant."""
        return f"{run.variant.name}, {seed_and_fold(self.cohort.seed, self.cohort.fold)}"

    def beside(
        self, run: Run, member: Member, epoch: Epoch, *, due: bool
    ) -> Iterator[tuple[str, Event | Noted]]:
        """What goes with an epoch: its histograms, and a checkpoint where one is due."""
        taker = member.histograms
        if taker is not None and taker.trouble is not None:
            member.histograms = None
            yield "", Noted(f"{self.named(run)}, has no more histograms: {taker.trouble}")
        elif taker is not None and taker.latest is not None:
            yield run.run_key, taker.latest
        if due and epoch.epoch < self.cohort.recipe.epochs and run.run_key not in self.unsaved:
            self.check_code()  # what is stored is gone on from, by a process that proves its own code
            yield self._checkpoint(run, member, epoch.epoch)

    def _checkpoint(self, run: Run, member: Member, epoch: int) -> tuple[str, Event | Noted]:
        """The state of a run after an epoch, or why it has none: it can come to its end all the same."""
        try:
            return run.run_key, Checkpoint(epoch, pack(member, self.made_by(run)))
        except Exception as error:
            self.unsaved.add(run.run_key)
            said = f"{self.named(run)}, has no checkpoints and begins anew if it is stopped"
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
        for proof in (self.proof, *self.functions):
            if proof is not None:
                proof.check_code()


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
