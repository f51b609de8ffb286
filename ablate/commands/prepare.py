"""What `run` and `measure` do first: a plan whose data is there, and where its results come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ablate.datasets.split import stratified_split
from ablate.environment import describe_environment, nvidia_driver
from ablate.plan import Plan, make_plan
from ablate.progress import Counting
from ablate.study import Study
from ablate.train.precision import FP32_PRECISION, device_name


def prepare_plan(study: Study, data: Path | None, console: Console) -> Plan:
    """The plan of a study, once its images are prepared; so every run has its key.

    Raises:
        AblateError: the study or the data must be changed.
    """
    plan = make_plan(study, data)
    said = f"preparing {plan.dataset.label} (the first time only)"
    images = plan.dataset.load(Counting(console, said))
    if study.recipe.split != "tutorial":
        stratified_split(images.train_labels, study.recipe.validation_fraction)
    if any(cell.run_key is None for cell in plan.cells):
        plan = make_plan(study, data)
    return plan


def describe_place(
    device: torch.device, precision: str, kernels: Mapping[str, str], *, deterministic: bool
) -> dict[str, Any]:
    """The environment of results that are computed here and now."""
    return describe_environment() | {
        "device": device_name(device),
        "precision": precision,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "nvidia_driver": nvidia_driver() if device.type == "cuda" else None,
        "fp32_precision": FP32_PRECISION,
        "tf32": FP32_PRECISION == "tf32",
        "deterministic": device.type == "cpu" or deterministic,
        "kernels": dict(kernels),
    }
