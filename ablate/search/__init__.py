"""A search: results so far → next runs. The only Optuna is in this room, and no test accuracy."""
