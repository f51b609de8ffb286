"""The CBAM tutorial's network, there for 32×32 images (docs/tutorials.md, section 3)."""

from __future__ import annotations

import torch
from torch import nn

from ablate.errors import OptionError

POOLED = 8
"""The three pools leave one position for 8×8 pixels."""
WIDEST = 1024
"""Of width × image size: `fc1` has 2**30 weights then, 4 GiB."""


class CbamCNN(nn.Module):
    """Three blocks conv – BN – ReLU – max pool with 32, 64 and 128 channels, then two linear layers.

    `width` multiplies the channels of the convolutions and the 512 units of the first linear layer, which
    has as many inputs as the images leave: `image_size` is their side in pixels.

    Shape: (N, 3, S, S) → (N, classes) for the image size S, from 8. The tutorial puts attention after
    `pool1`, `pool2`, `pool3`, and reuses its third ReLU after `fc1`; here that one is `relu4`, so paths are
    unique.

    Raises:
        OptionError: a width that leaves no channel, or one that no memory holds.
    """

    def __init__(self, classes: int, image_size: int = 32, *, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, hidden = _widths(width, image_size)
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
        self.fc1 = nn.Linear(c3 * (image_size // POOLED) ** 2, hidden)
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


def _widths(width: float, image_size: int) -> tuple[int, int, int, int]:
    if not 1 / 32 <= width <= 32:
        raise OptionError(f"cbam_cnn: width must be from 1/32 to 32, not {width}")
    if width * image_size > WIDEST:
        raise OptionError(
            f"cbam_cnn: width × image_size must be at most {WIDEST}, not {width:g} × {image_size}: fc1 "
            "would need more than 4 GiB"
        )
    return int(32 * width), int(64 * width), int(128 * width), int(512 * width)
