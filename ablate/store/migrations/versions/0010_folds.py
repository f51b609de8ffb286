"""Folds: which one a run is of, and which of the images it was tested on.

What is here is written out and not imported, because this revision must do the same when the code has
moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for name in ("fold", "test_first", "test_images"):
        op.add_column("runs", sa.Column(name, sa.Integer))
    for name in ("folds", "smallest_fold_images", "largest_fold_images"):
        op.add_column("datasets", sa.Column(name, sa.Integer))
