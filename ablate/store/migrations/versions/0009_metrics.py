"""Metrics beside accuracy.

What is here is written out and not imported, because this revision must do the same when the code has
moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "metrics",
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("split", sa.String(16), primary_key=True),
        sa.Column("metric", sa.String(32), primary_key=True),
        sa.Column("class_name", sa.String(255), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )
