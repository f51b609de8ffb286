"""The loop of a run that a user's trainer trains: what it yields ends an epoch, what is measured is ours."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from ablate.datasets.split import stratified_draw
from ablate.errors import StudyError
from ablate.result import Epoch, Failed
from ablate.study import Recipe, stream_seed
from ablate.system.process.settings import hooks_of_all_modules, settings_kept
from ablate.system.software.imports import prints_to_stderr
from ablate.train.beside import Beside, Watched
from ablate.train.cohort import Member
from ablate.train.data import Data, Part
from ablate.train.loop import Evaluation, evaluate
from ablate.train.own import STREAM, Training
from ablate.train.own_trainer import OwnTrainer

SAYS = ("loss", "learning_rate")
"""What a trainer may yield in a mapping."""


def train_own(
    member: Member,
    trainer: OwnTrainer,
    data: Data,
    recipe: Recipe,
    seed: int,
    classes: int,
    *,
    rehearsed: bool = False,
) -> Generator[list[tuple[Member, Epoch | Failed]], None, None]:
    """Let a trainer train a run to its last epoch; yields what each epoch measured, as `train` does.

    `train_loss` is what the trainer yields, or else, as `train_accuracy` always, of the network as it is
    after the epoch, on as many training images as are watched. In a rehearsal it trains few of the epochs.

    Raises:
        StudyError: the trainer does not keep to what it is to do.
        Exception: whatever the trainer raises.
    """
    first = member.epochs_done + 1
    beside = member.beside = member.beside or Beside()
    run = Training(member.trainer, data, recipe, seed, classes, beside, first, rehearsed)
    seen, sample = None, _sample(data, seed)
    # What is torch's, the next run of this process has too.
    with settings_kept(), hooks_of_all_modules():
        member.trainer.train()
        member.trainer.draw_from(stream_seed(seed, STREAM, 0))
        steps = _begin(trainer, run)
        for epoch in run.to_train:
            run.served_images, started = 0, time.perf_counter()
            said = _until_yield(trainer, steps, seen, epoch)
            seconds = time.perf_counter() - started
            _check_epoch(trainer, run, epoch)
            run.ended()
            ended = _measure(member, said, trainer, run, sample, seconds)
            if isinstance(ended, Failed):
                yield [(member, ended)]
                steps.close()
                return
            seen = beside.seen = Watched(*_watched(ended))
            yield [(member, ended)]
        _until_end(trainer, steps, seen)


def _begin(trainer: OwnTrainer, run: Training) -> Generator[Any, Watched, Any]:
    steps = trainer.function(run, **trainer.options)
    if not isinstance(steps, Generator):
        raise StudyError(
            f"{trainer.called} gives {type(steps).__name__} and no generator: it must yield at the end of "
            "each epoch"
        )
    return steps


def _until_yield(
    trainer: OwnTrainer, steps: Generator[Any, Watched, Any], seen: Watched | None, epoch: int
) -> dict[str, float]:
    """What the trainer says at the end of an epoch."""
    try:
        return _numbers(trainer, _go_on(trainer, steps, seen))
    except StopIteration:
        raise StudyError(
            f"{trainer.called} ended before epoch {epoch} did: it must yield once at the end of each epoch "
            "of run.epochs"
        ) from None


def _until_end(
    trainer: OwnTrainer, steps: Generator[Any, Watched, Any], seen: Watched | None
) -> None:
    try:
        _go_on(trainer, steps, seen)
    except StopIteration:
        return
    raise StudyError(
        f"{trainer.called} yields more often than there are epochs: once at the end of each of run.epochs"
    )


def _go_on(trainer: OwnTrainer, steps: Generator[Any, Watched, Any], seen: Watched | None) -> Any:
    with prints_to_stderr():
        try:
            return next(steps) if seen is None else steps.send(seen)
        except SystemExit as error:  # which would end the worker, and other runs with it
            raise StudyError(f"{trainer.called} calls sys.exit({error.code!r})") from error


def _numbers(trainer: OwnTrainer, said: Any) -> dict[str, float]:
    given = said if isinstance(said, Mapping) else {} if said is None else {"loss": said}
    for key in given:
        if key not in SAYS:
            raise StudyError(
                f"{trainer.called} yields {key!r}: it may yield {' and '.join(SAYS)}, or the loss alone"
            )
    try:
        return {key: float(value) for key, value in given.items()}
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise StudyError(
            f"{trainer.called} yields {type(said).__name__}: the mean loss of the epoch is a number"
        ) from None


def _check_epoch(trainer: OwnTrainer, run: Training, epoch: int) -> None:
    if run.epoch != epoch:
        raise StudyError(
            f"{trainer.called} yields outside of run.epochs: loop over it, `for epoch in run.epochs:`, and "
            "yield once at the end of each; a run that goes on after a checkpoint begins in the middle"
        )


def _measure(
    member: Member,
    said: Mapping[str, float],
    trainer: OwnTrainer,
    run: Training,
    sample: Part,
    seconds: float,
) -> Epoch | Failed:
    epoch, data, started = int(run.epoch or 0), run.data, time.perf_counter()
    stream = stream_seed(run.seed, "evaluation", epoch)
    trained, seen = (_look(member, data, part, stream) for part in (sample, data.watched))
    evaluating = time.perf_counter() - started
    loss = said.get("loss", trained.loss)
    if not (math.isfinite(loss) and math.isfinite(seen.loss)):
        return Failed("diverged", f"the training loss is not finite in epoch {epoch}", epoch)
    rate = said.get("learning_rate", run.learning_rate)
    if rate is None:
        raise StudyError(
            f"{trainer.called} does not say its learning rate: run.keep(optimizer=optimizer) before the "
            "first epoch, or yield {'learning_rate': …}"
        )
    if not math.isfinite(rate):
        raise StudyError(f"{trainer.called} says a learning rate of {rate} in epoch {epoch}")
    member.watched.append(seen.loss)
    member.train_seconds += seconds
    member.seconds += seconds + evaluating
    leaked = data.val is None
    return Epoch(
        epoch=epoch,
        train_loss=loss,
        train_accuracy=trained.accuracy,
        val_loss=None if leaked else seen.loss,
        val_accuracy=None if leaked else seen.accuracy,
        test_loss=seen.loss if leaked else None,
        test_accuracy=seen.accuracy if leaked else None,
        learning_rate=rate,
        seconds=seconds + evaluating,
        images_per_second=(run.served_images or len(data.train)) / max(seconds, 1e-9),
    )


def _look(member: Member, data: Data, part: Part, stream: int) -> Evaluation:
    [seen] = evaluate([member.trainer], data, part, stream)
    return seen


def _watched(epoch: Epoch) -> tuple[float, float]:
    leaked = epoch.val_loss is None
    pair = (
        (epoch.test_loss, epoch.test_accuracy) if leaked else (epoch.val_loss, epoch.val_accuracy)
    )
    return float(pair[0] or 0.0), float(pair[1] or 0.0)


def _sample(data: Data, seed: int) -> Part:
    """Training images to look at: as many as are watched, in the proportions of their classes."""
    count = min(len(data.train), len(data.watched))
    if count == len(data.train):
        return data.train
    labels = data.train.labels.cpu().numpy()
    most = max(count, len(np.unique(labels)))
    return data.train.of(stratified_draw(labels, most, seed=stream_seed(seed, STREAM)))
