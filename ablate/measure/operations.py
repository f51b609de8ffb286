"""Counting the operations of a forward, operator by operator. A rule for each; none is silently 0.

Unit: one multiply-add is 1 MAC; only convolutions and matrix products have MACs, and the values that
they give are the activations (Dollár et al. 2021, arXiv 2103.06877). Elementwise operators,
normalisation, pooling and reductions are counted apart: one for each value that they read or write,
whichever is more. Moving data counts nothing. An operator without a rule is named in `uncounted`, and so
is a module whose weights took no part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ablate.measure.rules import ELEMENTWISE, FREE, MACS
from ablate.result.architecture import NOT_RUN
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr

_KNOWN = MACS.keys() | ELEMENTWISE | FREE


@dataclass(frozen=True, slots=True)
class Operations:
    """What one forward computes; two of them add up."""

    macs: int = 0
    elementwise: int = 0
    activations: int = 0
    uncounted: frozenset[str] = frozenset()

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.macs + other.macs,
            self.elementwise + other.elementwise,
            self.activations + other.activations,
            self.uncounted | other.uncounted,
        )


def count_operations(net: nn.Module, shape: tuple[int, ...], maps: int = 1) -> Operations:
    """The operations of one forward of one black image, of which that many (C, H, W) get here."""
    given = torch.zeros(maps, *shape)
    with (
        torch.no_grad(),
        seeded(0),
        _plain_attention(),
        prints_to_stderr(),
        OperationCounter() as counter,
    ):
        net.eval()(given)
    total: Operations = counter.total
    return total + Operations(uncounted=frozenset(_not_run(net, counter.used)))


def _not_run(net: nn.Module, used: set[int]) -> Iterator[str]:
    """The outermost modules none of whose weights any operator read: which may depend on the image."""
    found: tuple[str, ...] = ()
    for path, module in net.named_modules():
        weights = {id(parameter) for parameter in module.parameters()}
        if path and weights and not weights & used and not path.startswith(found or "\n"):
            found = (*found, f"{path}.")
            yield f"{path}{NOT_RUN}"


@contextmanager
def _plain_attention() -> Iterator[None]:
    """nn.MultiheadAttention operator by operator, not as one operator that hides its products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class OperationCounter(TorchDispatchMode):
    """Counts what runs while it is entered; `uncounted` names operators that no rule knows, `used` has the
    ids of the parameters that any operator read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs, self.elementwise, self.activations = 0, 0, 0
        self.uncounted: set[str] = set()
        self.used: set[int] = set()

    @property
    def total(self) -> Operations:
        return Operations(self.macs, self.elementwise, self.activations, frozenset(self.uncounted))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; True would load the compiler, 3.5 s at every start.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        operator = func.overloadpacket
        self.used.update(id(item) for item in tree_leaves(args) if isinstance(item, nn.Parameter))
        if operator not in _KNOWN:
            # Under inference_mode nn.Linear comes as one operator, not as those that it is made of.
            with self:
                output = func.decompose(*args, **(kwargs or {}))
            if output is not NotImplemented:
                return output
        output = func(*args, **(kwargs or {}))
        if operator in MACS:
            self.macs += MACS[operator](args, output)
            self.activations += _values((output,))
        elif operator in ELEMENTWISE:
            self.elementwise += max(_values(args), _values((output,)))
        elif operator not in FREE:
            self.uncounted.add(str(operator))
        return output


def _values(given: tuple[Any, ...]) -> int:
    """The number of values in the largest tensor; of a tuple of results the first is the one that counts."""
    first = [item[0] if isinstance(item, tuple) and item else item for item in given]
    return max((item.numel() for item in first if isinstance(item, torch.Tensor)), default=0)
