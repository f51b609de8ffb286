"""The views, which are the promise (docs/database.md): their SQL, and the order of their rows.

They are made anew at the end of every migration. A new column of one stands here, in a revision that
the databases which are there already pass through, and in docs/database.md.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

VIEWS = {
    "v_runs": """
        SELECT c.study, c.run_key, c.variant, r.fingerprint, NULLIF(a.backbone, '') AS backbone,
               NULLIF(c.attention, '') AS attention, c.position, c.reduction, c.kernel_size, c.options,
               c.dataset, r.seed, r.status, r.failure, r.error, r.attempts,
               CASE WHEN {elsewhere} IS NOT NULL THEN {said_epochs}
                    ELSE (SELECT COUNT(*) FROM epochs e WHERE e.run_key = r.run_key)
               END AS epochs,
               r.val_accuracy, r.test_accuracy, a.parameters, a.attention_parameters, a.macs,
               r.seconds, r.train_images_per_second, r.device, r.precision,
               r.started_at, r.finished_at, c.setting, c.ordinal, a.elementwise, a.activations,
               r.dataset_hash, r.unmoved_attention, r.fold
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
               {torch} AS torch, k.processes
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
    "v_predictions": """
        WITH {numbers}
        SELECT r.run_key, COALESCE(r.test_first, 0) + n.image AS image, {label} AS label,
               {predicted} AS predicted, {probability} AS probability, {correct} AS correct
        FROM runs r
        JOIN test_sets s ON s.dataset_hash = r.dataset_hash
        CROSS JOIN {unpacked}
        WHERE r.status = 'finished'
              AND length(r.test_correct) = (COALESCE(r.test_images, s.images) + 7) / 8
              AND n.image < COALESCE(r.test_images, s.images)
    """,
    "v_metrics": """
        SELECT run_key, split, metric, NULLIF(class_name, '') AS class, value FROM metrics
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
    "v_datasets": """
        SELECT s.study, s.dataset, s.dataset_hash, s.setting, d.classes,
               d.train_images - {held_out} AS train_images, {held_out} AS validation_images,
               d.test_images, d.smallest_class, d.smallest_class_images, d.largest_class,
               d.largest_class_images, d.majority_class, d.majority_share, d.compared,
               d.tested_in_training, d.in_two_classes, d.plain_images, d.transparent_images,
               d.turned_images, d.turned, d.passed_over, d.folds, d.smallest_fold_images,
               d.largest_fold_images
        FROM studies s
        LEFT JOIN datasets d ON d.dataset_hash = s.dataset_hash
    """,
}

NOT_EXPORTED = ("v_predictions",)
"""A row for each run and image, which the tables hold packed: an import has it again."""

ORDER = {
    "v_runs": ("study", "dataset", "dataset_hash", "setting", "ordinal"),
    "v_epochs": ("run_key", "epoch"),
    "v_steps": ("run_key", "step"),
    "v_costs": ("variant", "fingerprint", "device", "precision", "mode", "batch_size", "protocol"),
    "v_profile": ("fingerprint", "device", "path", "module", "operator"),
    "v_predictions": ("run_key", "image"),
    "v_metrics": ("run_key", "split", "metric", "class"),
    "v_looks": ("study", "dataset_hash", "setting", "number"),
    "v_datasets": ("study", "dataset", "dataset_hash", "setting"),
}
"""The order in which a view's rows are given, so that the same results are the same bytes."""

_TORCH = {"sqlite": "json_extract(e.content, '$.torch')", "postgresql": "e.content ->> 'torch'"}
"""How each kind of database looks into JSON."""

_HELD_OUT = {
    "sqlite": "json_extract(s.definition, '$.validation_images')",
    "postgresql": "CAST(s.definition ->> 'validation_images' AS integer)",
}
"""Of how many images the study's recipe makes validation images."""

_ELSEWHERE = {
    "sqlite": "json_extract(r.recipe, '$.elsewhere')",
    "postgresql": "(r.recipe ->> 'elsewhere')",
}
_SAID_EPOCHS = {
    "sqlite": "json_extract(r.recipe, '$.epochs')",
    "postgresql": "CAST(r.recipe ->> 'epochs' AS integer)",
}
"""How many epochs a run had that was trained elsewhere, if that was said: none was stored here."""

_BYTE = {
    "sqlite": "(instr(b.every, substr({packed}, {place} + 1, 1)) - 1)",
    "postgresql": "get_byte({packed}, {place})",
}
"""How each reads one byte, counted from 0. SQLite has no function for it: a byte is found by its place
among all bytes in their order."""

_NUMBERS = {
    "sqlite": f"""RECURSIVE numbers(image) AS (
            SELECT 0 UNION ALL SELECT image + 1 FROM numbers
            WHERE image + 1 < (SELECT MAX(images) FROM test_sets)
        ), bytes(every) AS (SELECT X'{bytes(range(256)).hex()}')""",  # noqa: S608
    "postgresql": "nothing AS (SELECT ''::bytea AS empty)",
}
"""What each counts and looks up with."""

_UNPACKED = {
    "sqlite": "bytes b CROSS JOIN numbers n",
    # Joined to nothing, and not looked through: so a value is fetched once, and not for each byte.
    "postgresql": """LATERAL (
            SELECT r.test_correct || e.empty AS correct, r.test_predictions || e.empty AS predictions,
                   s.labels || e.empty AS labels
            FROM nothing e OFFSET 0
        ) p CROSS JOIN LATERAL generate_series(0, s.images - 1) AS n(image)""",
}
_PACKED = {
    "sqlite": ("r.test_correct", "r.test_predictions", "s.labels"),
    "postgresql": ("p.correct", "p.predictions", "p.labels"),
}
"""The columns that `v_predictions` unpacks, which hold what `ablate.result.predictions` describes."""


def drop_views(connection: Connection) -> None:
    """Remove the views that are there, so that their tables can be changed."""
    for name in inspect(connection).get_view_names():
        if name in VIEWS:
            connection.execute(text(f"DROP VIEW {name}"))


def create_views(connection: Connection) -> None:
    """Make all views."""
    kind = connection.dialect.name
    words = {
        "torch": _TORCH[kind],
        "held_out": _HELD_OUT[kind],
        "elsewhere": _ELSEWHERE[kind],
        "said_epochs": _SAID_EPOCHS[kind],
        **_words_of_predictions(kind),
    }
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query.format(**words)}"))


def _words_of_predictions(kind: str) -> dict[str, str]:
    """What of `v_predictions` each kind of database says in its own way."""
    correct, predictions, labels = _PACKED[kind]

    def byte(packed: str, place: str) -> str:
        return _BYTE[kind].format(packed=packed, place=place)

    def number(packed: str, place: str) -> str:
        return f"(256 * {byte(packed, place)} + {byte(packed, f'{place} + 1')})"

    whole = "length(r.test_predictions) = 4 * COALESCE(r.test_images, s.images)"
    said = number(predictions, "4 * n.image"), number(predictions, "4 * n.image + 2")
    return {
        "numbers": _NUMBERS[kind],
        "unpacked": _UNPACKED[kind],
        "label": number(labels, "2 * (COALESCE(r.test_first, 0) + n.image)"),
        "predicted": f"CASE WHEN {whole} THEN {said[0]} END",
        "probability": f"CASE WHEN {whole} THEN CAST(NULLIF({said[1]}, 0) AS double precision) / 65535 END",
        "correct": f"(({byte(correct, 'n.image / 8')} >> (7 - n.image % 8)) & 1)",
    }
