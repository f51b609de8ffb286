"""The results database: plan in, claims out, epochs and results in. The only SQLAlchemy is in this room.

Order of a run's life: `register` → `claim` → `resume` → `add_epoch`, `add_checkpoint` … → `finish`.
Every write after the claim carries the attempt's token; a write whose token is no longer the run's
changes nothing and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from ablate.result import Checkpoint, Cost, Epoch, Failed, Finished, Histograms, ProfileRow, Trace
from ablate.store import checkpoints, claims, schema
from ablate.store.claims import READY, Claim, LostClaimError
from ablate.store.connect import WRITE, clear_errors, open_engine
from ablate.store.histograms import forget_histograms, write_histograms
from ablate.store.owner import Owner, current_owner
from ablate.store.read import read_statuses
from ablate.store.registry import register
from ablate.store.rows import add_environment, add_missing, now, replacing
from ablate.store.weights import keep

if TYPE_CHECKING:
    # For its type only: a report opens the database on machines without torch.
    from ablate.plan import Plan

__all__ = ["READY", "Claim", "LostClaimError", "Store"]

STEP = "step "
"""Before a setting it names, in the table of kernels, the path of the whole step."""


class Store:
    """One results database, opened for writing. Every method is one transaction."""

    def __init__(self, url: str) -> None:
        """Open a database, make it if it is missing.

        Raises:
            DatabaseError: not ours, newer, or not to be opened.
        """
        self._engine = open_engine(url, create=True)
        self._url = str(self._engine.url)
        self._owner = current_owner()

    def close(self) -> None:
        self._engine.dispose()

    def register(self, plan: Plan) -> None:
        """Make the study's cells those of the plan; runs that exist already stay as they are."""
        with self._write() as connection:
            register(connection, plan)

    def claim(self, run_keys: Sequence[str]) -> Claim | None:
        """Take the first of these runs that is ready, or None. No two callers get the same one."""
        return next(iter(self.claim_cohort(run_keys, 1, lambda run_key: run_key)), None)

    def claim_cohort(
        self, run_keys: Sequence[str], at_most: int, group: Callable[[str], Hashable]
    ) -> list[Claim]:
        """Take the first of these runs that is ready, and more of its group up to `at_most` in all."""
        with self._write() as connection:
            return claims.take(connection, self._owner, run_keys, at_most, group)

    def ready(self, run_keys: Sequence[str]) -> int:
        """How many of these runs wait to be trained."""
        with self._read() as connection:
            return len(claims.ready(connection, run_keys))

    def resume(self, claim: Claim) -> Checkpoint | None:
        """The newest whole checkpoint of a claimed run, None where it begins anew.

        Epochs and steps that come after it are removed: they will be trained again.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was changed.
        """
        with self._write() as connection:
            claims.touch(connection, claim)
            found = checkpoints.newest(connection, self._url, claim.run_key)
            checkpoints.rewind(connection, claim.run_key, found.epoch if found else 0)
            checkpoints.sweep(connection, self._url, claim.run_key)
            forget_histograms(self._url, claim.run_key, found.epoch if found else 0)
            return found

    def add_epoch(self, claim: Claim, epoch: Epoch) -> None:
        """Store what an epoch measured, with its steps.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        row = {k: v for k, v in asdict(epoch).items() if k != "steps"}
        with self._write() as connection:
            claims.touch(connection, claim)
            connection.execute(replacing(schema.epochs, {"run_key": claim.run_key, **row}))
            for step in epoch.steps:
                step_row = {"run_key": claim.run_key, **asdict(step), "epoch": epoch.epoch}
                connection.execute(replacing(schema.steps, step_row))

    def add_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> None:
        """Store the state of a run after an epoch that is stored already; the last two are kept.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the file cannot be written.
        """
        row = checkpoints.write(self._url, claim, checkpoint)
        try:
            with self._write() as connection:
                claims.touch(connection, claim)
                checkpoints.record(connection, row)
        except BaseException:
            checkpoints.remove(self._url, row)
            raise
        with self._read() as connection:
            checkpoints.sweep(connection, self._url, claim.run_key)

    def add_histograms(self, claim: Claim, histograms: Histograms) -> None:
        """Store histograms of an epoch that is stored already.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
            DatabaseError: the file cannot be written.
        """
        with self._write() as connection:
            claims.touch(connection, claim)
            write_histograms(self._url, claim.run_key, histograms)

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
                keep(connection, self._url, claim.run_key, result.kept)
            checkpoints.forget(connection, claim.run_key)
        with self._read() as connection:
            checkpoints.sweep(connection, self._url, claim.run_key)

    def fail(self, claim: Claim, failure: Failed) -> None:
        """Record that a run ended without a result.

        Raises:
            LostClaimError: the run belongs to another attempt now; nothing was written.
        """
        with self._write() as connection:
            values = {"failure": failure.kind, "error": failure.error}
            self._end(connection, claim, "failed", values, failure.error)
            if (
                failure.kind != "worker_died"
            ):  # that may have been the machine's fault: it can go on
                checkpoints.forget(connection, claim.run_key)

    def stop(self, claim: Claim, error: str | None = None) -> None:
        """Give a run back unfinished, so that it can go on; nothing if it is not ours any more."""
        with self._write() as connection:
            claims.end(connection, claim, "stopped", {}, error)

    def renew(self, held: Iterable[Claim]) -> None:
        """Show that these attempts are alive."""
        with self._write() as connection:
            for claim in held:
                claims.renew(connection, claim)

    def running(self, run_keys: Sequence[str]) -> dict[str, tuple[Owner, str, int]]:
        """Which of these runs are being trained: by whom, under which token, and the heartbeat."""
        with self._read() as connection:
            return claims.running(connection, run_keys)

    def take_back(self, run_key: str, token: str) -> bool:
        """Make a run whose worker is gone ready again; False if it has moved on meanwhile."""
        claim = Claim(run_key, token, 0)
        with self._write() as connection:
            return claims.end(connection, claim, "stopped", {}, "its process is gone")

    def retry_failed(self, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        with self._write() as connection:
            return claims.retry_failed(connection, run_keys)

    def statuses(self, run_keys: Sequence[str]) -> dict[str, str]:
        """The status of those of these runs that the database knows."""
        with self._read() as connection:
            return read_statuses(connection, run_keys)

    def kernels(self, device: str, precision: str) -> dict[str, str]:
        """Which path each attention takes on a device, as it was chosen once; empty before that."""
        table = schema.kernels
        with self._read() as connection:
            query = select(table.c.attention, table.c.kernel).where(
                table.c.device == device,
                table.c.precision == precision,
                table.c.attention.not_like(f"{STEP}%"),
            )
            return {row.attention: row.kernel for row in connection.execute(query)}

    def step_path(self, device: str, precision: str, setting: str) -> str | None:
        """How a device steps cohorts under a setting, as it was chosen once; None before that."""
        table = schema.kernels
        with self._read() as connection:
            query = select(table.c.kernel).where(
                table.c.device == device,
                table.c.precision == precision,
                table.c.attention == STEP + setting,
            )
            return connection.scalar(query)

    def choose_step_path(self, device: str, precision: str, setting: str, path: str) -> str:
        """Store it; where another process was faster, its choice stays. Returns what holds."""
        self.choose_kernels(device, precision, {STEP + setting: path})
        return self.step_path(device, precision, setting) or path

    def choose_kernels(
        self, device: str, precision: str, kernels: Mapping[str, str]
    ) -> dict[str, str]:
        """Store a choice of paths; where another process was faster, its choice stays. Returns what
        holds from now on.
        """
        rows = [
            {"device": device, "precision": precision, "attention": name, "kernel": kernel}
            for name, kernel in kernels.items()
        ]
        with self._write() as connection:
            add_missing(connection, schema.kernels, rows)
        return self.kernels(device, precision)

    def measured(
        self, device: str, precision: str, batch_size: int, baseline: str, torch: str | None
    ) -> set[str]:
        """Fingerprints whose throughput beside that baseline is known under these conditions."""
        costs, environments = schema.costs, schema.environments
        with self._read() as connection:
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

    def profiled(self, device: str) -> set[str]:
        """Fingerprints whose profile on this device, by module too, is there or has failed."""
        traces = schema.traces
        with self._read() as connection:
            query = select(traces.c.fingerprint).where(
                traces.c.device == device, traces.c.path == "eager"
            )
            return set(connection.scalars(query))

    @property
    def trace_folder(self) -> Path:
        """Where the traces of profiles lie."""
        return Path(str(self._engine.url.database)).parent / "traces"

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

    def add_trace(self, trace: Trace) -> None:
        """Store where a trace lies, or why there is none; from then on the network counts as profiled."""
        table = schema.traces
        with self._write() as connection:
            if trace.file is not None:  # another device's trace of the same name was overwritten
                mine = table.c.file == trace.file, table.c.device != trace.device
                gone = {"file": None, "reason": f"overwritten by that of {trace.device}"}
                connection.execute(update(table).where(*mine).values(gone))
            connection.execute(replacing(table, {**asdict(trace), "written_at": now()}))

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

    def _end(
        self,
        connection: Connection,
        claim: Claim,
        status: str,
        values: Mapping[str, Any],
        error: str | None = None,
    ) -> None:
        if not claims.end(connection, claim, status, values, error):
            raise LostClaimError(claim.run_key)
