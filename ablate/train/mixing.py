"""Images of a batch mixed in pairs: the same pairs for every variant of a seed.

Everything is drawn on the CPU, so that a device does not change it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ablate.study import Recipe
from ablate.train.batch import Batch


@dataclass
class Mixer:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899), one draw
    for each batch; where a recipe has both, either by the toss of a coin.
    """

    mixup_alpha: float
    cutmix_alpha: float
    rng: np.random.Generator

    def __call__(self, batch: Batch) -> Batch:
        """Shape: images (B, 3, H, W), labels (B,) → the same images mixed, labels (B, 3) float32: two
        classes and the share of the first. They are mixed in place.
        """
        images, labels = batch
        partner = torch.from_numpy(self.rng.permutation(len(labels))).to(labels.device)
        cut = self.cutmix_alpha > 0 and (self.mixup_alpha == 0 or self.rng.random() < 0.5)
        alpha = self.cutmix_alpha if cut else self.mixup_alpha
        share = float(self.rng.beta(alpha, alpha))
        share = self._paste(images, partner, share) if cut else _blend(images, partner, share)
        shares = torch.full_like(labels, share, dtype=torch.float32)
        return images, torch.stack([labels.float(), labels[partner].float(), shares], dim=1)

    def _paste(self, images: torch.Tensor, partner: torch.Tensor, share: float) -> float:
        """A rectangle of the partner's; returns what is left of the image itself."""
        height, width = images.shape[2:]
        side = math.sqrt(1 - share)
        y, x = int(self.rng.integers(height)), int(self.rng.integers(width))
        half = int(side * height) // 2, int(side * width) // 2
        top, bottom = max(0, y - half[0]), min(height, y + half[0])
        left, right = max(0, x - half[1]), min(width, x + half[1])
        window = images[partner, :, top:bottom, left:right]
        images[:, :, top:bottom, left:right] = window
        return 1 - (bottom - top) * (right - left) / (height * width)


def _blend(images: torch.Tensor, partner: torch.Tensor, share: float) -> float:
    other = images[partner]
    images.mul_(share).add_(other, alpha=1 - share)
    return share


def make_mixer(recipe: Recipe, seed: int) -> Mixer | None:
    """What mixes the batches of an epoch, from a stream of its own; None where a recipe mixes nothing."""
    if not recipe.mixes:
        return None
    return Mixer(recipe.mixup_alpha, recipe.cutmix_alpha, np.random.default_rng(seed))
