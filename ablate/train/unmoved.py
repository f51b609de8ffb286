"""Attention that training never moved: a result that says nothing about it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ablate.attention import Attention

ROUNDING = 1e-5
"""How far values may be from one common factor: weight decay alone shrinks all of them by one factor."""


def attention_values(net: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the parameters of all attention modules, by name: what `unmoved_attention` compares with."""
    found = {f"{path}.{n}": p for path, m in _outermost(net) for n, p in m.named_parameters()}
    return {name: parameter.detach().clone() for name, parameter in found.items()}


def unmoved_attention(trained: nn.Module, before: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The attention modules (dotted paths) with parameters to train, of which none is anything else than
    what it was initialised with, but for weight decay.
    """
    unmoved = []
    for path, module in _outermost(trained):
        after = [(f"{path}.{n}", p) for n, p in module.named_parameters() if p.requires_grad]
        if after and not any(_moved(p.detach(), before[name]) for name, p in after):
            unmoved.append(path)
    return tuple(unmoved)


def _outermost(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Attention modules that are not part of another one, as CBAM's halves are."""
    found: list[tuple[str, nn.Module]] = []
    for path, module in net.named_modules():
        inner = any(path.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, Attention) and not inner:
            found.append((path, module))
    return found


def _moved(after: torch.Tensor, before: torch.Tensor) -> bool:
    before = before.to(after.device)
    if torch.equal(after, before):
        return False
    if after.numel() == 1:
        return True  # one value alone does not tell decay from training
    factor = (after * before).sum() / (before * before).sum()
    return not (0 < factor < 1 and torch.allclose(after, before * factor, rtol=ROUNDING, atol=0))
