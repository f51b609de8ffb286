"""Throughput beside a baseline, what the machine did meanwhile, memory by operator, traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


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
