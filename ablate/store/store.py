"""The results database: plan in, claims out, epochs and results in. The only SQLAlchemy is in this room.

Order of a run's life: `register` → `claim_cohort` → `resume` → `add_epoch`, `add_checkpoint` … →
`finish`. Every write after the claim carries the attempt's token; a write whose token is no longer
the run's changes nothing and says so. Every transaction may be run twice (`transaction.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from ablate.result import Checkpoint, Cost, Epoch, Failed, Finished, Histograms, ProfileRow, Trace
from ablate.store import checkpoints, claims, schema
from ablate.store.claims import Claim, LostClaimError
from ablate.store.connect import files_folder, open_engine
from ablate.store.histograms import forget_histograms, write_histograms
from ablate.store.owner import Owner, current_owner
from ablate.store.read import read_statuses
from ablate.store.registry import register
from ablate.store.rows import add_environment, add_missing, now, put, storable
from ablate.store.statements import READY
from ablate.store.transaction import reading, transact, writing
from ablate.store.weights import keep

if TYPE_CHECKING:
    # For its type only: a report opens the database on machines without torch.
    from ablate.plan import Plan

__all__ = ["READY", "Claim", "LostClaimError", "Store"]

TRIES = 3
"""How often a run is tried that takes its process down with it."""
GOES_ON = ("worker_died", "timeout")
"""Failures that may have been the machine's: the run's checkpoints are kept for another try."""
LAST_WORDS_SECONDS = 5.0
"""How long a driver that ends waits to give a run back; without it, a lease does that."""
CONTESTED_SECONDS = 5.0
"""How long runs that others are claiming at this very moment may make us wait."""


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

    def close(self) -> None:
        self._engine.dispose()

    @writing
    def register(self, connection: Connection, plan: Plan) -> None:
        """Make the study's cells those of the plan; runs that exist already stay as they are."""
        register(connection, plan)

    def claim_cohort(
        self, run_keys: Sequence[str], at_most: int, group: Callable[[str], Hashable]
    ) -> list[Claim]:
        """Take the first of these runs that is ready, and more of its group up to `at_most` in all.

        No two callers get the same one. A run that lost its process or its time before is taken alone.
        """
        tokens = [secrets.token_hex(16) for _ in range(at_most)]
        end = time.monotonic() + CONTESTED_SECONDS
        while not (claimed := self._claim(run_keys, tokens, group)):
            if not self.ready(run_keys) or time.monotonic() > end:
                return []
            time.sleep(0.01)
        return claimed

    def _claim(
        self, run_keys: Sequence[str], tokens: Sequence[str], group: Callable[[str], Hashable]
    ) -> list[Claim]:
        tried = False

        def claim(connection: Connection) -> list[Claim]:
            nonlocal tried
            # After a commit whose end nobody knows, what has these tokens is ours.
            before = claims.held(connection, tokens) if tried else []
            tried = True
            return before or claims.take(connection, self._owner, run_keys, tokens, group)

        return transact(self._engine, claim, writes=True)

    @reading
    def ready(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """How many of these runs wait to be trained."""
        return claims.count_ready(connection, run_keys)

    @writing
    def resume(self, connection: Connection, claim: Claim) -> Checkpoint | None:
        """The newest whole checkpoint of a claimed run, None where it begins anew.

        Epochs and steps that come after it are removed: they will be trained again.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was changed.
        """
        claims.touch(connection, claim)
        found = checkpoints.newest(connection, self._url, claim.run_key)
        checkpoints.rewind(connection, claim.run_key, found.epoch if found else 0)
        checkpoints.sweep(connection, self._url, claim.run_key)
        forget_histograms(self._url, claim.run_key, found.epoch if found else 0)
        return found

    @writing
    def add_epoch(self, connection: Connection, claim: Claim, epoch: Epoch) -> None:
        """Store what an epoch measured, with its steps.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        claims.touch(connection, claim)
        row = {k: v for k, v in asdict(epoch).items() if k != "steps"}
        put(connection, schema.epochs, [{"run_key": claim.run_key, **row}])
        key = {"run_key": claim.run_key, "epoch": epoch.epoch}
        put(connection, schema.steps, [{**key, **asdict(step)} for step in epoch.steps])

    def add_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> None:
        """Store the state of a run after an epoch that is stored already; the last two are kept.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the file cannot be written.
        """
        row = checkpoints.write(self._url, claim, checkpoint)
        try:
            self._name_checkpoint(claim, row)
        except BaseException:
            checkpoints.remove(self._url, row)
            raise
        self._sweep(claim.run_key)

    @writing
    def _name_checkpoint(self, connection: Connection, claim: Claim, row: dict[str, Any]) -> None:
        claims.touch(connection, claim)
        checkpoints.record(connection, row)

    @reading
    def _sweep(self, connection: Connection, run_key: str) -> None:
        checkpoints.sweep(connection, self._url, run_key)

    @writing
    def add_histograms(self, connection: Connection, claim: Claim, histograms: Histograms) -> None:
        """Store histograms of an epoch that is stored already.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the file cannot be written.
        """
        claims.touch(connection, claim)
        write_histograms(self._url, claim.run_key, histograms)

    def finish(self, claim: Claim, result: Finished, environment: Mapping[str, Any]) -> None:
        """Accept a run's result, and write its weights if it brings some.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the weights cannot be written; the run is not accepted.
        """
        self._accept(claim, result, environment)
        self._sweep(claim.run_key)

    @writing
    def _accept(
        self, connection: Connection, claim: Claim, result: Finished, environment: Mapping[str, Any]
    ) -> None:
        values = {k: v for k, v in asdict(result).items() if k != "kept"}
        values["environment_id"] = add_environment(connection, environment)
        if self._end(connection, claim, "finished", values):
            if result.kept is not None:
                keep(connection, self._url, claim.run_key, result.kept)
            checkpoints.forget(connection, claim.run_key)

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
    ) -> Failed | None:
        """Record that a run's process died: it will be tried again, alone, or has failed if this was
        the third time; then that failure is returned.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        times = claims.times_lost(connection, claim) + 1
        if times < TRIES:
            self._end(connection, claim, "stopped", {}, error, claims.LOST)
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
        self._end(connection, claim, "stopped", {}, error, claims.LATE)

    def stop(self, claim: Claim, error: str | None = None) -> None:
        """Give a run back unfinished, so that it can go on; nothing if it is not ours any more."""

        def give_back(connection: Connection) -> None:
            claims.end(connection, claim, "stopped", {}, error)

        # Whoever asked us to end must not wait for a database that is out of reach.
        transact(self._engine, give_back, writes=True, patience_seconds=LAST_WORDS_SECONDS)

    @writing
    def renew(self, connection: Connection, held: Iterable[Claim]) -> None:
        """Show that these attempts are alive."""
        for claim in held:
            claims.renew(connection, claim)

    @reading
    def running(
        self, connection: Connection, run_keys: Sequence[str]
    ) -> dict[str, tuple[Owner, str, int]]:
        """Which of these runs are being trained: by whom, under which token, and the heartbeat."""
        return claims.running(connection, run_keys)

    @writing
    def take_back(self, connection: Connection, run_key: str, token: str) -> bool:
        """Make a run whose worker is gone ready again; False if it has moved on meanwhile."""
        claim = Claim(run_key, token, 0)
        return claims.end(connection, claim, "stopped", {}, "its process is gone")

    @writing
    def retry_failed(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        return claims.retry_failed(connection, run_keys)

    @reading
    def statuses(self, connection: Connection, run_keys: Sequence[str]) -> dict[str, str]:
        """The status of those of these runs that the database knows."""
        return read_statuses(connection, run_keys)

    @reading
    def kernels(self, connection: Connection, device: str, precision: str) -> dict[str, str]:
        """Which path each attention takes on a device, as it was chosen once; empty before that."""
        table = schema.kernels
        query = select(table.c.attention, table.c.kernel).where(
            table.c.device == device,
            table.c.precision == precision,
            table.c.attention.not_like("% %"),  # what is chosen for a setting, not for attention
        )
        return {row.attention: row.kernel for row in connection.execute(query)}

    @reading
    def choice(self, connection: Connection, device: str, precision: str, name: str) -> str | None:
        """What was chosen once for a device under a name that has a blank; None before that."""
        table = schema.kernels
        query = select(table.c.kernel).where(
            table.c.device == device, table.c.precision == precision, table.c.attention == name
        )
        return connection.scalar(query)

    def choose(self, device: str, precision: str, name: str, choice: str) -> str:
        """Store it; where another process was faster, its choice stays. Returns what holds."""
        self.choose_kernels(device, precision, {name: choice})
        return self.choice(device, precision, name) or choice

    def choose_kernels(
        self, device: str, precision: str, kernels: Mapping[str, str]
    ) -> dict[str, str]:
        """Store a choice of paths; where another process was faster, its choice stays. Returns what
        holds from now on.
        """
        rows = [
            {"device": device, "precision": precision, "attention": name, "kernel": kernel}
            for name, kernel in sorted(kernels.items())
        ]
        self._add_kernels(rows)
        return self.kernels(device, precision)

    @writing
    def _add_kernels(self, connection: Connection, rows: Sequence[Mapping[str, str]]) -> None:
        add_missing(connection, schema.kernels, rows)

    @reading
    def measured(
        self,
        connection: Connection,
        device: str,
        precision: str,
        batch_size: int,
        baseline: str,
        torch: str | None,
    ) -> set[str]:
        """Fingerprints whose throughput beside that baseline is known under these conditions."""
        costs, environments = schema.costs, schema.environments
        query = (
            select(costs.c.fingerprint)
            .join(environments, environments.c.environment_id == costs.c.environment_id)
            .where(
                costs.c.device == device,
                costs.c.precision == precision,
                costs.c.batch_size == batch_size,
                costs.c.baseline == baseline,
                environments.c.content["torch"].as_string() == torch,
            )
        )
        return set(connection.scalars(query))

    @reading
    def profiled(self, connection: Connection, device: str) -> set[str]:
        """Fingerprints whose profile on this device, by module too, is there or has failed."""
        traces = schema.traces
        query = select(traces.c.fingerprint).where(
            traces.c.device == device, traces.c.path == "eager"
        )
        return set(connection.scalars(query))

    @property
    def trace_folder(self) -> Path:
        """Where the traces of profiles lie."""
        return files_folder(self._url) / "traces"

    @writing
    def add_costs(
        self, connection: Connection, costs: Sequence[Cost], environment: Mapping[str, Any]
    ) -> None:
        """Store measured throughput; what was measured before in the same way is replaced."""
        added = {
            "environment_id": add_environment(connection, environment),
            "measured_at": now(),
        }
        put(connection, schema.costs, [{**asdict(cost), **added} for cost in costs])

    @writing
    def add_profile(self, connection: Connection, rows: Sequence[ProfileRow]) -> None:
        """Store a profile, in place of an earlier one of the same network, device and path."""
        table = schema.profiles
        for fingerprint, device, path in {(r.fingerprint, r.device, r.path) for r in rows}:
            connection.execute(
                delete(table).where(
                    table.c.fingerprint == fingerprint,
                    table.c.device == device,
                    table.c.path == path,
                )
            )
        if rows:
            connection.execute(insert(table), [asdict(row) for row in rows])

    @writing
    def add_trace(self, connection: Connection, trace: Trace) -> None:
        """Store where a trace lies, or why there is none; from then on the network counts as profiled."""
        table = schema.traces
        if trace.file is not None:  # another device's trace of the same name was overwritten
            mine = table.c.file == trace.file, table.c.device != trace.device
            gone = {"file": None, "reason": f"overwritten by that of {trace.device}"}
            connection.execute(update(table).where(*mine).values(gone))
        put(connection, table, [{**asdict(trace), "written_at": now()}])

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
        ended = self._end(connection, claim, "failed", values, failure.error)
        if ended and failure.kind not in GOES_ON:
            checkpoints.forget(connection, claim.run_key)

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        status: str,
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
