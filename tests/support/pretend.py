"""A job that trains nothing, in a module that a worker process loads in no time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ablate.result import Epoch, Finished


@dataclass(frozen=True)
class Pretend:
    """A job that trains nothing; the process is gone when it comes to the poison."""

    run_keys: tuple[str, ...]
    poison: str
    epoch: Epoch
    finished: Finished

    def __call__(self) -> Iterator[tuple[str, object]]:
        for run_key in self.run_keys:
            yield run_key, self.epoch
        for run_key in self.run_keys:
            if run_key == self.poison:
                os.abort()
            yield run_key, self.finished
