"""Muon: momentum whose matrices are made orthogonal before they are stepped along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
TINY = 1e-7


class Muon(Optimizer):
    """Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks": Nesterov momentum,
    orthogonalised by five steps of Newton and Schulz, for weights of two dimensions and more; the weight of a
    convolution is the matrix (out, in × height × width). As `torch.optim.Muon`, which takes matrices alone.

    Every group has `orthogonal`: those without it are stepped by AdamW, with `betas` and `eps`.

    As torch's fused optimizers it takes scaled gradients, and leaves everything as it is where they have
    overflowed, without asking the device: a graph can record its steps under a `GradScaler`.
    """

    _step_supports_amp_scaling = True

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float | torch.Tensor) -> None:
        defaults = {
            "lr": lr, "momentum": 0.95, "nesterov": True, "betas": (0.9, 0.999), "eps": 1e-8,
            "weight_decay": 0.1, "orthogonal": False,
        }  # fmt: skip
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of all groups."""
        if closure is not None:
            raise ValueError("a step takes the gradients as they are, and no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._take(parameter, parameter.grad, group)

    def _take(self, weight: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> None:
        """One step of one parameter; none where gradients have overflowed."""
        state = self.state[weight]
        if not state:
            state |= _begun(grad, orthogonal=group["orthogonal"])
        # A `GradScaler` sets both for the time of a step.
        grad_scale: torch.Tensor | None = getattr(self, "grad_scale", None)
        found_inf: torch.Tensor | None = getattr(self, "found_inf", None)
        if grad_scale is not None:
            grad = grad / grad_scale
        take = self._orthogonal if group["orthogonal"] else self._adamw
        if found_inf is None:
            take(weight, grad, group)
            return
        changed = [weight, *state.values()]
        before = [tensor.clone() for tensor in changed]
        take(weight, grad, group)
        for tensor, was in zip(changed, before, strict=True):
            torch.where(found_inf > 0, was, tensor, out=tensor)

    def _orthogonal(self, weight: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> None:
        momentum = self.state[weight]["momentum_buffer"]
        momentum.lerp_(grad, 1 - group["momentum"])
        update = grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        matrix = orthogonalised(update.reshape(len(update), -1))
        # The spectral norm of an update is then that of the layer's own scale.
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(matrix.reshape(update.shape).to(weight.dtype) * (group["lr"] * scale))

    def _adamw(self, weight: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        step, (first, second) = state["step"].add_(1), group["betas"]
        mean = state["exp_avg"].lerp_(grad, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(grad, grad, value=1 - second)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        below = (square / (1 - second**step)).sqrt_().add_(group["eps"])
        weight.sub_(mean / (1 - first**step) / below * group["lr"])


def _begun(grad: torch.Tensor, *, orthogonal: bool) -> dict[str, torch.Tensor]:
    """The state of a parameter before its first step."""
    if orthogonal:
        return {"momentum_buffer": torch.zeros_like(grad)}
    step = torch.zeros((), device=grad.device)
    return {"step": step, "exp_avg": torch.zeros_like(grad), "exp_avg_sq": torch.zeros_like(grad)}


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix with about the same singular vectors and all singular values near 1, in bfloat16 as published.

    Shape: (rows, columns) → the same, bfloat16.
    """
    a, b, c = NEWTON_SCHULZ
    turned = matrix.shape[0] > matrix.shape[1]
    x = (matrix.mT if turned else matrix).bfloat16()
    x = x / x.norm().clamp(min=TINY)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x
