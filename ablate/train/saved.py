"""The state of a trainer, put aside while its step is recorded: what warming up did to it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch

from ablate.train.step import Trainer


class Saved:
    """A trainer as it is, to be put back in place: a graph knows tensors by where they lie."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._net = [tensor.detach().clone() for tensor in _tensors(trainer)]
        self._optimizer = {
            (parameter, key): value.clone() for parameter, key, value in _optimizer_tensors(trainer)
        }
        self._scaler = trainer.scaler.state_dict()

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, saved in zip(_tensors(self._trainer), self._net, strict=True):
            tensor.copy_(saved)
        for parameter, key, value in _optimizer_tensors(self._trainer):
            before = self._optimizer.get((parameter, key))
            # What came into being since then begins at zero, with every optimizer that we have.
            value.zero_() if before is None else value.copy_(before)
        self._trainer.scaler.load_state_dict(self._scaler)


def _tensors(trainer: Trainer) -> Iterator[torch.Tensor]:
    average = trainer.average.values if trainer.average is not None else []
    return chain(trainer.net.parameters(), trainer.net.buffers(), average)


def _optimizer_tensors(trainer: Trainer) -> Iterator[tuple[torch.Tensor, str, torch.Tensor]]:
    for parameter, state in trainer.optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                yield parameter, key, value
