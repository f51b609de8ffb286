"""The views, which are the promise (docs/database.md): their SQL, and the order of their rows.

They are made anew at the end of every migration. A new column of one stands here, in a revision that
the databases which are there already pass through, and in docs/database.md.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

VIEWS = {
    "v_runs": """
        SELECT c.study, c.run_key, c.variant, r.fingerprint, a.backbone, c.attention, c.position,
               c.reduction, c.kernel_size, c.options, c.dataset, r.seed, r.status, r.failure,
               r.error, r.attempts,
               (SELECT COUNT(*) FROM epochs e WHERE e.run_key = r.run_key) AS epochs,
               r.val_accuracy, r.test_accuracy, a.parameters, a.attention_parameters, a.macs,
               r.seconds, r.train_images_per_second, r.device, r.precision,
               r.started_at, r.finished_at, c.setting, c.ordinal, a.elementwise, a.activations,
               r.dataset_hash, r.unmoved_attention
        FROM cells c
        JOIN runs r ON r.run_key = c.run_key
        JOIN architectures a ON a.fingerprint = r.fingerprint
    """,
    "v_epochs": """
        SELECT run_key, epoch, train_loss, train_accuracy, val_loss, val_accuracy,
               test_loss, test_accuracy, learning_rate, seconds, images_per_second
        FROM epochs
    """,
    "v_steps": """
        SELECT run_key, step, batch_loss, batch_accuracy, learning_rate FROM steps
    """,
    "v_costs": """
        SELECT DISTINCT c.variant, k.fingerprint, k.device, k.precision, k.mode, k.batch_size,
               k.images_per_second, k.p10, k.p90, k.latency_ms, k.peak_memory_mib,
               k.protocol, k.rounds, k.measured_at, k.rounds_dropped, k.baseline,
               k.baseline_ratio, k.ratio_low, k.ratio_high, k.copy_gib_per_second, k.clock_mhz,
               {torch} AS torch
        FROM costs k
        JOIN environments e ON e.environment_id = k.environment_id
        JOIN runs r ON r.fingerprint = k.fingerprint
        JOIN cells c ON c.run_key = r.run_key
    """,
    "v_profile": """
        SELECT fingerprint, device, path, module, operator, self_device_us, self_cpu_us,
               calls, share, memory_kib
        FROM profiles
    """,
    "v_looks": """
        SELECT l.study, s.dataset, l.dataset_hash, l.setting,
               ROW_NUMBER() OVER (PARTITION BY l.study, l.dataset_hash, l.setting
                                  ORDER BY l.looked_at, l.finished, l.rule) AS number,
               l.looked_at, l.rule, l.command, l.n, l.planned, l.margin, l.family, l.finished
        FROM looks l
        LEFT JOIN studies s ON s.study = l.study AND s.dataset_hash = l.dataset_hash
             AND s.setting = l.setting
    """,
}

ORDER = {
    "v_runs": ("study", "dataset", "dataset_hash", "setting", "ordinal"),
    "v_epochs": ("run_key", "epoch"),
    "v_steps": ("run_key", "step"),
    "v_costs": ("variant", "fingerprint", "device", "precision", "mode", "batch_size", "protocol"),
    "v_profile": ("fingerprint", "device", "path", "module", "operator"),
    "v_looks": ("study", "dataset_hash", "setting", "number"),
}
"""The order in which a view's rows are given, so that the same results are the same bytes."""

_TORCH = {"sqlite": "json_extract(e.content, '$.torch')", "postgresql": "e.content ->> 'torch'"}
"""How each kind of database looks into JSON."""


def drop_views(connection: Connection) -> None:
    """Remove the views that are there, so that their tables can be changed."""
    for name in inspect(connection).get_view_names():
        if name in VIEWS:
            connection.execute(text(f"DROP VIEW {name}"))


def create_views(connection: Connection) -> None:
    """Make all views."""
    for name, query in VIEWS.items():
        sql = query.format(torch=_TORCH[connection.dialect.name])
        connection.execute(text(f"CREATE VIEW {name} AS {sql}"))
