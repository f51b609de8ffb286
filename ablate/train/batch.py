"""What a step is taken on."""

from __future__ import annotations

import torch

from ablate.study import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (B, 3, H, W) float32 and labels, (B,) int64 or of mixed images (B, 3) float32."""


def empty_labels(images: int, recipe: Recipe, device: torch.device) -> torch.Tensor:
    """Labels of that many images as the recipe's batches have them."""
    if recipe.mixes:
        return torch.zeros(images, 3, device=device)
    return torch.zeros(images, dtype=torch.int64, device=device)
