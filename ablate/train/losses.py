"""What training minimises. The loss of validation and test images is always plain cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ablate.study import Recipe


@dataclass(frozen=True)
class Loss:
    """Cross-entropy with smoothed labels (Szegedy et al. 2016, arXiv:1512.00567) and a weight for each class.

    Labels of mixed images are (B, 3) float32: two classes, and how much of the image is of the first; the
    loss is that of both, each as much as it is there (Zhang et al. 2018, arXiv:1710.09412).
    """

    smoothing: float = 0.0
    class_weights: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Shape: logits (B, classes), labels (B,) int64 or (B, 3) → ()."""
        if labels.dim() == 1:
            return F.cross_entropy(
                logits, labels, weight=self.class_weights, label_smoothing=self.smoothing
            )
        first, second, share = labels.unbind(1)
        both = [
            F.cross_entropy(logits, each.long(), label_smoothing=self.smoothing, reduction="none")
            for each in (first, second)
        ]
        return torch.lerp(both[1], both[0], share).mean()


def make_loss(recipe: Recipe, labels: torch.Tensor | None = None) -> Loss:
    """The recipe's loss; `labels` (N,) are those of the training images, which class weights are made from.

    "balanced" is N / (classes × images of the class), as in scikit-learn (King and Zeng 2001).
    """
    if recipe.class_weights is None or labels is None:
        return Loss(recipe.label_smoothing)
    counts = torch.bincount(labels)
    weights = len(labels) / (len(counts) * counts.clamp(min=1).float())
    return Loss(recipe.label_smoothing, weights.to(labels.device))


def first_labels(labels: torch.Tensor) -> torch.Tensor:
    """The class that most of each image is of, (B,) int64: what a right answer is while training."""
    if labels.dim() == 1:
        return labels
    first, second, share = labels.unbind(1)
    return torch.where(share >= 0.5, first, second).long()
