"""What verdicts rest on: when they were looked at, on which runs and by which rule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _keep_looks()


def _keep_looks() -> None:
    op.create_table(
        "looks",
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
        sa.Column("setting", sa.String(16), primary_key=True),
        sa.Column("looked_at", sa.String(32), primary_key=True),
        sa.Column("finished", sa.String(16), primary_key=True),
        sa.Column("rule", sa.String(16), primary_key=True),
        sa.Column("command", sa.String(32), nullable=False),
        sa.Column("n", sa.JSON, nullable=False),
        sa.Column("planned", sa.JSON, nullable=False),
        sa.Column("margin", sa.Float),
        sa.Column("family", sa.Integer, nullable=False),
    )
