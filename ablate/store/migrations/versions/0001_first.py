"""The first schema: the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Count = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "environments",
        sa.Column("environment_id", sa.String(16), primary_key=True),
        sa.Column("content", sa.JSON, nullable=False),
    )
    op.create_table(
        "studies",
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.String(255), primary_key=True),
        sa.Column("setting", sa.String(16), primary_key=True),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "architectures",
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("backbone", sa.Text, nullable=False),
        sa.Column("parameters", Count, nullable=False),
        sa.Column("attention_parameters", Count, nullable=False),
        sa.Column("macs", Count, nullable=False),
        sa.Column("uncounted", sa.JSON, nullable=False),
        sa.Column("layers", sa.JSON, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_key", sa.String(16), primary_key=True),
        sa.Column(
            "fingerprint", sa.String(16), sa.ForeignKey("architectures.fingerprint"), nullable=False
        ),
        sa.Column("dataset_hash", sa.String(64), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("failure", sa.String(16)),
        sa.Column("error", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, default=0),
        sa.Column("token", sa.String(32)),
        sa.Column("owner_host", sa.Text),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("owner_started", sa.Float),
        sa.Column("heartbeat", sa.Integer, nullable=False, default=0),
        sa.Column("val_accuracy", sa.Float),
        sa.Column("test_accuracy", sa.Float),
        sa.Column("test_loss", sa.Float),
        sa.Column("test_correct", sa.LargeBinary),
        sa.Column("weights_sha256", sa.String(64)),
        sa.Column("seconds", sa.Float),
        sa.Column("train_images_per_second", sa.Float),
        sa.Column("device", sa.Text),
        sa.Column("precision", sa.String(16)),
        sa.Column("environment_id", sa.String(16), sa.ForeignKey("environments.environment_id")),
        sa.Column("started_at", sa.String(32)),
        sa.Column("finished_at", sa.String(32)),
    )
    op.create_table(
        "cells",
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column("setting", sa.String(16), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("attention", sa.Text, nullable=False),
        sa.Column("position", sa.Text),
        sa.Column("reduction", sa.Float),
        sa.Column("kernel_size", sa.Integer),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Index("cells_in_order", "study", "dataset", "setting", "ordinal"),
    )
    op.create_table(
        "attempts",
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column(
            "run_key", sa.String(16), sa.ForeignKey("runs.run_key"), nullable=False, index=True
        ),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("outcome", sa.String(16)),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "explanations",
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "epochs",
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("train_loss", sa.Float, nullable=False),
        sa.Column("train_accuracy", sa.Float, nullable=False),
        sa.Column("val_loss", sa.Float),
        sa.Column("val_accuracy", sa.Float),
        sa.Column("test_loss", sa.Float),
        sa.Column("test_accuracy", sa.Float),
        sa.Column("learning_rate", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("images_per_second", sa.Float, nullable=False),
    )
    op.create_table(
        "steps",
        sa.Column("run_key", sa.String(16), sa.ForeignKey("runs.run_key"), primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("batch_loss", sa.Float, nullable=False),
        sa.Column("batch_accuracy", sa.Float, nullable=False),
        sa.Column("learning_rate", sa.Float, nullable=False),
    )
    op.create_table(
        "costs",
        sa.Column(
            "fingerprint",
            sa.String(16),
            sa.ForeignKey("architectures.fingerprint"),
            primary_key=True,
        ),
        sa.Column("device", sa.String(255), primary_key=True),
        sa.Column("precision", sa.String(16), primary_key=True),
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("batch_size", sa.Integer, primary_key=True),
        sa.Column("protocol", sa.String(8), primary_key=True),
        sa.Column("images_per_second", sa.Float, nullable=False),
        sa.Column("p10", sa.Float, nullable=False),
        sa.Column("p90", sa.Float, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("peak_memory_mib", sa.Float),
        sa.Column("rounds", sa.Integer, nullable=False),
        sa.Column(
            "environment_id",
            sa.String(16),
            sa.ForeignKey("environments.environment_id"),
            nullable=False,
        ),
        sa.Column("measured_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "profiles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "fingerprint", sa.String(16), sa.ForeignKey("architectures.fingerprint"), nullable=False
        ),
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("path", sa.String(16), nullable=False),
        sa.Column("module", sa.Text),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("self_device_us", sa.Float, nullable=False),
        sa.Column("self_cpu_us", sa.Float, nullable=False),
        sa.Column("calls", sa.Float, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Index("profiles_by_fingerprint", "fingerprint", "device"),
    )
