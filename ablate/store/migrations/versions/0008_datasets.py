"""What the images of each data set are: how many of which classes, and what is odd about them.

What is here is written out and not imported, because this revision must do the same when the code has
moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Of what was run before nothing is known: images are counted by the next run."""
    op.create_table(
        "datasets",
        sa.Column("dataset_hash", sa.String(64), primary_key=True),
        sa.Column("classes", sa.Integer, nullable=False),
        sa.Column("train_images", sa.Integer, nullable=False),
        sa.Column("test_images", sa.Integer, nullable=False),
        sa.Column("smallest_class", sa.Text, nullable=False),
        sa.Column("smallest_class_images", sa.Integer, nullable=False),
        sa.Column("largest_class", sa.Text, nullable=False),
        sa.Column("largest_class_images", sa.Integer, nullable=False),
        sa.Column("majority_class", sa.Text, nullable=False),
        sa.Column("majority_share", sa.Float, nullable=False),
        sa.Column("passed_over", sa.JSON, nullable=False),
        sa.Column("turned_images", sa.Integer, nullable=False),
        sa.Column("turned", sa.Integer, nullable=False),
        sa.Column("compared", sa.Text),
        sa.Column("tested_in_training", sa.Integer),
        sa.Column("in_two_classes", sa.Integer),
        sa.Column("plain_images", sa.Integer),
        sa.Column("transparent_images", sa.Integer),
    )
