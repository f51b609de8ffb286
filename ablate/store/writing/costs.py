"""What measuring gave: throughput, profiles and where their traces lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from ablate.result import Cost, ProfileRow, Trace
from ablate.store import schema
from ablate.store.connection.transaction import reading, writing
from ablate.store.statements import put
from ablate.store.writing.rows import add_environment
from ablate.system.process.clock import now


class Costs:
    """The tables of costs, profiles and traces; `trace_folder` is where the files of traces lie."""

    def __init__(self, engine: Engine, trace_folder: Path) -> None:
        self._engine = engine
        self.trace_folder = trace_folder

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
