"""What an attempt at a run writes, from its claim to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from ablate.result import Checkpoint, Epoch, Failed, Finished, Histograms, RunStatus
from ablate.store.connection.transaction import reading, transact, writing
from ablate.store.files import checkpoints
from ablate.store.files.histograms import forget_histograms, write_histograms
from ablate.store.writing import claims, outcomes
from ablate.store.writing.claims import Claim, LostClaimError

LAST_WORDS_SECONDS = 5.0
"""How long a driver that ends waits to give a run back; without it, a lease does that."""


@dataclass(frozen=True, slots=True)
class Report:
    """An epoch or the result of an attempt, and of a result the environment that it came from."""

    claim: Claim
    event: Epoch | Finished
    environment: Mapping[str, Any] = field(default_factory=dict)


class Attempts:
    """A part of `Store`: every write carries the attempt's token. One whose token is no longer the run's
    changes nothing and says so.
    """

    _engine: Engine
    _url: str

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
            outcomes.add_epochs(connection, epochs)
            files: list[str] = []
            for each in reports:
                if isinstance(each.event, Finished):
                    files += outcomes.accept(
                        connection, self._url, each.claim, each.event, each.environment
                    )
            return files

        return transact(self._engine, write, writes=True, patience_seconds=patience_seconds)

    def add_epoch(self, claim: Claim, epoch: Epoch) -> None:
        """Store what an epoch measured, with its steps.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        self._report_one(Report(claim, epoch))

    def finish(self, claim: Claim, result: Finished, environment: Mapping[str, Any]) -> None:
        """Accept a run's result, and write its weights if it brings some.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the weights cannot be written; the run is not accepted.
        """
        self._report_one(Report(claim, result, environment))

    def _report_one(self, report: Report) -> None:
        if self.report([report]):
            raise LostClaimError(report.claim.run_key)

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
        outcomes.fail(connection, claim, failure, environment)

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
        return outcomes.lose(connection, claim, error, environment, with_node=with_node)

    @writing
    def give_back_late(self, connection: Connection, claim: Claim, error: str) -> None:
        """Record that a run's cohort took too long: it will be tried again, alone.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        outcomes.end(connection, claim, RunStatus.STOPPED, {}, error, claims.LATE)

    def stop(self, claim: Claim, error: str | None = None) -> None:
        """Give a run back unfinished, so that it can go on; nothing if it is not ours any more."""

        def give_back(connection: Connection) -> None:
            claims.end(connection, claim, RunStatus.STOPPED, {}, error)

        # Whoever asked us to end must not wait for a database that is out of reach.
        transact(self._engine, give_back, writes=True, patience_seconds=LAST_WORDS_SECONDS)
