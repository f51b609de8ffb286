"""What attention promises, and how each promise is looked at."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.attention import Attention
from ablate.errors import AblateError
from ablate.system.process.randomness import seeded

CHANNELS, SIDE = 64, 32
"""The map on which its cost is told, and which it must take before anything else is looked at."""
OTHER_CHANNELS = (32, 48)
SIZES = ((8, 8), (7, 5), (1, 1), (17, 17))
CLOSE = 1e-4
"""How far values may be apart that are computed in another order."""
SEED = 1


@dataclass(frozen=True)
class Subject:
    """Attention to be looked at: its name, and what builds it for (C, H, W)."""

    name: str
    make: Callable[[tuple[int, int, int]], Attention]

    def module(self, channels: int = CHANNELS, side: int = 8, seed: int = SEED) -> Attention:
        """With fresh weights, in training mode."""
        with seeded(seed):
            return self.make((channels, side, side)).train()


class BrokenError(AblateError):
    """What a module does not hold, in one line."""


def _maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _need(holds: bool, wrong: str) -> None:
    if not holds:
        raise BrokenError(wrong)


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=CLOSE, atol=CLOSE, equal_nan=False)


def _eval(module: nn.Module, x: Tensor, seed: int = SEED) -> Tensor:
    with torch.no_grad(), seeded(seed):
        given: Tensor = module.eval()(x)
    return given


def _same_shape(module: nn.Module, x: Tensor) -> None:
    given = _eval(module, x)
    _need(
        isinstance(given, Tensor) and given.shape == x.shape and given.dtype == x.dtype,
        f"gives {tuple(given.shape)} {given.dtype} for {tuple(x.shape)} {x.dtype}",
    )
    _need(bool(given.isfinite().all()), f"gives values that are not finite for {tuple(x.shape)}")


def _shape(subject: Subject) -> None:
    _same_shape(subject.module(CHANNELS, SIDE), _maps(2, CHANNELS, SIDE, SIDE))


def _channels(subject: Subject) -> None:
    for channels in OTHER_CHANNELS:
        _same_shape(subject.module(channels), _maps(2, channels, 8, 8))


def _sizes(subject: Subject) -> None:
    module = subject.module(CHANNELS, SIZES[0][0])
    before = [parameter.shape for parameter in module.parameters()]
    for height, width in SIZES:
        _same_shape(module, _maps(2, CHANNELS, height, width))
    after = [parameter.shape for parameter in module.parameters()]
    _need(before == after, "its parameters have other shapes after maps of other sizes")
    other = [parameter.shape for parameter in subject.module(CHANNELS, 16).parameters()]
    _need(before == other, "its parameters depend on the height and width of its place")


def _mixed(subject: Subject) -> None:
    module, x = subject.module(), _maps(4, CHANNELS, 8, 8).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = module(x * 1)
    _need(given.dtype == x.dtype, f"gives {given.dtype} for {x.dtype}")
    _need(bool(given.isfinite().all()), "gives values that are not finite")
    given.float().sum().backward()


def _gradient(subject: Subject) -> None:
    """As it was drawn, or where a ReLU is dead or a layer begins at zero, with all weights of one sign."""
    module, x = subject.module(), _maps(4, CHANNELS, 8, 8).requires_grad_()
    left = {name for name, p in module.named_parameters() if p.requires_grad}
    for sign in (0, 1, -1):
        if sign:
            _one_sign(module, sign)
        x.grad = None
        module.zero_grad()
        module(x * 1).square().sum().backward()
        _need(x.grad is not None and bool(x.grad.any()), "its input gets no gradient")
        moved = {n for n, p in module.named_parameters() if p.grad is not None and p.grad.any()}
        left -= moved
    if left:
        raise BrokenError(f"its {min(left).removeprefix('module.')!r} gets no gradient")


def _one_sign(module: nn.Module, sign: int) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.abs().clamp(min=0.01) * sign)


def _input_kept(subject: Subject) -> None:
    module, x = subject.module(), _maps(4, CHANNELS, 8, 8)
    before = x.clone()
    with torch.no_grad():
        module(x)
    _need(torch.equal(x, before), "it changes the map that it is given")


def _repeats(subject: Subject) -> None:
    module, x = subject.module().eval(), _maps(4, CHANNELS, 8, 8)
    one, other = _eval(module, x, 1), _eval(module, x, 2)
    _need(torch.equal(one, other), "in evaluation it gives other values each time")


def _forgets(subject: Subject) -> None:
    """What it has learned and seen is in its tensors: with them another module goes on as it does."""
    module, other, x = subject.module(), subject.module(seed=2), _maps(4, CHANNELS, 8, 8)
    with torch.no_grad():
        module(x)
        module(_maps(4, CHANNELS, 8, 8, seed=1))
        other.load_state_dict(module.state_dict())
        with seeded(3):
            one = module.train()(x)
        with seeded(3):
            two = other.train()(x)
    _need(torch.equal(one, two), "it keeps what a forward leaves behind in no buffer")
    seen = {name: value.clone() for name, value in module.eval().named_buffers()}
    _eval(module, x)
    changed = [n for n, value in module.named_buffers() if not torch.equal(value, seen[n])]
    _need(not changed, f"in evaluation it changes its buffer {', '.join(changed)}")


def _channels_last(subject: Subject) -> None:
    x = _maps(4, CHANNELS, 8, 8)
    last = x.contiguous(memory_format=torch.channels_last)
    one, other = (_eval(subject.module(), each) for each in (x, last))
    _need(_close(one, other), "it gives other values for such maps")
    trained = last.clone(memory_format=torch.preserve_format).requires_grad_()
    (subject.module()(trained * 1) * 1.0).sum().backward()


def _state(subject: Subject) -> None:
    module, other, x = subject.module(), subject.module(seed=2), _maps(4, CHANNELS, 8, 8)
    state = module.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    _need(not odd, f"its state has {', '.join(odd)}, which is no tensor")
    other.load_state_dict(state)
    _need(
        torch.equal(_eval(module, x), _eval(other, x)), "with the same state it gives other values"
    )


def _pickled(subject: Subject) -> None:
    module, x = subject.module(), _maps(4, CHANNELS, 8, 8)
    copies = [pickle.loads(pickle.dumps(module)), copy.deepcopy(module)]  # noqa: S301 - its own bytes
    known = _eval(module, x)
    for copied in copies:
        _need(torch.equal(_eval(copied, x), known), "its copy gives other values")


def _alone(subject: Subject) -> None:
    x = _maps(4, CHANNELS, 8, 8)
    together = _eval(subject.module(), x)
    for number in range(len(x)):
        one = _eval(subject.module(), x[number : number + 1])
        _need(
            _close(one, together[number : number + 1]),
            "in evaluation an image's values depend on the others of its batch",
        )


def _one_image(subject: Subject) -> None:
    _same_shape(subject.module(), _maps(1, CHANNELS, 8, 8))


@dataclass(frozen=True)
class Check:
    """One promise of attention, and what to do where it does not hold, or where something is raised."""

    look: Callable[[Subject], None]
    advice: str
    if_raised: str = "mend what it raises"


FIRST = "keeps the shape"
_OF_CHANNELS = "compute its layers from the channels that it is given"
_OF_SIZES = "pool or convolve instead of weights for each place; else place it where the size fits"
CHECKS: dict[str, Check] = {
    FIRST: Check(
        _shape,
        "return the map times its gate, one tensor (N, C, H, W)",
        f"it must take a map of {CHANNELS}×{SIDE}×{SIDE}: mend what it raises",
    ),
    "takes other numbers of channels": Check(_channels, _OF_CHANNELS, _OF_CHANNELS),
    "takes maps of any size": Check(_sizes, _OF_SIZES, _OF_SIZES),
    "keeps the type, in bf16 too": Check(_mixed, "end its forward with .to(x.dtype)"),
    "every parameter and the input get a gradient": Check(
        _gradient, "use what it defines, and neither detach nor torch.no_grad()"
    ),
    "leaves its input as it is": Check(
        _input_kept, "x = x * gate, not x *= gate; no inplace=True on x"
    ),
    "repeats in evaluation": Check(_repeats, "draw in training mode alone (self.training)"),
    "keeps nothing but buffers": Check(_forgets, "keep what it remembers in register_buffer"),
    "channels last equals contiguous": Check(_channels_last, "write .reshape instead of .view"),
    "its state can be stored": Check(_state, "keep all that counts in parameters and buffers"),
    "can be pickled and copied": Check(
        _pickled, "define what it keeps at the top of a module, no lambda and no open file"
    ),
    "takes one image": Check(_one_image, "index, do not squeeze()"),
    "images do not depend on each other": Check(
        _alone, "take means over C, H and W, not over the batch"
    ),
}
"""What attention promises → how it is looked at."""
