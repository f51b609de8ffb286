"""Which kernels a step launches and which of them take its time (on a CPU: operators): of one run's eager
step, and of a whole seed's, as it is recorded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from ablate.attention import fusable, use_kernels
from ablate.datasets.base import Dataset
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Conditions, make_bench
from ablate.measure.profile import ProfileBench
from ablate.measure.profile_rows import PYTHON, by_kernel, fastest_step
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import prepare_machine
from ablate.train.cohort import step_eagerly, train_epoch
from ablate.train.data import load_data
from ablate.train.graphs import kernels_on, make_graphs
from ablate.tune.stepped import SEED, first_batches, make_members
from benchmarks.field import Field, reference_grid
from benchmarks.options import Options
from benchmarks.race import BenchmarkError

TOP_KERNELS = 30
PROFILED_BATCHES = 16
"""Of a whole seed: thousands of kernels each."""

Spent = dict[str, tuple[float, float]]
"""Kernel → microseconds and calls."""


def measure_steps(options: Options, batch_size: int) -> dict[str, Any]:
    """Kernels of one eager step of one run, and those that take its time."""
    fields = {name: options.field(name) for name in options.attention}
    return {name: _step(replace(each, batch_size=batch_size)) for name, each in fields.items()}


def _step(field: Field) -> dict[str, Any]:
    bench = make_bench(Conditions(field.recipe, field.dataset, field.device))
    trainer = bench.trainer_of(field.net())
    use_kernels(
        trainer.net, {} if bench.machine.precision.exact else dict.fromkeys(fusable(), "fused")
    )
    trainer.net.train()
    profiler = ProfileBench(bench).record(lambda: trainer.step(bench.batch))
    on_gpu = bench.device.type == "cuda"
    spent = {
        name: (each.device_us if on_gpu else each.cpu_us, each.calls)
        for (_, name), each in by_kernel(fastest_step(profiler.events()), 1).items()
        if name != PYTHON and (each.device_us or not on_gpu)
    }
    return _largest(spent)


def measure_kernels(options: Options, batch_size: int) -> dict[str, Any]:
    """Kernels of a step of the reference grid's networks side by side, for each run: `us` in all, `busy_us`
    while any of them ran. All networks of a seed, or so many of the first as `cohorts` says.
    """
    field = replace(options.field("none"), batch_size=batch_size)
    on_gpu, grid = field.device == "cuda", reference_grid()
    paths = options.step_paths or (("graph", "compiled") if on_gpu else ("eager",))
    if not on_gpu and paths != ("eager",):
        raise BenchmarkError(f"a {field.device} steps by eager alone")
    found: dict[str, Any] = {}
    with LocalExecutor(1) as executor:
        for path in paths:
            for size in options.cohorts or (2 if options.short else len(grid),):
                job = ProfileCohort(grid[:size], field.recipe, field.dataset, field.device, path)
                [found[f"{path} {size}"]] = executor.results(job)
    return found


@dataclass(frozen=True)
class ProfileCohort:
    """A job: profile some steps of these networks side by side. Yields one dictionary."""

    variants: tuple[Variant, ...]
    recipe: Recipe
    dataset: Dataset
    device: str
    step_path: str

    def __call__(self) -> Iterator[dict[str, Any]]:
        machine = prepare_machine(self.device, self.recipe.precision)
        device, on_gpu = machine.device, machine.device.type == "cuda"
        few = first_batches(
            load_data(self.dataset, self.recipe, device), self.recipe, PROFILED_BATCHES
        )
        kernels = kernels_on(self.step_path, dict.fromkeys(fusable(), "fused"))
        members = make_members(
            self.variants, self.recipe, self.dataset, device, machine.precision, kernels
        )
        graphs = None if self.step_path == "eager" else make_graphs(self.step_path)
        stepping = graphs or step_eagerly
        train_epoch(members, few, self.recipe, SEED, 1, stepping)
        if graphs is not None and graphs.trouble is not None:
            raise BenchmarkError(f"not recorded: {graphs.trouble}")
        activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
        with profile(activities=activities, acc_events=True) as profiler:
            train_epoch(members, few, self.recipe, SEED, 2, stepping)
            if on_gpu:
                torch.cuda.synchronize(device)
        wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
        events = [event for event in profiler.events() if event.device_type == wanted]
        yield _of_a_run(
            events, len(members) * -(-len(few.train) // self.recipe.step_images), on_gpu=on_gpu
        )


def _of_a_run(events: Sequence[FunctionEvent], steps: int, *, on_gpu: bool) -> dict[str, Any]:
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in events:
        total = spent[kind(event.name)]
        total[0] += (event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total) / steps
        total[1] += 1 / steps
    busy = busy_us((event.time_range.start, event.time_range.end) for event in events) / steps
    return _largest({name: (us, calls) for name, (us, calls) in spent.items()}) | {"busy_us": busy}


def kind(kernel: str) -> str:
    """The name of a kernel without the number that a compiler gives each one that it writes."""
    return re.sub(r"_\d+$", "", kernel)


def busy_us(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of these went on."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _largest(spent: Spent) -> dict[str, Any]:
    if not spent:
        raise BenchmarkError("the profiler recorded no kernel of the step")
    total = sum(us for us, _ in spent.values())
    top = sorted(spent.items(), key=lambda item: -item[1][0])[:TOP_KERNELS]
    return {
        "kernels": sum(calls for _, calls in spent.values()),
        "us": total,
        "top": [
            {"name": name, "us": us, "calls": calls, "share": us / total}
            for name, (us, calls) in top
        ],
    }
