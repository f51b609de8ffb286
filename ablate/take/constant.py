"""Where a constant would do: attention whose gates hardly depend on the image.

In its place every channel is multiplied by one number, the same for all images: the least-squares solution
over what goes in and what comes out. Whether that would do is told by the answers of the network, image by
image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ablate.attention import Attention

Right = NDArray[np.bool_]
"""Of each image (N,) whether it is answered right."""
Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True)
class Constant:
    """What stands for attention at one place: `scale` (C,), float64. `varies` is how much the best scale of a
    channel differs from image to image (SD, mean over channels): near 0 attention hardly looks at the image.
    """

    path: str
    scale: torch.Tensor = field(repr=False)
    varies: float


@dataclass(frozen=True)
class Change:
    """What a constant does to the accuracy, with a 95 % interval; shares of 1. `wrong` and `right` count the
    images that are answered wrong, or right, only with it.
    """

    difference: float
    low: float
    high: float
    wrong: int
    right: int


@dataclass(frozen=True)
class Trial:
    """Constants at some places, and what they change."""

    paths: tuple[str, ...]
    change: Change

    def would_do(self, margin: float) -> bool:
        """Whether the accuracy is decidedly no more than the margin below what it was."""
        return self.change.low > -margin


def fit_constants(net: nn.Module, batches: Iterator[torch.Tensor]) -> list[Constant]:
    """The constant of every place with attention, in the network's order.

    Shape: batches of images (N, 3, H, W), as the network is shown them.
    """
    places = attention_places(net)
    sums = {path: _Sums() for path in places}
    handles = [module.register_forward_hook(sums[path].add) for path, module in places.items()]
    try:
        with torch.inference_mode():
            for images in batches:
                net(images)
    finally:
        for handle in handles:
            handle.remove()
    return [sums[path].constant(path) for path in places]


def attention_places(net: nn.Module) -> dict[str, Attention]:
    """The attention of a network by path; the halves of a CBAM are none by themselves."""
    found: dict[str, Attention] = {}
    for path, module in net.named_modules():
        inside = any(path.startswith(f"{other}.") for other in found)
        if isinstance(module, Attention) and not inside:
            found[path] = module
    return found


class _Sums:
    """Over the images so far, of each channel: input times output, and input squared."""

    def __init__(self) -> None:
        self._products = self._squares = torch.zeros(())
        self._scales: list[torch.Tensor] = []

    def add(self, _module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        x, y = given[0].double(), out.double()
        products, squares = (x * y).sum((2, 3)), (x * x).sum((2, 3))
        self._products = self._products + products.sum(0).cpu()
        self._squares = self._squares + squares.sum(0).cpu()
        self._scales.append(torch.where(squares > 0, products / squares, torch.nan).cpu())

    def constant(self, path: str) -> Constant:
        # A channel that no image lights up may have any scale.
        scale = torch.where(self._squares > 0, self._products / self._squares, 1.0)
        table = torch.cat(self._scales).numpy()
        seen = table[:, np.isfinite(table).sum(axis=0) > 1]
        varies = float(np.nanstd(seen, axis=0).mean()) if seen.size else 0.0
        return Constant(path, scale, varies)


@contextmanager
def in_place(net: nn.Module, constants: Sequence[Constant]) -> Iterator[None]:
    """The network with these constants for attention."""
    handles = []
    for constant in constants:
        module = net.get_submodule(constant.path)
        handles.append(module.register_forward_hook(_multiply(constant.scale)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiply(
    scale: torch.Tensor,
) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor]:
    def hook(
        _module: nn.Module, given: tuple[torch.Tensor, ...], _out: torch.Tensor
    ) -> torch.Tensor:
        x = given[0]
        return x * scale.to(x.device, x.dtype)[:, None, None]

    return hook


def change(before: Right, after: Right) -> Change:
    """The difference of two accuracies on the same images. The interval is Wald's with half an image added to
    each cell of the table (Agresti and Min 2005, Statistics in Medicine 24): it holds where few differ.
    """
    wrong, right = int((before & ~after).sum()), int((~before & after).sum())
    images = len(before) + 2
    middle = (right - wrong) / images
    spread = Z * math.sqrt((right + wrong + 1) - (right - wrong) ** 2 / images) / images
    return Change((right - wrong) / len(before), middle - spread, middle + spread, wrong, right)


def try_constants(
    net: nn.Module,
    constants: Sequence[Constant],
    answers: Callable[[], Right],
    margin: float,
    seen: Callable[[int, int], None],
) -> tuple[list[Trial], Trial | None]:
    """A trial of each constant by itself, and one of all that would do together, None if none would.

    Of those that would do alone, but not together, the one that does most harm is left out, and so on.
    `seen` is told how many trials are done, and how many there may be.
    """
    before, most, done = answers(), 2 * len(constants) + 1, 1
    known = {constant.path: constant for constant in constants}
    seen(done, most)

    def attempt(paths: Sequence[str]) -> Trial:
        nonlocal done
        with in_place(net, [known[path] for path in paths]):
            found = Trial(tuple(paths), change(before, answers()))
        done += 1
        seen(done, most)
        return found

    alone = [attempt([path]) for path in known]
    left = [trial for trial in alone if trial.would_do(margin)]
    while left:
        together = left[0] if len(left) == 1 else attempt([trial.paths[0] for trial in left])
        if together.would_do(margin):
            return alone, together
        left.remove(min(left, key=lambda trial: trial.change.difference))
    return alone, None


def chosen(constants: Sequence[Constant], together: Trial) -> Mapping[str, Constant]:
    """The constants of a trial, by path."""
    return {each.path: each for each in constants if each.path in together.paths}
