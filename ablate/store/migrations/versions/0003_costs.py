"""Throughput beside a baseline, what the machine did meanwhile, memory by operator, traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

VIEWS = {
    "v_costs": """
        SELECT DISTINCT c.variant, k.fingerprint, k.device, k.precision, k.mode, k.batch_size,
               k.images_per_second, k.p10, k.p90, k.latency_ms, k.peak_memory_mib,
               k.protocol, k.rounds, k.measured_at, k.rounds_dropped, k.baseline,
               k.baseline_ratio, k.ratio_low, k.ratio_high, k.copy_gib_per_second, k.clock_mhz,
               {torch} AS torch
        FROM costs k
        JOIN environments e ON e.environment_id = k.environment_id
        JOIN runs r ON r.fingerprint = k.fingerprint
        JOIN cells c ON c.run_key = r.run_key
    """,
    "v_profile": """
        SELECT fingerprint, device, path, module, operator, self_device_us, self_cpu_us,
               calls, share, memory_kib
        FROM profiles
    """,
}


TORCH = {"sqlite": "json_extract(e.content, '$.torch')", "postgresql": "e.content ->> 'torch'"}


def upgrade() -> None:
    op.add_column("costs", sa.Column("rounds_dropped", sa.Integer))
    op.add_column("costs", sa.Column("baseline", sa.String(16)))
    op.add_column("costs", sa.Column("baseline_ratio", sa.Float))
    op.add_column("costs", sa.Column("ratio_low", sa.Float))
    op.add_column("costs", sa.Column("ratio_high", sa.Float))
    op.add_column("costs", sa.Column("copy_gib_per_second", sa.Float))
    op.add_column("costs", sa.Column("clock_mhz", sa.Float))
    op.add_column("profiles", sa.Column("memory_kib", sa.Float))
    op.create_table(
        "traces",
        sa.Column(
            "fingerprint",
            sa.String(16),
            sa.ForeignKey("architectures.fingerprint"),
            primary_key=True,
        ),
        sa.Column("device", sa.String(255), primary_key=True),
        sa.Column("path", sa.String(16), primary_key=True),
        sa.Column("file", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("written_at", sa.String(32), nullable=False),
    )
    torch = TORCH[op.get_bind().dialect.name]
    for name, query in VIEWS.items():
        op.execute(f"DROP VIEW {name}")
        op.execute(f"CREATE VIEW {name} AS {query.format(torch=torch)}")
