"""Which module caused what a profiler saw, in eager mode, forward and backward.

Hooks open a named range around the forward of every module, so an operator belongs to the innermost
range around it. The backward has no modules: a function of it carries the sequence number of the
forward operator that recorded it, and belongs where that operator belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from torch import nn
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import FunctionEvent
from torch.utils.hooks import RemovableHandle

from ablate.attention import Attention
from ablate.result.cost import NETWORK, OPTIMIZER, STEP

BACKWARD_SCOPE = 1  # at::RecordScope::BACKWARD_FUNCTION
EVALUATE = "autograd::engine::evaluate_function: "


class Ranges:
    """While entered, every forward of a module of `net` is a range of its own in a profile.

    Modules below attention have none, except attention itself: CBAM has its two halves. Ranges cost
    time, and the parts of attention are many and small.
    """

    def __init__(self, net: nn.Module) -> None:
        watched = list(_watched(net))
        self.paths = {_range_name(i, path): path or NETWORK for i, (path, _) in enumerate(watched)}
        self._modules = dict(zip(self.paths, (module for _, module in watched), strict=True))
        self._handles: list[RemovableHandle] = []
        self._open: list[record_function] = []

    def __enter__(self) -> Self:
        for name, module in self._modules.items():
            self._handles += [
                module.register_forward_pre_hook(self._opener(name)),
                # After the hook that applies attention, which so lies inside its module's range.
                module.register_forward_hook(self._close),
            ]
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _opener(self, name: str) -> Any:
        def opens(_module: nn.Module, _inputs: object) -> None:
            opened = record_function(name)
            opened.__enter__()
            self._open.append(opened)

        return opens

    def _close(self, _module: nn.Module, _inputs: object, _output: object) -> None:
        self._open.pop().__exit__(None, None, None)


def _watched(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    attention = [path for path, module in net.named_modules() if isinstance(module, Attention)]
    for path, module in net.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in attention)
        if not inside or isinstance(module, Attention):
            yield path, module


def _range_name(number: int, path: str) -> str:
    """Unlike for unlike modules. A module may be called anything; a bracket or quote in a trace can
    break those who read it."""
    return f"module {number} {re.sub(r'[^A-Za-z0-9_.-]', '_', path) or NETWORK}"


class Owners:
    """The owner of each event: a module's path, or one of the names in brackets above."""

    def __init__(self, events: Iterable[FunctionEvent], paths: dict[str, str]) -> None:
        """`events` in the order in which they began; `paths` are those of `Ranges`."""
        self._paths = paths
        self._known: dict[int, str] = {}
        self._recorded: dict[tuple[Any, int], str] = {}
        last: dict[int, str] = {}
        for event in events:
            if event.scope == BACKWARD_SCOPE:
                # A gradient that is accumulated has no forward operator. It is what the function
                # before it gave: the engine accumulates before it does anything else.
                found = self._recorded.get((event.fwd_thread, event.sequence_nr))
                owner = found or last.get(event.thread, STEP)
                last[event.thread] = self._known[id(event)] = owner
            elif event.sequence_nr >= 0 and not event.name.startswith(EVALUATE):
                # Operators that record nothing carry the number of the next one that does: the last
                # operator with a number is the one that recorded it.
                self._recorded[event.thread, event.sequence_nr] = self.of(event)

    def of(self, event: FunctionEvent) -> str:
        """Who caused an event."""
        if id(event) not in self._known:
            self._known[id(event)] = self._find(event)
        return self._known[id(event)]

    def _find(self, event: FunctionEvent) -> str:
        if event.name in self._paths:
            return self._paths[event.name]
        if event.name.startswith("Optimizer."):
            return OPTIMIZER  # torch's optimizers open this range themselves
        if event.name.startswith(EVALUATE):
            inner = [child for child in event.cpu_children if child.scope == BACKWARD_SCOPE]
            return self.of(inner[0]) if inner else STEP
        return STEP if event.cpu_parent is None else self.of(event.cpu_parent)
