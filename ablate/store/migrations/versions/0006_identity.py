"""The path that a run was begun with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _add_path()


def _add_path() -> None:
    op.add_column("runs", sa.Column("path", sa.JSON))
