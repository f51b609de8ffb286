"""The tutorial as it stands: Pillow transforms, DataLoader, fp32, loss and accuracy read at every step."""

from __future__ import annotations

from typing import Never

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.field import LEARNING_RATE, Entry, Field
from benchmarks.pictures import Example, tutorial_loader
from benchmarks.race import Turn


def play(field: Field, entry: Entry, turn: Turn) -> Never:
    """All of torch's threads; `entry.loader_workers` processes load images."""
    net = field.net().to(field.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    loader = tutorial_loader(field, entry.loader_workers)
    net.train()
    while True:
        turn.begin()
        turn.end(*train_one_epoch(net, loader, optimizer, field.device))


def train_one_epoch(
    net: nn.Module, loader: DataLoader[Example], optimizer: torch.optim.Optimizer, device: str
) -> tuple[int, float]:
    """Number of images, and their mean loss."""
    criterion = nn.CrossEntropyLoss()
    loss_sum, correct, total = 0.0, 0, 0
    for inputs, targets in loader:
        images, labels = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = net(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += outputs.max(1)[1].eq(labels).sum().item()
        total += len(labels)
    return total, loss_sum / total
