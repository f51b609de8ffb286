"""The least that a training step moves through memory if every layer is one pass: the layer-fused roofline.

Convolutions and linear layers read and write their maps once forward and once for each gradient; batch
norm reads its map twice forward (statistics, then the values, with activation and pooling in the same
pass) and three times backward with the writing of its gradient. Maps are counted at two bytes a value,
weights not at all. On a device whose memory is the limit, its copy bandwidth over these bytes is the
most images per second that anyone can train without fusing across layers.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from ablate.attention import Attention
from ablate.attention.cbam import CBAM
from ablate.attention.se import SE

VALUE_BYTES = 2
ATTENTION_PASSES: dict[type[nn.Module], int] = {SE: 7, CBAM: 11}
"""Over the map that is reweighted. SE: pool, then read and write; backward the gradient and the map for
the gate, then the gradient read and written. CBAM has a second look at the map, forward and backward."""
COPY_MIB = {"cpu": 64, "cuda": 1024}
TIMINGS = 9


def bytes_per_image(net: nn.Module, image: torch.Tensor) -> int:
    """What one image moves, forward and backward. Shape: image (1, 3, H, W), on the network's device."""
    moved = [0]

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        x, y = given[0].numel(), out.numel()
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # The images themselves get no gradient.
            moved[0] += (2 if given[0] is image else 3) * (x + y)
        elif isinstance(layer, nn.BatchNorm2d):
            moved[0] += 5 * y
        elif isinstance(layer, nn.MaxPool2d):
            moved[0] += 3 * y

        moved[0] += ATTENTION_PASSES.get(type(layer), 0) * y

    handles = [layer.register_forward_hook(count) for layer in _layers(net)]
    with torch.no_grad():
        net.eval()(image)
    for handle in handles:
        handle.remove()
    return VALUE_BYTES * moved[0]


def _layers(net: nn.Module) -> list[nn.Module]:
    """Every layer but the parts of attention, which is counted whole."""
    inside = {
        id(part)
        for layer in net.modules()
        if isinstance(layer, Attention)
        for part in layer.modules()
        if part is not layer
    }
    return [layer for layer in net.modules() if id(layer) not in inside]


def copy_bytes_per_second(device: torch.device) -> float:
    """This device's own bandwidth, bytes read and bytes written both counted: the best of some copies."""
    source = torch.ones(COPY_MIB[device.type] * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    fastest = float("inf")
    for _ in range(TIMINGS):
        _wait(device)
        started = time.perf_counter()
        target.copy_(source)
        _wait(device)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * source.numel() / fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
