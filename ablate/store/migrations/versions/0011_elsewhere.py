"""Networks of which nobody knows how large they are: results that were trained elsewhere.

What is here is written out and not imported, because this revision must do the same when the code has
moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

SIZES = ("parameters", "attention_parameters", "macs")
Count = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Sizes may be NULL, which is what is not known: 0 would be said of a network that has none."""
    if op.get_bind().dialect.name == "sqlite":
        _make_anew()
        return
    for name in SIZES:
        op.alter_column("architectures", name, existing_type=Count, nullable=True)


def _make_anew() -> None:
    """SQLite changes no column, so the table is made anew. Runs refer to its rows, which are back before the
    transaction ends: only then SQLite asks.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TABLE architectures_before AS SELECT * FROM architectures")
    op.drop_table("architectures")
    op.create_table(
        "architectures",
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("backbone", sa.Text, nullable=False),
        *(sa.Column(name, Count) for name in SIZES),
        sa.Column("uncounted", sa.JSON, nullable=False),
        sa.Column("layers", sa.JSON, nullable=False),
        sa.Column("elementwise", Count),
        sa.Column("activations", Count),
    )
    op.execute("INSERT INTO architectures SELECT * FROM architectures_before")
    op.drop_table("architectures_before")
