"""The proof that speed changes nothing: our engine against a loop as plain as can be, loss by loss.

The reference: plain modules, one run by itself, fp32, PyTorch's memory format, `nn.CrossEntropyLoss`
and torch's Adam. Ours trains the same run in a cohort with two other networks. Both start from the
same weights and see the same batches and dropout masks.

Twice: in fp32 as `ablate run` trains it, and the fast path (fused attention, channels last), which
mixed precision uses, in float64. In fp32 no two orders of a sum stay together for long: Adam divides
by the size of a gradient, so that a rounding error in one that is nearly 0 becomes a step of full
length. How far the fast path departs there is given too, with how far the plain loop departs from
its own float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ablate.attention import fusable, use_kernels
from ablate.model import build
from ablate.study import Recipe, Variant, stream_seed
from ablate.system.hardware.machine import prepare_machine
from ablate.system.hardware.precision import AMP_FP32, FP32, Precision
from ablate.train.batch import Batch
from ablate.train.cohort import Member, train_epoch
from ablate.train.data import Data, Part, load_data, train_batches
from ablate.train.step import make_trainer
from benchmarks.field import IMAGE_SIZE, SEED, VARIANTS, Field
from benchmarks.options import Options
from benchmarks.race import BenchmarkError

STEPS, SHORT_STEPS = 100, 3
TOLERANCE, FLOAT64_TOLERANCE = 1e-4, 1e-9
FAST = AMP_FP32
RECIPE = Recipe(schedule="constant", precision="fp32", epochs=1_000)


class Widened(nn.Module):
    """A network in another type of numbers, for images in fp32."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net.to(dtype), dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(images.to(self.dtype))
        return logits


def prove_same(options: Options) -> dict[str, Any]:
    """The largest differences of the losses of the first steps, on one thread.

    Raises:
        BenchmarkError: one that must be small is above its tolerance.
    """
    steps = SHORT_STEPS if options.short else STEPS
    field = options.field("cbam")
    data = thinned_data(field, steps)
    classes = len(field.dataset.classes())
    plain = {t: reference_losses(data, classes, steps, t) for t in (torch.float32, torch.float64)}
    fast = {t: engine_losses(data, classes, steps, FAST, t) for t in plain}
    exact = engine_losses(data, classes, steps, FP32)
    figures = {
        "steps": steps,
        "first_loss": plain[torch.float32][0],
        "last_loss": plain[torch.float32][-1],
        "fp32": difference(exact, plain[torch.float32]),
        "fp32_tolerance": TOLERANCE,
        "fast_in_float64": difference(fast[torch.float64], plain[torch.float64]),
        "float64_tolerance": FLOAT64_TOLERANCE,
        "fast_in_fp32": difference(fast[torch.float32], plain[torch.float32]),
        "plain_from_float64": difference(plain[torch.float32], plain[torch.float64]),
    }
    for name, tolerance in (("fp32", TOLERANCE), ("fast_in_float64", FLOAT64_TOLERANCE)):
        if not figures[name] <= tolerance:
            raise BenchmarkError(
                f"{name}: the losses of {steps} steps differ by {figures[name]:.1e}, "
                f"more than {tolerance:.0e}"
            )
    return figures


def difference(losses: Sequence[float], others: Sequence[float]) -> float:
    """The largest of all steps."""
    return max(abs(a - b) for a, b in zip(losses, others, strict=True))


def thinned_data(field: Field, steps: int) -> Data:
    """The field's images, no more of them than that many steps see."""
    device = prepare_machine(field.device).device
    whole = load_data(field.dataset, RECIPE, device)
    return replace(whole, train=_thinned(whole.train, steps * RECIPE.batch_size))


def _thinned(part: Part, count: int) -> Part:
    """Every so many images, so that `count` are left and an epoch is no longer than what is compared."""
    rows = torch.arange(min(count, len(part)), device=part.labels.device)
    rows = rows * len(part) // len(rows)
    return Part(part.images[rows], part.labels[rows])


def engine_losses(
    data: Data, classes: int, steps: int, precision: Precision, dtype: torch.dtype = torch.float32
) -> list[float]:
    """CBAM's losses, as the last of a cohort of three."""
    members = [
        _member(variant, classes, data.device, precision, dtype) for variant in VARIANTS.values()
    ]
    losses: list[float] = []
    epoch = 1
    while len(losses) < steps:
        losses += train_epoch(members, data, RECIPE, SEED, epoch)[-1].losses.tolist()
        epoch += 1
    return losses[:steps]


def _member(
    variant: Variant, classes: int, device: torch.device, precision: Precision, dtype: torch.dtype
) -> Member:
    net = build(variant, classes, IMAGE_SIZE, SEED)
    use_kernels(net, {} if precision.exact else dict.fromkeys(fusable(), "fused"))
    widened = net if dtype is torch.float32 else Widened(net, dtype)
    return Member(make_trainer(widened, RECIPE, device, precision))


def reference_losses(data: Data, classes: int, steps: int, dtype: torch.dtype) -> list[float]:
    """CBAM's losses by the plainest loop."""
    net = Widened(build(VARIANTS["cbam"], classes, IMAGE_SIZE, SEED), dtype).to(data.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=RECIPE.learning_rate, fused=True)
    criterion = nn.CrossEntropyLoss()
    losses: list[float] = []
    net.train()
    for images, labels in _batches(data, steps):
        torch.manual_seed(stream_seed(SEED, "dropout", len(losses)))
        optimizer.zero_grad()
        loss = criterion(net(images.contiguous()), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _batches(data: Data, steps: int) -> Iterator[Batch]:
    """The first batches of the stream, over as many epochs as that takes."""
    epoch, given = 1, 0
    while True:
        for batch in train_batches(data, RECIPE, SEED, epoch):
            if given == steps:
                return
            yield batch
            given += 1
        epoch += 1
