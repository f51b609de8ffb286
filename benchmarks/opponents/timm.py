"""The shape of timm's training script, from its own pieces: loader, optimizer, scheduler, meters.

`create_loader` (without its prefetcher, which needs a GPU) gets the tutorial's transform, since its own
has no rotation; bf16 autocast and channels last; gradients are scaled for fp16 only, as there.
"""

from __future__ import annotations

from typing import Any, Never

import torch
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter
from torch import nn

from ablate.system.hardware.precision import choose_precision
from benchmarks.field import IMAGE_SIZE, LEARNING_RATE, RECIPE, Entry, Field
from benchmarks.pictures import Pictures
from benchmarks.race import Turn

EPOCHS = 50


def play(field: Field, entry: Entry, turn: Turn) -> Never:
    """All of torch's threads; `entry.loader_workers` processes load images."""
    net = field.net().to(field.device).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(net, opt="adam", lr=LEARNING_RATE, weight_decay=0.0)
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=EPOCHS)
    loader = make_loader(field, entry.loader_workers)
    number = 0
    while True:
        turn.begin()
        meter = train_one_epoch(net, loader, optimizer, torch.device(field.device))
        number += 1
        scheduler.step(number % EPOCHS, meter.avg)
        turn.end(meter.count, meter.avg)


def make_loader(field: Field, workers: int) -> Any:
    """timm's loader over the tutorial's images."""
    pictures = Pictures(field.images())
    transform = pictures.transform
    loader = create_loader(
        pictures,
        input_size=(3, IMAGE_SIZE, IMAGE_SIZE),
        batch_size=RECIPE.batch_size,
        is_training=True,
        num_workers=workers,
        device=torch.device(field.device),
        use_prefetcher=False,
        persistent_workers=workers > 0,
    )
    pictures.transform = transform  # create_loader has put its own there
    return loader


def train_one_epoch(
    net: nn.Module, loader: Any, optimizer: torch.optim.Optimizer, device: torch.device
) -> AverageMeter:
    """The meter of the losses."""
    losses, criterion = AverageMeter(), nn.CrossEntropyLoss()
    net.train()
    for inputs, targets in loader:
        images = inputs.to(device).contiguous(memory_format=torch.channels_last)
        labels = targets.to(device)
        with choose_precision("amp", device).autocast(device):
            loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.update(loss.item(), len(labels))
    return losses
