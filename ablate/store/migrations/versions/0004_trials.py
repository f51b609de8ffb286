"""Trials: what a search has asked, in which order, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.String(255), primary_key=True),
        sa.Column("setting", sa.String(16), primary_key=True),
        sa.Column("search", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("point", sa.JSON, nullable=False),
        sa.Column("sampler_state", sa.JSON, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column(
            "fingerprint", sa.String(16), sa.ForeignKey("architectures.fingerprint"), nullable=False
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run_keys", sa.JSON, nullable=False),
        sa.Column("trained", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("asked_at", sa.String(32), nullable=False),
        sa.Column("ended_at", sa.String(32)),
    )
