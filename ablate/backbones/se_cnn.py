"""The two small networks of the tutorials on SE blocks and heat maps (docs/tutorials.md)."""

from __future__ import annotations

import torch
from torch import nn


class SeCNN(nn.Module):
    """Three convolutions with ReLU, 16, 32 and 64 channels, and no classifier: features to look at.

    Shape: (N, 3, H, W) → (N, 64, H // 4, W // 4), for any H and W from 4. The tutorial puts SE after
    `relu1` and `relu2`, before the pools. The number of classes does not matter: nothing predicts one.
    """

    def __init__(self, _classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.relu3 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        features: torch.Tensor = self.relu3(self.conv3(x))
        return features


class SeCNN2(nn.Module):
    """Two blocks conv – BN – ReLU with 64 and 128 channels, global average pool, one linear layer.

    Shape: (N, 3, H, W) → (N, classes), for any H and W. The tutorial puts SE after `relu1` and `relu2`.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(64, 128, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(128)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        logits: torch.Tensor = self.fc(self.pool(x).flatten(1))
        return logits
