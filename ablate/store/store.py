"""The results database: plan in, claims out, epochs and results in. The only SQLAlchemy is in this room.

Order of a run's life: `register` → `claim` → `add_epoch` … → `finish`. Every write after the claim
carries the attempt's token; a write whose token is no longer the run's changes nothing and says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from ablate.result import Cost, Epoch, Failed, Finished, ProfileRow
from ablate.store import schema
from ablate.store.connect import WRITE, clear_errors, open_engine
from ablate.store.owner import Owner, current_owner
from ablate.store.read import read_statuses
from ablate.store.registry import register
from ablate.store.rows import (
    add_environment,
    chunks,
    now,
    replacing,
)
from ablate.store.weights import keep

if TYPE_CHECKING:
    # For its type only: a report opens the database on machines without torch.
    from ablate.plan import Plan

READY = ("planned", "stopped")
"""The states from which a run is trained; `failed` only after `retry_failed`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to train one run: whoever holds the token."""

    run_key: str
    token: str
    attempt: int


class LostClaimError(Exception):
    """The run belongs to another attempt now; this one's write changed nothing."""


class Store:
    """One results database, opened for writing. Every method is one transaction."""

    def __init__(self, url: str) -> None:
        """Open a database, make it if it is missing.

        Raises:
            DatabaseError: not ours, newer, or not to be opened.
        """
        self._engine = open_engine(url, create=True)
        self._owner = current_owner()

    def close(self) -> None:
        self._engine.dispose()

    def register(self, plan: Plan) -> None:
        """Make the study's cells those of the plan; runs that exist already stay as they are."""
        with self._write() as connection:
            register(connection, plan)

    def claim(self, run_keys: Sequence[str]) -> Claim | None:
        """Take the first of these runs that is ready, or None. No two callers get the same one."""
        runs, started = schema.runs, now()
        with self._write() as connection:
            ready = {
                key
                for chunk in chunks(run_keys)
                for key in connection.scalars(
                    select(runs.c.run_key).where(
                        runs.c.run_key.in_(chunk), runs.c.status.in_(READY)
                    )
                )
            }
            key = next((k for k in run_keys if k in ready), None)
            if key is None:
                return None
            token = secrets.token_hex(16)
            taken = (
                update(runs)
                .where(runs.c.run_key == key)
                .values(
                    status="running",
                    token=token,
                    attempts=runs.c.attempts + 1,
                    heartbeat=0,
                    owner_host=self._owner.host,
                    owner_pid=self._owner.pid,
                    owner_started=self._owner.started,
                    started_at=started,
                    finished_at=None,
                    failure=None,
                    error=None,
                )
            )
            number = connection.scalars(taken.returning(runs.c.attempts)).one()
            # An attempt trains from the start: what an earlier one left is not part of it.
            for table in (schema.epochs, schema.steps):
                connection.execute(delete(table).where(table.c.run_key == key))
            attempt = {
                "token": token,
                "run_key": key,
                "number": number,
                "started_at": started,
                "host": self._owner.host,
                "pid": self._owner.pid,
            }
            connection.execute(insert(schema.attempts), attempt)
            return Claim(key, token, number)

    def add_epoch(self, claim: Claim, epoch: Epoch) -> None:
        """Store what an epoch measured, with its steps.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        row = {k: v for k, v in asdict(epoch).items() if k != "steps"}
        with self._write() as connection:
            self._touch(connection, claim)
            connection.execute(replacing(schema.epochs, {"run_key": claim.run_key, **row}))
            for step in epoch.steps:
                step_row = {"run_key": claim.run_key, **asdict(step)}
                connection.execute(replacing(schema.steps, step_row))

    def finish(self, claim: Claim, result: Finished, environment: Mapping[str, Any]) -> None:
        """Accept a run's result, and write its weights if it brings some.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the weights cannot be written; the run is not accepted.
        """
        values = {k: v for k, v in asdict(result).items() if k != "kept"}
        with self._write() as connection:
            values["environment_id"] = add_environment(connection, environment)
            self._end(connection, claim, "finished", values)
            if result.kept is not None:
                keep(connection, str(self._engine.url), claim.run_key, result.kept)

    def fail(self, claim: Claim, failure: Failed) -> None:
        """Record that a run ended without a result.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        with self._write() as connection:
            values = {"failure": failure.kind, "error": failure.error}
            self._end(connection, claim, "failed", values, failure.error)

    def stop(self, claim: Claim) -> None:
        """Give a run back unfinished, so that it can go on; nothing if it is not ours any more."""
        with self._write() as connection:
            self._end(connection, claim, "stopped", {}, must_hold=False)

    def renew(self, claims: Iterable[Claim]) -> None:
        """Show that these attempts are alive."""
        runs = schema.runs
        with self._write() as connection:
            for claim in claims:
                connection.execute(
                    update(runs).where(_holds(claim)).values(heartbeat=runs.c.heartbeat + 1)
                )

    def running(self, run_keys: Sequence[str]) -> dict[str, tuple[Owner, str, int]]:
        """Which of these runs are being trained: by whom, under which token, and the heartbeat."""
        runs = schema.runs
        columns = (
            runs.c.run_key,
            runs.c.owner_host,
            runs.c.owner_pid,
            runs.c.owner_started,
            runs.c.token,
            runs.c.heartbeat,
        )
        with self._read() as connection:
            return {
                row.run_key: (
                    Owner(row.owner_host, row.owner_pid, row.owner_started),
                    row.token,
                    row.heartbeat,
                )
                for chunk in chunks(run_keys)
                for row in connection.execute(
                    select(*columns).where(runs.c.run_key.in_(chunk), runs.c.status == "running")
                )
            }

    def take_back(self, run_key: str, token: str) -> bool:
        """Make a run whose worker is gone ready again; False if it has moved on meanwhile."""
        claim = Claim(run_key, token, 0)
        with self._write() as connection:
            return self._end(
                connection, claim, "stopped", {}, "its process is gone", must_hold=False
            )

    def retry_failed(self, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        runs = schema.runs
        with self._write() as connection:
            return sum(
                connection.execute(
                    update(runs)
                    .where(runs.c.run_key.in_(chunk), runs.c.status == "failed")
                    .values(status="planned", failure=None, error=None, finished_at=None)
                ).rowcount
                for chunk in chunks(run_keys)
            )

    def statuses(self, run_keys: Sequence[str]) -> dict[str, str]:
        """The status of those of these runs that the database knows."""
        with self._read() as connection:
            return read_statuses(connection, run_keys)

    def measured(self, device: str, precision: str, batch_size: int) -> set[str]:
        """Fingerprints whose throughput under these conditions is known."""
        costs = schema.costs
        with self._read() as connection:
            query = select(costs.c.fingerprint).where(
                costs.c.device == device,
                costs.c.precision == precision,
                costs.c.batch_size == batch_size,
            )
            return set(connection.scalars(query))

    def profiled(self, device: str) -> set[str]:
        """Fingerprints that have a profile on this device."""
        profiles = schema.profiles
        with self._read() as connection:
            query = select(profiles.c.fingerprint).where(profiles.c.device == device)
            return set(connection.scalars(query))

    def add_costs(self, costs: Iterable[Cost], environment: Mapping[str, Any]) -> None:
        """Store measured throughput; what was measured before in the same way is replaced."""
        with self._write() as connection:
            environment_id = add_environment(connection, environment)
            for cost in costs:
                row = {**asdict(cost), "environment_id": environment_id, "measured_at": now()}
                connection.execute(replacing(schema.costs, row))

    def add_profile(self, rows: Sequence[ProfileRow]) -> None:
        """Store a profile, in place of an earlier one of the same network, device and path."""
        table = schema.profiles
        with self._write() as connection:
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

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """One transaction that writes.

        Raises:
            DatabaseError: it cannot be committed; nothing of it was written.
        """
        with (
            clear_errors(self._engine.url.database, "written"),
            self._engine.execution_options(**WRITE).begin() as connection,
        ):
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One view of the database at one moment.

        Raises:
            DatabaseError: it cannot be read.
        """
        with clear_errors(self._engine.url.database, "read"), self._engine.connect() as connection:
            yield connection

    def _touch(self, connection: Connection, claim: Claim) -> None:
        runs = schema.runs
        changed = connection.execute(
            update(runs).where(_holds(claim)).values(heartbeat=runs.c.heartbeat + 1)
        )
        if changed.rowcount != 1:
            raise LostClaimError(claim.run_key)

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        status: str,
        values: Mapping[str, Any],
        error: str | None = None,
        *,
        must_hold: bool = True,
    ) -> bool:
        ended_at = now()
        ended = (
            update(schema.runs)
            .where(_holds(claim))
            .values(
                status=status,
                token=None,
                finished_at=ended_at if status != "stopped" else None,
                **values,
            )
        )
        held = connection.execute(ended).rowcount == 1
        if not held and must_hold:
            raise LostClaimError(claim.run_key)
        if held:
            attempts = schema.attempts
            connection.execute(
                update(attempts)
                .where(attempts.c.token == claim.token)
                .values(finished_at=ended_at, outcome=status, error=error)
            )
        return held


def _holds(claim: Claim) -> ColumnElement[bool]:
    return and_(schema.runs.c.run_key == claim.run_key, schema.runs.c.token == claim.token)
