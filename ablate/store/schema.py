"""The tables. They may change behind the views, which are the promise (docs/database.md).

What is written here for queries is created by the migrations; a test holds the two against each
other. A revision adds tables and columns, or rewrites rows; the views are made anew after it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from ablate.result import RunStatus

metadata = MetaData()

_STATUSES = {status.value: status for status in RunStatus}


class Status(TypeDecorator[RunStatus]):
    """A `RunStatus`, stored as its word."""

    impl = String(16)
    cache_ok = True

    def process_bind_param(self, value: RunStatus | str | None, _dialect: object) -> str | None:
        return None if value is None else RunStatus(value).value

    def process_result_value(self, value: str | None, _dialect: object) -> RunStatus | None:
        return None if value is None else _STATUSES[value]


Count = Integer().with_variant(BigInteger(), "postgresql")
"""Multiply-adds go beyond 2³¹, which SQLite's integers hold anyway."""

environments = Table(
    "environments",
    metadata,
    Column("environment_id", String(16), primary_key=True),
    Column("content", JSON, nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("study", String(64), primary_key=True),
    # What people call it; its content is what it is.
    Column("dataset", String(255), nullable=False),
    Column("setting", String(16), primary_key=True),
    Column("definition", JSON, nullable=False),
    Column("updated_at", String(32), nullable=False),
    Column("dataset_hash", String(64), primary_key=True),
)

architectures = Table(
    "architectures",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("backbone", Text, nullable=False),
    # None of networks from elsewhere, where nobody has said it.
    Column("parameters", Count),
    Column("attention_parameters", Count),
    Column("macs", Count),
    Column("uncounted", JSON, nullable=False),
    Column("layers", JSON, nullable=False),
    # None where it was described before these were stored.
    Column("elementwise", Count),
    Column("activations", Count),
)

runs = Table(
    "runs",
    metadata,
    Column("run_key", String(16), primary_key=True),
    Column("fingerprint", String(16), ForeignKey("architectures.fingerprint"), nullable=False),
    Column("dataset_hash", String(64), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("status", Status, nullable=False),
    Column("failure", String(16)),
    Column("error", Text),
    Column("attempts", Integer, nullable=False, default=0),
    # Who works on it: every write of an attempt carries the token, so a zombie changes 0 rows.
    Column("token", String(32)),
    Column("owner_host", Text),
    Column("owner_pid", Integer),
    Column("owner_started", Float),
    Column("heartbeat", Integer, nullable=False, default=0),
    Column("val_accuracy", Float),
    Column("test_accuracy", Float),
    Column("test_loss", Float),
    Column("test_correct", LargeBinary),
    # Of the weights, where they were kept: their file in the folder weights/ beside the database.
    Column("weights_sha256", String(64)),
    Column("seconds", Float),
    Column("train_images_per_second", Float),
    Column("device", Text),
    Column("precision", String(16)),
    Column("environment_id", String(16), ForeignKey("environments.environment_id")),
    Column("started_at", String(32)),
    Column("finished_at", String(32)),
    Column("weights_file", String(64)),
    # How it is computed (`ablate.result.path`), as it was begun; NULL where nobody has begun it, or
    # before that was stored.
    Column("path", JSON(none_as_null=True)),
    Column("unmoved_attention", Text),
    # Of each test image (`ablate.result.predictions`); NULL where it was tested before that was stored.
    Column("test_predictions", LargeBinary),
    # Of folds, from 1; such a run is tested on so many of the data set's test images, from the first one on.
    Column("fold", Integer),
    Column("test_first", Integer),
    Column("test_images", Integer),
)

cells = Table(
    "cells",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("dataset", String(255), nullable=False),
    Column("setting", String(16), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("variant", Text, nullable=False),
    Column("attention", Text, nullable=False),
    Column("position", Text),
    Column("reduction", Float),
    Column("kernel_size", Integer),
    Column("options", JSON, nullable=False),
    # That of its run, beside the other columns that a study's part of the database is found by.
    Column("dataset_hash", String(64)),
    Index("cells_in_order", "study", "dataset_hash", "setting", "ordinal"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("run_key", String(16), ForeignKey("runs.run_key"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("finished_at", String(32)),
    Column("outcome", String(16)),
    Column("error", Text),
)

explanations = Table(
    "explanations",
    metadata,
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

epochs = Table(
    "epochs",
    metadata,
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("train_loss", Float, nullable=False),
    Column("train_accuracy", Float, nullable=False),
    Column("val_loss", Float),
    Column("val_accuracy", Float),
    Column("test_loss", Float),
    Column("test_accuracy", Float),
    Column("learning_rate", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("images_per_second", Float, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("epoch", Integer),
    Column("batch_loss", Float, nullable=False),
    Column("batch_accuracy", Float, nullable=False),
    Column("learning_rate", Float, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    # In the folder checkpoints/ beside the database.
    Column("file", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("written_at", String(32), nullable=False),
)

# Which path a device takes: measured once, the same ever after. `subject` is what the choice is for, a
# kind of attention or the setting of a study, `conditions` what else it depends on.
choices = Table(
    "choices",
    metadata,
    Column("device", String(255), primary_key=True),
    Column("precision", String(16), primary_key=True),
    Column("decision", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("conditions", String(64), primary_key=True),
    Column("choice", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("chosen_at", String(32), nullable=False),
)

costs = Table(
    "costs",
    metadata,
    Column("fingerprint", String(16), ForeignKey("architectures.fingerprint"), primary_key=True),
    Column("device", String(255), primary_key=True),
    Column("precision", String(16), primary_key=True),
    Column("mode", String(8), primary_key=True),
    Column("batch_size", Integer, primary_key=True),
    Column("protocol", String(8), primary_key=True),
    Column("images_per_second", Float, nullable=False),
    Column("p10", Float, nullable=False),
    Column("p90", Float, nullable=False),
    Column("latency_ms", Float),
    Column("peak_memory_mib", Float),
    Column("rounds", Integer, nullable=False),
    Column("environment_id", String(16), ForeignKey("environments.environment_id"), nullable=False),
    Column("measured_at", String(32), nullable=False),
    Column("rounds_dropped", Integer),
    # The fingerprint of the network that was measured in the same rounds; its own row holds its second
    # measurement against the first, the noise floor.
    Column("baseline", String(16)),
    Column("baseline_ratio", Float),
    Column("ratio_low", Float),
    Column("ratio_high", Float),
    Column("copy_gib_per_second", Float),
    Column("clock_mhz", Float),
    # That the interval of the ratio is over; NULL: its rounds were in one.
    Column("processes", Integer),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(16), ForeignKey("architectures.fingerprint"), nullable=False),
    Column("device", String(255), nullable=False),
    Column("path", String(16), nullable=False),
    Column("module", Text),
    Column("operator", Text, nullable=False),
    Column("self_device_us", Float, nullable=False),
    Column("self_cpu_us", Float, nullable=False),
    Column("calls", Float, nullable=False),
    Column("share", Float, nullable=False),
    Column("memory_kib", Float),
    Index("profiles_by_fingerprint", "fingerprint", "device"),
)

# Files of a profiler's trace, in the folder beside the database; without a file, why there is none.
traces = Table(
    "traces",
    metadata,
    Column("fingerprint", String(16), ForeignKey("architectures.fingerprint"), primary_key=True),
    Column("device", String(255), primary_key=True),
    Column("path", String(16), primary_key=True),
    Column("file", Text),
    Column("reason", Text),
    Column("written_at", String(32), nullable=False),
)

# What a search has asked: which variant a trial is, in which order, and what became of it. Its values
# are those of its runs; Optuna's own storage is made from this table.
trials = Table(
    "trials",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("dataset", String(255), nullable=False),
    Column("setting", String(16), primary_key=True),
    Column("search", String(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("point", JSON, nullable=False),
    Column("sampler_state", JSON, nullable=False),
    Column("variant", Text, nullable=False),
    Column("fingerprint", String(16), ForeignKey("architectures.fingerprint"), nullable=False),
    Column("state", String(16), nullable=False),
    # Of the seeds that it had, in their order.
    Column("run_keys", JSON, nullable=False),
    # Those that it had to train: the others were there already.
    Column("trained", JSON, nullable=False),
    Column("reason", Text),
    Column("asked_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("dataset_hash", String(64), primary_key=True),
)

# The test images of each data set, in their order. Without labels where only results of before those
# were stored are there.
test_sets = Table(
    "test_sets",
    metadata,
    Column("dataset_hash", String(64), primary_key=True),
    Column("images", Integer, nullable=False),
    Column("labels", LargeBinary),
    Column("classes", JSON(none_as_null=True)),
)

# Those few of them that a report shows, as PNG, so that it needs nothing but the database.
test_pictures = Table(
    "test_pictures",
    metadata,
    Column("dataset_hash", String(64), primary_key=True),
    Column("image_size", Integer, primary_key=True),
    Column("image", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# What the images of each data set are, in numbers (`ablate.result.dataset`), as the last run found them.
datasets = Table(
    "datasets",
    metadata,
    Column("dataset_hash", String(64), primary_key=True),
    Column("classes", Integer, nullable=False),
    # Those that are not tested, of which a recipe holds some out.
    Column("train_images", Integer, nullable=False),
    Column("test_images", Integer, nullable=False),
    Column("smallest_class", Text, nullable=False),
    Column("smallest_class_images", Integer, nullable=False),
    Column("largest_class", Text, nullable=False),
    Column("largest_class_images", Integer, nullable=False),
    Column("majority_class", Text, nullable=False),
    Column("majority_share", Float, nullable=False),
    Column("passed_over", JSON, nullable=False),
    Column("turned_images", Integer, nullable=False),
    Column("turned", Integer, nullable=False),
    # NULL: nobody has compared them.
    Column("compared", Text),
    Column("tested_in_training", Integer),
    Column("in_two_classes", Integer),
    Column("plain_images", Integer),
    Column("transparent_images", Integer),
    # NULL where a part is for testing: then each image is not tested once.
    Column("folds", Integer),
    Column("smallest_fold_images", Integer),
    Column("largest_fold_images", Integer),
)

# What each run is worth by each metric (`ablate.study.metrics`), on validation and test images; the class is
# empty where it is of all of them.
metrics = Table(
    "metrics",
    metadata,
    Column("run_key", String(16), ForeignKey("runs.run_key"), primary_key=True),
    Column("split", String(16), primary_key=True),
    Column("metric", String(32), primary_key=True),
    Column("class_name", String(255), primary_key=True),
    Column("value", Float, nullable=False),
)

# When verdicts were shown to somebody, on what and by which rule (`ablate.stats.looks`).
looks = Table(
    "looks",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("dataset_hash", String(64), primary_key=True),
    Column("setting", String(16), primary_key=True),
    Column("looked_at", String(32), primary_key=True),
    # A digest of the keys of the runs that were finished.
    Column("finished", String(16), primary_key=True),
    Column("rule", String(16), primary_key=True),
    Column("command", String(32), nullable=False),
    # Seeds by variant: finished, and planned at that time.
    Column("n", JSON, nullable=False),
    Column("planned", JSON, nullable=False),
    Column("margin", Float),
    Column("family", Integer, nullable=False),
)
