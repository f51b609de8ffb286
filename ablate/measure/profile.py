"""Where the time of a training step goes. Taken after all timing: a profiler slows what it watches, and may
go on slowing it after it has stopped.

A network is profiled on two paths: `as_trained` is the eager step of a run, by kernel or, on a
CPU, by operator; `eager` is the same step with attention as plain modules, by module and operator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from ablate.attention import use_kernels
from ablate.errors import AblateError, NetworkChangedError
from ablate.measure.bench import SEED, Bench, Conditions, Network, make_bench
from ablate.measure.profile_ranges import Owners, Ranges
from ablate.measure.profile_rows import Totals, by_kernel, by_module, fastest_step, make_rows
from ablate.measure.profile_trace import trace_name, write_trace
from ablate.result import Profiled, ProfilePath, ProfileRow, Trace
from ablate.result.cost import AUGMENTATION
from ablate.system.messages.text import one_line
from ablate.train.data import CHUNK, Data, Part, load_data, train_batches
from ablate.train.step import Trainer

PATHS: tuple[ProfilePath, ...] = ("as_trained", "eager")

QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""For the environment of a process that profiles, before it starts: what lies below torch's profiler writes
notes to stderr, on a CPU even "ERROR" for no GPU."""

WARM_UP_STEPS = 2
PROFILED_STEPS = 4
"""The fastest of them counts: a step that others interrupted says nothing."""
AUGMENTED_ON_GPU = 8192
"""Images that are augmented to measure it: a GPU is not busy with fewer."""


@dataclass(frozen=True)
class Profile:
    """A job: profile a few training steps of each network on each path, with a trace in `folder`.

    What cannot be profiled has a reason in place of rows; the job goes on.
    """

    networks: tuple[Network, ...]
    conditions: Conditions
    folder: Path

    def __call__(self) -> Iterator[Profiled]:
        bench = ProfileBench(make_bench(self.conditions, self.networks))
        for network in self.networks:
            for path in PATHS:
                profiled = _profile(bench, network, path, self.folder)
                bench.bench.check_code()
                yield profiled


def _profile(bench: ProfileBench, network: Network, path: ProfilePath, folder: Path) -> Profiled:
    trace = Trace(network.fingerprint, bench.bench.machine.name, path)
    try:
        profiler, rows = bench.rows(network, path)
    except NetworkChangedError:
        raise  # it says nothing about the network of this fingerprint
    except Exception as error:
        # Profilers fail in every way there is, and a study is complete without one.
        return Profiled(replace(trace, reason=_reason(error)), ())
    name = trace_name(network.fingerprint, path)
    try:
        write_trace(profiler, folder / name)
    except (OSError, ValueError, RuntimeError) as error:
        return Profiled(replace(trace, reason=f"no trace: {_reason(error)}"), rows)
    return Profiled(replace(trace, file=name), rows)


def _reason(error: Exception) -> str:
    if isinstance(error, AblateError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error)


@dataclass(frozen=True)
class ProfileBench:
    """A bench on which steps are profiled; making a batch is profiled once, it is the same for all."""

    bench: Bench

    def rows(self, network: Network, path: ProfilePath) -> tuple[profile, tuple[ProfileRow, ...]]:
        """Profile some steps of one network on one path.

        Raises:
            NothingRecordedError: the profiler has not seen what it should.
        """
        bench = self.bench
        trainer = bench.trainer(network)
        trainer.train()
        profiler, totals = (self._eager if path == "eager" else self._as_trained)(trainer)
        on_gpu = bench.device.type == "cuda"
        device = bench.machine.name
        return profiler, make_rows(totals, network.fingerprint, device, path, on_gpu=on_gpu)

    def _as_trained(self, trainer: Trainer) -> tuple[profile, Totals]:
        profiler = self.record(lambda: trainer.step(self.bench.batch))
        return profiler, by_kernel(fastest_step(profiler.events()), 1)

    def _eager(self, trainer: Trainer) -> tuple[profile, Totals]:
        use_kernels(trainer.net, {})
        with Ranges(trainer.net) as ranges:
            profiler = self.record(lambda: trainer.step(self.bench.batch))
        events = profiler.events()
        owners = Owners(events, ranges.paths)
        totals = by_module(fastest_step(events), 1, owners, ranges.paths)
        return profiler, totals | self.augmentation

    @cached_property
    def augmentation(self) -> Totals:
        """What making one batch takes."""
        bench, conditions = self.bench, self.bench.conditions
        recipe = conditions.recipe
        data = load_data(conditions.dataset, recipe, bench.device)
        some = _first(data, CHUNK if bench.device.type == "cpu" else AUGMENTED_ON_GPU)
        profiler = self.record(partial(_make_batches, some, bench))
        events = fastest_step(profiler.events())
        batches = len(some.train) / recipe.step_images
        made = by_module(events, batches, Owners(events, {}), {})
        return {(AUGMENTATION, operator): spent for (_, operator), spent in made.items()}

    def record(self, work: Callable[[], object]) -> profile:
        """A profile of some calls, after others that warm up what they use and the profiler."""
        activities = [ProfilerActivity.CPU]
        if self.bench.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        plan = schedule(wait=0, warmup=WARM_UP_STEPS, active=PROFILED_STEPS, repeat=1)
        profiler: profile = profile(
            activities=activities, schedule=plan, profile_memory=True, acc_events=True
        )
        with profiler:
            for _ in range(WARM_UP_STEPS + PROFILED_STEPS):
                work()
                self.bench.synchronise()
                profiler.step()
        return profiler


def _first(data: Data, images: int) -> Data:
    part = Part(data.train.images[:images], data.train.labels[:images])
    return replace(data, train=part)


def _make_batches(data: Data, bench: Bench) -> None:
    """All batches of one epoch."""
    deque(train_batches(data, bench.conditions.recipe, SEED, epoch=1), maxlen=0)
