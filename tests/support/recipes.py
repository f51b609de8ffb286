"""A recipe for each key that changes a training step, and one with many of them."""

from __future__ import annotations

from typing import Any

from ablate.train.optimizers import OPTIMIZERS

RECIPES: dict[str, dict[str, Any]] = {
    **{f"optimizer={name}": {"optimizer": name} for name in OPTIMIZERS},
    "weight_decay": {"optimizer": "adamw", "weight_decay": 0.05, "no_decay_on": "norm_and_bias"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "betas": {"betas": (0.8, 0.99)},
    "clip_norm": {"clip_norm": 1.0},
    "accumulate": {"accumulate": 2, "batch_size": 32},
    "ema_decay": {"ema_decay": 0.9},
    "warmup_epochs": {"warmup_epochs": 0.5},
    "label_smoothing": {"label_smoothing": 0.1},
    "class_weights": {"class_weights": "balanced"},
    "mixup_alpha": {"mixup_alpha": 0.2},
    "cutmix_alpha": {"cutmix_alpha": 1.0},
    "dropout": {"dropout": 0.3},
    "rates": {"rates": {"conv1*": 0.1}},
    "attention_rate": {"attention_rate": 10.0},
    "freeze": {"freeze": ("conv1*",)},
    "phases": {
        "phases": ({"epochs": 1, "freeze": ["conv1*"]}, {"epochs": 1, "freeze": ["conv2*"]}), "epochs": 2,
    },
    "all": {
        "accumulate": 2, "batch_size": 32, "clip_norm": 1.0, "ema_decay": 0.9, "label_smoothing": 0.1,
        "mixup_alpha": 0.2, "attention_rate": 2.0, "optimizer": "muon",
    },
}  # fmt: skip
