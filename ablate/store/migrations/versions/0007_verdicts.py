"""What verdicts rest on: what each run said of each test image, what is right and the pictures of a few of
them, in how many processes a throughput was measured, and when verdicts were looked at.

What is here is written out and not imported, because this revision must do the same when the code has
moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _keep_predictions()
    _know_processes_of_costs()
    _keep_looks()


def _keep_predictions() -> None:
    op.add_column("runs", sa.Column("test_predictions", sa.LargeBinary))
    op.create_table(
        "test_sets",
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("labels", sa.LargeBinary),
        sa.Column("classes", sa.JSON),
    )
    op.create_table(
        "test_pictures",
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
        sa.Column("image_size", sa.Integer, primary_key=True),
        sa.Column("image", sa.Integer, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    _count_test_images()


def _count_test_images() -> None:
    """Bits fill whole bytes; of how many images they are is what makes the run's accuracy of them."""
    bind = op.get_bind()
    runs = sa.table(
        "runs",
        sa.column("dataset_hash"),
        sa.column("test_accuracy"),
        sa.column("test_correct", sa.LargeBinary),
    )
    images: dict[str, int] = {}
    for name, accuracy, bits in bind.execute(
        sa.select(runs).where(runs.c.test_correct.is_not(None))
    ):
        right = int.from_bytes(bits).bit_count()
        for count in range(max(1, 8 * len(bits) - 7), 8 * len(bits) + 1):
            if right and right / count == accuracy:
                images.setdefault(name, count)
    if images:
        sets = sa.table("test_sets", sa.column("dataset_hash"), sa.column("images"))
        rows = [{"dataset_hash": name, "images": count} for name, count in images.items()]
        bind.execute(sa.insert(sets), rows)


def _know_processes_of_costs() -> None:
    """NULL in what is there: it was measured in one process."""
    op.add_column("costs", sa.Column("processes", sa.Integer))


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
