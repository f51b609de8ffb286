"""Checkpoints, the epoch of a step, and the path that each attention takes on a device."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("steps", sa.Column("epoch", sa.Integer))
    op.create_table(
        "checkpoints",
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("written_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "kernels",
        sa.Column("device", sa.String(255), primary_key=True),
        sa.Column("precision", sa.String(16), primary_key=True),
        sa.Column("attention", sa.String(64), primary_key=True),
        sa.Column("kernel", sa.String(16), nullable=False),
    )
