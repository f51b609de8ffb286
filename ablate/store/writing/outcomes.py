"""What an attempt at a run gives, inside the transaction of the caller: epochs, a result, or how it ended
without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from ablate.result import Epoch, Failed, Finished, RunStatus
from ablate.result.metrics import Score
from ablate.store import schema
from ablate.store.files import checkpoints
from ablate.store.files.weights import keep
from ablate.store.statements import put, storable
from ablate.store.writing import claims
from ablate.store.writing.claims import Claim, LostClaimError
from ablate.store.writing.rows import add_environment
from ablate.store.writing.tested_images import add_test_set

TRIES = 3
"""How often a run is tried that takes its process down with it."""
NODE_TRIES = 20
"""The same where whole machines go away: those that are lent for a while do so, whatever they train."""
GOES_ON = ("worker_died", "timeout", "network_changed", "code_changed")
"""Failures that may have been the machine's, or of the files beside it, which can be brought back: the run's
checkpoints are kept for another try."""
WHOLE = ""
"""The class of a metric that is of the whole split; no class is called so."""


def add_epochs(connection: Connection, epochs: Sequence[tuple[Claim, Epoch]]) -> None:
    """Store what epochs of several runs measured, with their steps.

    Raises:
        LostClaimError: one of the runs belongs to another attempt now, which the error names.
    """
    claims.touch_all(connection, {claim for claim, _ in epochs})
    rows, steps = [], []
    for claim, epoch in epochs:
        row = {k: v for k, v in asdict(epoch).items() if k != "steps"}
        rows.append({"run_key": claim.run_key, **row})
        key = {"run_key": claim.run_key, "epoch": epoch.epoch}
        steps += [{**key, **asdict(step)} for step in epoch.steps]
    put(connection, schema.epochs, rows)
    put(connection, schema.steps, steps)


def accept(
    connection: Connection,
    url: str,
    claim: Claim,
    result: Finished,
    environment: Mapping[str, Any],
) -> list[str]:
    """Accept a run's result, and write its weights if it brings some; returns the files of checkpoints that
    no row names any more.

    Raises:
        LostClaimError: the run belongs to another attempt now.
        DatabaseError: the weights cannot be written.
    """
    beside = ("kept", "labels", "scores", "tested")
    values = {k: v for k, v in asdict(result).items() if k not in beside}
    if (tested := result.tested) is not None:
        values |= {"test_first": tested.first, "test_images": tested.images}
    values["test_predictions"] = add_test_set(connection, claim.run_key, result)
    values["environment_id"] = add_environment(connection, environment)
    if not end(connection, claim, RunStatus.FINISHED, values):
        return []
    add_scores(connection, claim.run_key, result.scores)
    if result.kept is not None:
        keep(connection, url, claim.run_key, result.kept)
    return checkpoints.forget(connection, claim.run_key)


def fail(
    connection: Connection,
    claim: Claim,
    failure: Failed,
    environment: Mapping[str, Any] | None,
) -> None:
    """Record that a run ended without a result, and where; its checkpoints stay if it may go on.

    Raises:
        LostClaimError: the run belongs to another attempt now.
    """
    values: dict[str, Any] = {"failure": failure.kind, "error": storable(failure.error)}
    if environment is not None:
        values["environment_id"] = add_environment(connection, environment)
    ended = end(connection, claim, RunStatus.FAILED, values, failure.error)
    if ended and failure.kind not in GOES_ON:
        checkpoints.forget(connection, claim.run_key)


def lose(
    connection: Connection,
    claim: Claim,
    error: str,
    environment: Mapping[str, Any] | None,
    *,
    with_node: bool,
) -> Failed | None:
    """Record that a run's process died, with `with_node` with its whole machine: it will be tried again, or
    has failed if that was once too often; then that failure is returned.

    Raises:
        LostClaimError: the run belongs to another attempt now.
    """
    outcome, tries = (claims.NODE, NODE_TRIES) if with_node else (claims.LOST, TRIES)
    times = claims.times_lost(connection, claim, outcome) + 1
    if times < tries:
        end(connection, claim, RunStatus.STOPPED, {}, error, outcome)
        return None
    failure = Failed("worker_died", f"{error}; it was tried {times} times")
    fail(connection, claim, failure, environment)
    return failure


def end(
    connection: Connection,
    claim: Claim,
    status: RunStatus,
    values: Mapping[str, Any],
    error: str | None = None,
    outcome: str | None = None,
) -> bool:
    """End an attempt; False if it has ended so before, which was not heard of.

    Raises:
        LostClaimError: the run belongs to another attempt now.
    """
    if claims.end(connection, claim, status, values, error, outcome):
        return True
    if claims.has_ended(connection, claim, outcome or status):
        return False
    raise LostClaimError(claim.run_key)


def add_scores(connection: Connection, run_key: str, scores: Iterable[Score]) -> None:
    """Store the metrics of a run."""
    rows = [
        {
            "run_key": run_key,
            "split": score.split,
            "metric": score.metric,
            "class_name": WHOLE if score.class_name is None else score.class_name,
            "value": score.value,
        }
        for score in scores
    ]
    put(connection, schema.metrics, rows)
