"""The CBAM tutorial's network for 32×32 images (docs/tutorials.md, section 3)."""

from __future__ import annotations

import torch
from torch import nn

from ablate.errors import OptionError


class CbamCNN(nn.Module):
    """Three blocks conv – BN – ReLU – max pool with 32, 64 and 128 channels, then two linear layers.

    `width` multiplies the channels of the convolutions and the 512 units of the first linear layer.

    Shape: (N, 3, 32, 32) → (N, classes). The tutorial puts attention after `pool1`, `pool2`, `pool3`.
    The tutorial reuses its third ReLU after `fc1`; here that one is `relu4`, so paths are unique.

    Raises:
        OptionError: a width that leaves no channel, or one that no memory holds.
    """

    def __init__(self, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, hidden = _widths(width)
        self.conv1 = nn.Conv2d(3, c1, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(c1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(c1, c2, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(c2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(c3)
        self.relu3 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(c3 * 4 * 4, hidden)
        self.relu4 = nn.ReLU()
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool2(self.relu2(self.bn2(self.conv2(x))))
        x = self.pool3(self.relu3(self.bn3(self.conv3(x))))
        x = self.dropout(self.relu4(self.fc1(torch.flatten(x, 1))))
        logits: torch.Tensor = self.fc2(x)
        return logits


def _widths(width: float) -> tuple[int, int, int, int]:
    if not 1 / 32 <= width <= 32:
        raise OptionError(f"cbam_cnn: width must be from 1/32 to 32, not {width}")
    return int(32 * width), int(64 * width), int(128 * width), int(512 * width)
