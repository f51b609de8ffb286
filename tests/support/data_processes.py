"""What tests have a process of its own do with images: walk over them, and say how much memory it took."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

import torch

from ablate.datasets import cache
from ablate.datasets.base import Images
from ablate.study import Recipe
from ablate.train.data import eval_batches, to_device, train_batches


def stored_images(name: str) -> Images:
    """Those of an entry of the cache, the same for training and for testing."""
    entry = cache.load_arrays(name)
    assert entry is not None
    pixels, labels = entry.arrays["images"], entry.arrays["labels"]
    classes = tuple("0123456789")
    return Images(name, classes, pixels, labels, pixels, labels, (0.5,) * 3, (0.25,) * 3)


def walk(name: str) -> None:
    """An epoch of training, validation and test, as a worker has its batches made."""
    torch.set_num_threads(1)
    data = to_device(stored_images(name), "validation", 0.3, torch.device("cpu"))
    batches = [train_batches(data, Recipe(augment=()), 1, 1)]
    batches += [eval_batches(data, part) for part in (data.watched, data.test)]
    for each in batches:
        deque(each, maxlen=0)


if __name__ == "__main__":
    walk(sys.argv[1])
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
