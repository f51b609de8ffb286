"""What verdicts rest on: in how many processes a throughput was measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _know_processes_of_costs()


def _know_processes_of_costs() -> None:
    """NULL in what is there: it was measured in one process."""
    op.add_column("costs", sa.Column("processes", sa.Integer))
