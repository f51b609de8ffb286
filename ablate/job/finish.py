"""What a trained network is worth: its result, tested once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ablate.errors import StudyError
from ablate.job.images import tested_images
from ablate.job.keep import find_unmoved, keep
from ablate.result import (
    Epoch,
    Failed,
    Finished,
    Noted,
)
from ablate.result.metrics import Score, Split
from ablate.result.predictions import pack_labels
from ablate.stats.metrics import Answers, measure
from ablate.study import stream_seed
from ablate.study.batches import epoch_images
from ablate.study.metrics import BEGAN_ACCURACY, BEGAN_LOSS
from ablate.study.own_metrics import stored_name
from ablate.train.cohort import Member
from ablate.train.data import Part
from ablate.train.loop import Evaluation, evaluate

if TYPE_CHECKING:
    from ablate.job.cohort import Run
    from ablate.job.session import Session


def finish(
    session: Session, run: Run, member: Member, last: Epoch
) -> Iterator[tuple[str, Finished | Failed | Noted]]:
    """The result of a run: tested once, with the weights of its last epoch. It has failed where the user's
    metric gives no number of it: nothing else could be judged by that.
    """
    started = time.perf_counter()
    member.trainer.settle()
    classes = session.cohort.dataset.classes()
    test = _test(session, "test", session.data.test, member)
    part = session.data.val
    validated = None if part is None else _test(session, "validation", part, member)
    # A trainer of the user's may load other weights when its last epoch is over.
    after_all = validated if session.trainer is not None else None
    try:
        scores = _scores(session, member, test, validated)
    except StudyError as error:
        yield run.run_key, Failed("error", str(error))
        return
    tested, right = tested_images(session.cohort)
    labels = pack_labels(right, classes)
    unmoved, unseen = find_unmoved(session, run, member.trainer)
    kept, trouble = keep(session, run, member.trainer)
    for said in filter(None, (unseen, trouble, _one_class(session, test))):
        yield "", Noted(f"{session.named(run)}, was trained, but {said}")
    yield (
        run.run_key,
        Finished(
            val_accuracy=last.val_accuracy if after_all is None else after_all.accuracy,
            test_accuracy=test.accuracy,
            test_loss=test.loss,
            test_correct=test.correct,
            seconds=member.seconds + time.perf_counter() - started,
            train_images_per_second=_images_trained(session, last.epoch) / member.train_seconds,
            device=session.machine.name,
            precision=session.machine.precision.name,
            kept=kept,
            unmoved_attention=unmoved,
            test_predictions=None if labels is None else test.predictions,
            labels=labels,
            scores=scores,
            tested=tested,
        ),
    )


def _images_trained(session: Session, epochs: int) -> int:
    return epoch_images(len(session.data.train), session.cohort.recipe) * epochs


def _test(session: Session, split: Split, part: Part, member: Member) -> Evaluation:
    """What a network says of all images of a part, from a stream of its own."""
    stream = stream_seed(session.cohort.seed, split)
    [found] = evaluate([member.trainer], session.data, part, stream, outputs=True)
    return found


def _scores(
    session: Session, member: Member, test: Evaluation, validated: Evaluation | None
) -> tuple[Score, ...]:
    """Every metric of the test images, and of the validation images where there are some."""
    found = _measured(session, "test", session.data.test, test) + _began(session, member)
    part = session.data.val
    if part is None or validated is None:
        return found
    return *_measured(session, "validation", part, validated), *found


def _began(session: Session, member: Member) -> tuple[Score, ...]:
    if member.began is None:
        return ()
    split: Split = "test" if session.data.val is None else "validation"
    began = {BEGAN_ACCURACY: member.began.accuracy, BEGAN_LOSS: member.began.loss}
    return tuple(Score(split, metric, value) for metric, value in began.items())


def _measured(session: Session, split: Split, part: Part, seen: Evaluation) -> tuple[Score, ...]:
    if seen.logits is None or not np.isfinite(seen.logits).all():
        return ()
    classes = session.cohort.dataset.classes()
    answers = Answers(seen.logits, part.labels.cpu().numpy())
    values = measure(answers.logits, answers.labels)
    found = tuple(
        Score(split, metric, value, None if number is None else classes[number])
        for (metric, number), value in values.items()
    )
    return *found, *_by_own_metric(session, split, answers)


def _by_own_metric(session: Session, split: Split, answers: Answers) -> tuple[Score, ...]:
    """By the user's metric, if the study has one.

    Raises:
        StudyError: it gives no number from -1 to 1.
    """
    if session.metric is None:
        return ()
    own = session.metric
    value = own(answers.labels.astype(np.int64), np.exp(answers.log_probabilities))
    return (Score(split, stored_name(own.name), value),)


def _one_class(session: Session, test: Evaluation) -> str | None:
    """That a network says one class of everything, as one does that has learnt nothing."""
    classes = session.cohort.dataset.classes()
    if test.logits is None or len(classes) < 2:
        return None
    said = np.unique(test.logits.argmax(axis=1))
    return f"says {classes[said[0]]!r} of every test image" if len(said) == 1 else None
