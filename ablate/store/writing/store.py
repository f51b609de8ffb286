"""The results database: plan in, claims out, epochs and results in. The only SQLAlchemy is in this room.

Order of a run's life: `register` → `claim_cohort` → `resume` → `add_epoch`, `add_checkpoint` … →
`finish`. Every write after the claim carries the attempt's token; a write whose token is no longer
the run's changes nothing and says so. Every transaction may be run twice (`transaction.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ablate.result import Checkpoint, Epoch, Failed, Finished, Histograms, RunStatus
from ablate.stats.looks import Look
from ablate.store import schema
from ablate.store.connection.engine import files_folder, open_engine
from ablate.store.connection.statements import put, storable
from ablate.store.connection.transaction import reading, transact, writing
from ablate.store.files import checkpoints
from ablate.store.files.histograms import forget_histograms, write_histograms
from ablate.store.files.weights import forget_all_but_best, keep, remove_weights
from ablate.store.progress.run_statuses import read_statuses
from ablate.store.progress.status import StudyKey
from ablate.store.reading.looks import read_looks
from ablate.store.reading.samples import Standing, read_standing
from ablate.store.writing import claims
from ablate.store.writing.choices import Choices
from ablate.store.writing.claims import Claim, LostClaimError
from ablate.store.writing.costs import Costs
from ablate.store.writing.looks import add_look
from ablate.store.writing.metrics import add_scores
from ablate.store.writing.registry import add_cells, register
from ablate.store.writing.rows import add_environment
from ablate.store.writing.test_sets import Pictures, add_test_set
from ablate.system.process.owner import Owner, current_owner

if TYPE_CHECKING:
    # For its type only: a report opens the database on machines without torch.
    from ablate.plan import Cell, Plan

__all__ = ["Claim", "LostClaimError", "Report", "Store"]

TRIES = 3
"""How often a run is tried that takes its process down with it."""
NODE_TRIES = 20
"""The same where whole machines go away: those that are lent for a while do so, whatever they train."""
GOES_ON = ("worker_died", "timeout", "network_changed")
"""Failures that may have been the machine's, or of the files beside it, which can be brought back: the run's
checkpoints are kept for another try."""
LAST_WORDS_SECONDS = 5.0
"""How long a driver that ends waits to give a run back; without it, a lease does that."""
CONTESTED_SECONDS = 5.0
"""How long runs that others are claiming at this very moment may make us wait."""


@dataclass(frozen=True, slots=True)
class Report:
    """An epoch or the result of an attempt, and of a result the environment that it came from."""

    claim: Claim
    event: Epoch | Finished
    environment: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """One results database, opened for writing. Every method is one transaction."""

    def __init__(self, url: str) -> None:
        """Open a database, make it if it is missing.

        Raises:
            DatabaseError: not ours, newer, or not to be opened.
        """
        self._engine = open_engine(url, create=True)
        self._url = url
        self._owner = current_owner()
        self.choices = Choices(self._engine)
        self.pictures = Pictures(self._engine)
        self.costs = Costs(self._engine, files_folder(url) / "traces")

    def close(self) -> None:
        self._engine.dispose()

    @writing
    def register(self, connection: Connection, plan: Plan) -> None:
        """Make the study's cells those of the plan; runs that exist already stay as they are."""
        register(connection, plan)

    @writing
    def add_cells(self, connection: Connection, plan: Plan, cells: Sequence[Cell]) -> None:
        """Make further cells of a study that is registered; those that are there stay as they are."""
        add_cells(connection, plan, cells)

    @reading
    def standing(self, connection: Connection, key: StudyKey) -> Standing:
        """What the runs of a study have given so far."""
        return read_standing(connection, key)

    @reading
    def looks(self, connection: Connection, key: StudyKey) -> tuple[Look, ...]:
        """When a study's verdicts were looked at, the first time first."""
        return read_looks(connection, key)

    @writing
    def add_look(self, connection: Connection, key: StudyKey, look: Look) -> bool:
        """Store a look; False if the last one was the same."""
        return add_look(connection, key, look)

    def claim_cohort(
        self, run_keys: Sequence[str], at_most: int, group: Callable[[str], Hashable]
    ) -> list[Claim]:
        """Take the first of these runs that is ready, and more of its group up to `at_most` in all.

        No two callers get the same one. A run that lost its process or its time before is taken alone.
        """
        return next(iter(self.claim_cohorts(run_keys, [at_most], group)), [])

    def claim_cohorts(
        self,
        run_keys: Sequence[str],
        sizes: Sequence[int],
        group: Callable[[str], Hashable],
        begun: Callable[[str], Mapping[str, Any] | None] = lambda _key: None,
    ) -> list[list[Claim]]:
        """As many cohorts as there are sizes, each as `claim_cohort` takes one, in one transaction; fewer
        where there are not as many runs. A run that nobody had before begins under the path that `begun`
        gives.
        """
        tokens = [[secrets.token_hex(16) for _ in range(size)] for size in sizes]
        end = time.monotonic() + CONTESTED_SECONDS
        while not (claimed := self._claim(run_keys, tokens, group, begun)):
            if not self.ready(run_keys) or time.monotonic() > end:
                return []
            time.sleep(0.01)
        return claimed

    def _claim(
        self,
        run_keys: Sequence[str],
        tokens: Sequence[Sequence[str]],
        group: Callable[[str], Hashable],
        begun: Callable[[str], Mapping[str, Any] | None],
    ) -> list[list[Claim]]:
        tried = False

        def claim(connection: Connection) -> list[list[Claim]]:
            nonlocal tried
            # After a commit whose end nobody knows, what has these tokens is ours.
            before = [claims.held(connection, each) for each in tokens] if tried else []
            tried = True
            if any(before):
                return [cohort for cohort in before if cohort]
            return claims.take(connection, self._owner, run_keys, tokens, group, begun)

        return transact(self._engine, claim, writes=True)

    @reading
    def over(self, connection: Connection, run_keys: Sequence[str]) -> set[str]:
        """Those of these runs that have ended, well or not."""
        return claims.over(connection, run_keys)

    @reading
    def ready(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """How many of these runs wait to be trained."""
        return claims.count_ready(connection, run_keys)

    @reading
    def paths(self, connection: Connection) -> dict[str, Mapping[str, Any]]:
        """Under which path the runs were begun that have a checkpoint, where that is known."""
        return checkpoints.paths(connection)

    @writing
    def resume(
        self,
        connection: Connection,
        claim: Claim,
        path: Mapping[str, Any] | None = None,
        *,
        anew: bool = False,
    ) -> Checkpoint | None:
        """The newest whole checkpoint of a claimed run, None where it begins anew, as `anew` demands;
        then `path`, if given, is stored as the one that it was begun with.

        Epochs and steps that come after it are removed: they will be trained again.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was changed.
        """
        claims.touch(connection, claim)
        found = None if anew else checkpoints.newest(connection, self._url, claim.run_key)
        if path is not None:
            claims.keep_path(connection, claim, path, begins=found is None)
        checkpoints.rewind(connection, claim.run_key, found.epoch if found else 0)
        checkpoints.sweep(connection, self._url, claim.run_key)
        return found

    @writing
    def change_path(self, connection: Connection, claim: Claim, path: Mapping[str, Any]) -> None:
        """Store that a run goes on under another path than it was begun with.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        claims.touch(connection, claim)
        claims.keep_path(connection, claim, path, begins=True)

    def report(self, reports: Sequence[Report], patience_seconds: float | None = None) -> set[str]:
        """Store epochs and results of several runs, in their order and in one transaction; returns the keys
        of runs that belong to another attempt now: of these nothing was written.

        Raises:
            DatabaseError: they cannot be written; none of them was.
        """

        left, lost = list(reports), set[str]()
        while left:
            try:
                files = self._write(left, patience_seconds)
                break
            except LostClaimError as error:  # taken back whole, and tried without it
                lost.add(error.run_key)
                left = [each for each in left if each.claim.run_key not in lost]
        else:
            return lost
        checkpoints.remove(self._url, files)
        for each in left:
            if isinstance(each.event, Finished):
                checkpoints.sweep_all(self._url, each.claim.run_key)
        return lost

    def _write(self, reports: Sequence[Report], patience_seconds: float | None) -> list[str]:
        """Write all of these; returns the files of checkpoints that no row names any more."""

        def write(connection: Connection) -> list[str]:
            epochs = [(each.claim, each.event) for each in reports if isinstance(each.event, Epoch)]
            self._add_epochs(connection, epochs)
            files: list[str] = []
            for each in reports:
                if isinstance(each.event, Finished):
                    files += self._accept(connection, each.claim, each.event, each.environment)
            return files

        return transact(self._engine, write, writes=True, patience_seconds=patience_seconds)

    def add_epoch(self, claim: Claim, epoch: Epoch) -> None:
        """Store what an epoch measured, with its steps.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        self._report_one(Report(claim, epoch))

    def _report_one(self, report: Report) -> None:
        if self.report([report]):
            raise LostClaimError(report.claim.run_key)

    def _add_epochs(self, connection: Connection, epochs: Sequence[tuple[Claim, Epoch]]) -> None:
        claims.touch_all(connection, {claim for claim, _ in epochs})
        rows, steps = [], []
        for claim, epoch in epochs:
            row = {k: v for k, v in asdict(epoch).items() if k != "steps"}
            rows.append({"run_key": claim.run_key, **row})
            key = {"run_key": claim.run_key, "epoch": epoch.epoch}
            steps += [{**key, **asdict(step)} for step in epoch.steps]
        put(connection, schema.epochs, rows)
        put(connection, schema.steps, steps)

    def add_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> None:
        """Store the state of a run after an epoch that is stored already; the last two are kept.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the file cannot be written.
        """
        row = checkpoints.write(self._url, claim.run_key, claim.token, checkpoint)
        try:
            replaced = self._name_checkpoint(claim, row)
        except BaseException:
            checkpoints.remove(self._url, [row["file"]])
            raise
        checkpoints.remove(self._url, replaced)
        self._sweep(claim.run_key)

    @writing
    def _name_checkpoint(
        self, connection: Connection, claim: Claim, row: dict[str, Any]
    ) -> list[str]:
        claims.touch(connection, claim)
        return checkpoints.record(connection, row)

    @reading
    def _sweep(self, connection: Connection, run_key: str) -> None:
        checkpoints.sweep(connection, self._url, run_key)

    @writing
    def add_histograms(self, connection: Connection, claim: Claim, histograms: Histograms) -> None:
        """Store histograms of an epoch that is stored already.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            NotKeptError: the file cannot be written.
        """
        claims.touch(connection, claim)
        write_histograms(self._url, claim.run_key, histograms)

    def forget_histograms(self, claim: Claim, after: int) -> None:
        """Delete those of the epochs after that one, which a resumed run trains again.

        Raises:
            NotKeptError: they cannot be deleted.
        """
        forget_histograms(self._url, claim.run_key, after)

    def finish(self, claim: Claim, result: Finished, environment: Mapping[str, Any]) -> None:
        """Accept a run's result, and write its weights if it brings some.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the weights cannot be written; the run is not accepted.
        """
        self._report_one(Report(claim, result, environment))

    def _accept(
        self, connection: Connection, claim: Claim, result: Finished, environment: Mapping[str, Any]
    ) -> list[str]:
        beside = ("kept", "labels", "scores", "tested")
        values = {k: v for k, v in asdict(result).items() if k not in beside}
        if (tested := result.tested) is not None:
            values |= {"test_first": tested.first, "test_images": tested.images}
        values["test_predictions"] = add_test_set(connection, claim.run_key, result)
        values["environment_id"] = add_environment(connection, environment)
        if not self._end(connection, claim, RunStatus.FINISHED, values):
            return []
        add_scores(connection, claim.run_key, result.scores)
        if result.kept is not None:
            keep(connection, self._url, claim.run_key, result.kept)
        return checkpoints.forget(connection, claim.run_key)

    def keep_best(self, study: str, run_keys: Collection[str]) -> None:
        """Keep weights of the best of these runs alone, which are of one variant; a file is deleted after its
        row is changed, so that a process that is killed between leaves a file that nobody names.
        """
        remove_weights(self._url, self._forget_all_but_best(study, run_keys))

    @writing
    def _forget_all_but_best(
        self, connection: Connection, study: str, run_keys: Collection[str]
    ) -> list[str]:
        return forget_all_but_best(connection, study, run_keys)

    @writing
    def fail(
        self,
        connection: Connection,
        claim: Claim,
        failure: Failed,
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that a run ended without a result, and where.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        self._fail(connection, claim, failure, environment)

    @writing
    def lose(
        self,
        connection: Connection,
        claim: Claim,
        error: str,
        environment: Mapping[str, Any] | None = None,
        *,
        with_node: bool = False,
    ) -> Failed | None:
        """Record that a run's process died: it will be tried again, alone, or has failed if this was
        the third time; then that failure is returned. With `with_node` its whole machine went away, for
        which a run is blamed only when it happens again and again.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        outcome, tries = (claims.NODE, NODE_TRIES) if with_node else (claims.LOST, TRIES)
        times = claims.times_lost(connection, claim, outcome) + 1
        if times < tries:
            self._end(connection, claim, RunStatus.STOPPED, {}, error, outcome)
            return None
        failure = Failed("worker_died", f"{error}; it was tried {times} times")
        self._fail(connection, claim, failure, environment)
        return failure

    @writing
    def give_back_late(self, connection: Connection, claim: Claim, error: str) -> None:
        """Record that a run's cohort took too long: it will be tried again, alone.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        self._end(connection, claim, RunStatus.STOPPED, {}, error, claims.LATE)

    def stop(self, claim: Claim, error: str | None = None) -> None:
        """Give a run back unfinished, so that it can go on; nothing if it is not ours any more."""

        def give_back(connection: Connection) -> None:
            claims.end(connection, claim, RunStatus.STOPPED, {}, error)

        # Whoever asked us to end must not wait for a database that is out of reach.
        transact(self._engine, give_back, writes=True, patience_seconds=LAST_WORDS_SECONDS)

    @writing
    def renew(self, connection: Connection, held: Iterable[Claim]) -> None:
        """Show that these attempts are alive."""
        claims.renew_all(connection, list(held))

    @reading
    def running(
        self,
        connection: Connection,
        run_keys: Collection[str],
        after: str = "",
        at_most: int | None = None,
    ) -> dict[str, tuple[Owner, str, int]]:
        """Which of these runs are being trained: by whom, under which token, and the heartbeat. With
        `at_most` that many are looked at, of all that are trained, from the key `after` on and round to it.
        """
        return claims.running(connection, run_keys, after, at_most)

    @writing
    def take_back(self, connection: Connection, run_key: str, token: str) -> bool:
        """Make a run whose worker is gone ready again; False if it has moved on meanwhile."""
        claim = Claim(run_key, token, 0)
        return claims.end(connection, claim, RunStatus.STOPPED, {}, "its process is gone")

    @writing
    def retry_failed(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        return claims.retry_failed(connection, run_keys)

    @reading
    def unseen(self, connection: Connection, run_keys: Collection[str]) -> int:
        """How many of these runs can go on from checkpoints of which none can be seen from here."""
        return checkpoints.unseen(connection, self._url, run_keys)

    @reading
    def statuses(self, connection: Connection, run_keys: Sequence[str]) -> dict[str, RunStatus]:
        """The status of those of these runs that the database knows."""
        return read_statuses(connection, run_keys)

    def _fail(
        self,
        connection: Connection,
        claim: Claim,
        failure: Failed,
        environment: Mapping[str, Any] | None,
    ) -> None:
        values: dict[str, Any] = {"failure": failure.kind, "error": storable(failure.error)}
        if environment is not None:
            values["environment_id"] = add_environment(connection, environment)
        ended = self._end(connection, claim, RunStatus.FAILED, values, failure.error)
        if ended and failure.kind not in GOES_ON:
            checkpoints.forget(connection, claim.run_key)

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        status: RunStatus,
        values: Mapping[str, Any],
        error: str | None = None,
        outcome: str | None = None,
    ) -> bool:
        """End an attempt; False if it has ended so before, which was not heard of."""
        if claims.end(connection, claim, status, values, error, outcome):
            return True
        if claims.has_ended(connection, claim, outcome or status):
            return False
        raise LostClaimError(claim.run_key)
