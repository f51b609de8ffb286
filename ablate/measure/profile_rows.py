"""From the events of a profiler to rows: times, calls and memory of one training step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent

from ablate.errors import AblateError
from ablate.measure.profile_ranges import Owners
from ablate.result import ProfilePath, ProfileRow
from ablate.result.cost import AUGMENTATION

STEP_MARK = "ProfilerStep"
PYTHON = "(python)"
"""Time between operators: Python, and the ranges and steps that the profiler itself marks."""

Key = tuple[str | None, str]
"""A module, None for the whole step, and an operator or kernel."""


class NothingRecordedError(AblateError):
    """A profile without what it is taken for."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one key has spent; microseconds, calls and KiB that were allocated."""

    device_us: float = 0.0
    cpu_us: float = 0.0
    calls: float = 0.0
    memory_kib: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.device_us + other.device_us,
            self.cpu_us + other.cpu_us,
            self.calls + other.calls,
            self.memory_kib + other.memory_kib,
        )

    def __truediv__(self, steps: float) -> Spent:
        return Spent(
            self.device_us / steps,
            self.cpu_us / steps,
            self.calls / steps,
            self.memory_kib / steps,
        )


Totals = dict[Key, Spent]


def fastest_step(events: Sequence[FunctionEvent]) -> list[FunctionEvent]:
    """The events of that profiled step which took the least time: the others were interrupted more.

    A step ends when the device has done its work, so its kernels lie within it too.
    """
    steps = [e for e in events if e.name.startswith(STEP_MARK) and not _on_device(e)]
    if not steps:
        return []
    best = min((step.time_range for step in steps), key=lambda times: times.elapsed_us())
    return [event for event in events if best.start <= event.time_range.start < best.end]


def by_kernel(events: Iterable[FunctionEvent], steps: float) -> Totals:
    """One step by operator and, on a GPU, by kernel: an operator's own time is the CPU's alone."""
    kept = [event for event in events if not (event.is_user_annotation and _on_device(event))]
    return _sum(kept, steps, lambda event: (None, _operator(event)), _kernel_us)


def by_module(
    events: Iterable[FunctionEvent], steps: float, owners: Owners, paths: dict[str, str]
) -> Totals:
    """One step by module and operator; the time of a kernel is its operator's."""
    kept = [event for event in events if not _on_device(event)]

    def key(event: FunctionEvent) -> Key:
        operator = PYTHON if event.name in paths else _operator(event)
        return owners.of(event), operator

    return _sum(kept, steps, key, _launched_us)


def make_rows(
    totals: Totals,
    fingerprint: str,
    device: str,
    path: ProfilePath,
    *,
    on_gpu: bool,
) -> tuple[ProfileRow, ...]:
    """The rows of one profile, the most expensive first.

    Shares are of the step: a batch is made before it, and may be shared by several runs.

    Raises:
        NothingRecordedError: no event at all, or no kernel of a step on a GPU.
    """
    rows = [
        ProfileRow(
            fingerprint=fingerprint,
            device=device,
            path=path,
            module=module,
            operator=operator,
            self_device_us=spent.device_us,
            self_cpu_us=spent.cpu_us,
            calls=spent.calls,
            share=spent.device_us if on_gpu else spent.cpu_us,
            memory_kib=spent.memory_kib,
        )
        for (module, operator), spent in totals.items()
    ]
    step = sum(row.share for row in rows if row.module != AUGMENTATION)
    if not step:
        what = "no kernels on the GPU: CUPTI is missing, or another profiler uses it"
        raise NothingRecordedError(
            f"the profiler recorded {what if on_gpu else 'no operators'}; mend that, delete the row "
            "of table traces and run again"
        )
    rows = [replace(row, share=row.share / step) for row in rows]
    return tuple(sorted(rows, key=lambda row: row.share, reverse=True))


def _sum(
    events: Iterable[FunctionEvent],
    steps: float,
    key: Callable[[FunctionEvent], Key],
    device_us: Callable[[FunctionEvent], float],
) -> Totals:
    totals: Totals = defaultdict(Spent)
    for event in events:
        allocated = max(0, event.self_cpu_memory_usage, event.self_device_memory_usage)
        spent = Spent(device_us(event), event.self_cpu_time_total, 1, allocated / 1024)
        totals[key(event)] += spent
    return {key: spent / steps for key, spent in totals.items()}


def _operator(event: FunctionEvent) -> str:
    """The name of an operator or kernel."""
    marks = event.name.startswith(STEP_MARK) or event.name == "[memory]"
    return PYTHON if marks else event.name


def _kernel_us(event: FunctionEvent) -> float:
    return float(event.time_range.elapsed_us()) if _on_device(event) else 0.0


def _launched_us(event: FunctionEvent) -> float:
    return float(sum(kernel.duration for kernel in event.kernels))


def _on_device(event: FunctionEvent) -> bool:
    return bool(event.device_type != DeviceType.CPU)
