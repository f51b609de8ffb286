"""The same training in PyTorch Lightning: LightningModule, Trainer, everything optional switched off.

Logger, checkpoints, progress bar and model summary are off; loss and accuracy are logged for each
epoch, in Lightning's documented way. Images come from the tutorial's loader.
"""

from __future__ import annotations

import logging
import warnings

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.field import LEARNING_RATE, Entry, Field
from benchmarks.pictures import tutorial_loader
from benchmarks.race import Turn


class Classifier(pl.LightningModule):
    """A network with its loss and its optimizer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        images, labels = batch
        logits = self.net(images)
        loss = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class Clock(pl.Callback):
    """Lightning calls us, so the race's turns are taken where its epochs begin and end."""

    def __init__(self, turn: Turn, images: int) -> None:
        self._turn, self._images = turn, images

    def on_train_epoch_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        self._turn.begin()

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        self._turn.end(self._images, float(trainer.callback_metrics["loss"]))


def play(field: Field, entry: Entry, turn: Turn) -> None:
    """`entry.precision` is one of Lightning's names: `32-true` or `bf16-mixed`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # it advises on workers and on mixed attention of loaders
    loader = tutorial_loader(field, entry.loader_workers)
    trainer = pl.Trainer(
        accelerator="gpu" if field.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if entry.precision == "bf16-mixed" else "32-true",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock(turn, len(loader.dataset))],  # type: ignore[arg-type]
    )
    trainer.fit(Classifier(field.net()), loader)
