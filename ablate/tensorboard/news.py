"""What the event file of a run lacks of what the database has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event

from ablate.result import RunStatus
from ablate.result.histograms import DamagedError, unpack
from ablate.store.files.histograms import read_histograms, stored_steps
from ablate.store.reading.follow import FollowedRun
from ablate.system.messages.console import say
from ablate.tensorboard import events
from ablate.tensorboard.log import EPOCH_TAG, STEP_TAG, Log

Row = Mapping[str, Any]
STEP_TAGS = {
    STEP_TAG: "batch_loss",
    "Train/Batch_Accuracy": "batch_accuracy",
    "Train/Learning_Rate": "learning_rate",
}
EPOCH_TAGS = {
    EPOCH_TAG: "train_loss",
    "Train/Epoch_Accuracy": "train_accuracy",
    "Validation/Epoch_Loss": "val_loss",
    "Validation/Epoch_Accuracy": "val_accuracy",
    "Test/Epoch_Loss": "test_loss",
    "Test/Epoch_Accuracy": "test_accuracy",
}
"""Tag → column. A column without a value, as the test's outside the tutorial's split, has no tag."""


def news(
    url: str, run: FollowedRun, log: Log, epochs: Sequence[Row], steps: Sequence[Row]
) -> list[Event]:
    """The events that a log lacks, in the order of time."""
    ends = epoch_ends(run, epochs)
    moments = ends.tolist()
    new = [row for row in epochs if row["epoch"] not in log.written.epochs]
    found = [
        events.scalars(_tagged(EPOCH_TAGS, row), row["epoch"], moments[row["epoch"]]) for row in new
    ]
    found += [
        events.scalars(_tagged(STEP_TAGS, row), row["step"], time)
        for row, time in zip(steps, _step_times(steps, ends).tolist(), strict=True)
        if row["step"] > log.written.step
    ]
    found += _histograms(url, run, log, ends)
    found.sort(key=lambda event: event.wall_time)
    if not log.written.started:
        settings, group = _hparams(run), " ".join(_group(run))
        start = float(ends[0])
        found = [events.first_event(start), events.session_start(settings, group, start), *found]
    if run.status is RunStatus.FINISHED and not log.written.ended:
        found.append(events.session_end(succeeded=True, wall_time=ends[-1]))
    return found


def _histograms(url: str, run: FollowedRun, log: Log, ends: NDArray[np.float64]) -> Iterator[Event]:
    for epoch, step in stored_steps(url, run.run_key):
        if step > log.written.histograms and epoch < len(ends):
            content = read_histograms(url, run.run_key, epoch, step)
            if content is None:
                continue
            try:
                found = unpack(content)
            except DamagedError as error:
                say(
                    f"{run.run_key}: its histograms of step {step} are damaged, passed over: {error}"
                )
                continue
            yield events.histograms(found, step, ends[epoch])


def _tagged(tags: Mapping[str, str], row: Row) -> dict[str, float | None]:
    return {tag: row[column] for tag, column in tags.items()}


def epoch_ends(run: FollowedRun, epochs: Sequence[Row]) -> NDArray[np.float64]:
    """When the run began (at 0) and when each epoch ended, as far as the database knows: the start
    of its latest attempt and the seconds of its epochs.
    """
    start = datetime.fromisoformat(run.started_at).timestamp() if run.started_at else 0.0
    seconds = [row["seconds"] for row in epochs]
    ends: NDArray[np.float64] = start + np.cumsum([0.0, *seconds])
    return ends


def _step_times(steps: Sequence[Row], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """When steps were taken: spread evenly over the epochs, of which the last ends with the last."""
    numbers = np.array([row["step"] for row in steps], dtype=float)
    last = numbers[-1:]  # none where no step was stored
    times: NDArray[np.float64] = np.interp(
        numbers / last * (len(ends) - 1), np.arange(len(ends)), ends
    )
    return times


def _group(run: FollowedRun) -> tuple[str, ...]:
    """What the seeds of a variant have in common."""
    return run.study, run.dataset, run.dataset_hash[:8], run.setting, run.variant


def _hparams(run: FollowedRun) -> dict[str, events.HParam]:
    """What HParams shows: the variant with its options, and under what it was trained."""
    recipe = {f"recipe.{key}": _plain(value) for key, value in run.recipe.items()}
    return {
        "study": run.study,
        "variant": run.variant,
        "attention": run.attention,
        "position": run.position or "",
        **{key: _plain(value) for key, value in run.options.items()},
        "backbone": run.backbone,
        "dataset": run.dataset,
        "dataset_hash": run.dataset_hash,
        "image_size": run.image_size,
        **recipe,
    }


def _plain(value: Any) -> events.HParam:
    return value if isinstance(value, str | int | float) else ", ".join(map(str, value))
