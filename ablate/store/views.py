"""The order in which a view's rows are given, so that the same results are the same bytes."""

from __future__ import annotations

ORDER = {
    "v_runs": ("study", "dataset", "setting", "ordinal"),
    "v_epochs": ("run_key", "epoch"),
    "v_steps": ("run_key", "step"),
    "v_costs": ("variant", "fingerprint", "device", "precision", "mode", "batch_size", "protocol"),
    "v_profile": ("fingerprint", "device", "path", "module", "operator"),
}
