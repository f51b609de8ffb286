"""Where the time of a training step goes, by operator. Runs in a process of its own, after all timing:
a profiler slows what it watches, and may go on slowing it after it has stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile

from ablate.measure.bench import Bench, Setting, Subject, make_bench
from ablate.result import ProfileRow

WARM_UP_STEPS = 3
PROFILED_STEPS = 5


@dataclass(frozen=True)
class Profile:
    """A job: profile a few training steps of each subject; yields the rows of one subject at a time."""

    subjects: tuple[Subject, ...]
    setting: Setting

    def __call__(self) -> Iterator[tuple[ProfileRow, ...]]:
        # The library below torch's profiler writes notes to stderr, on a CPU even "ERROR" for no GPU.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        bench = make_bench(self.setting)
        for subject in self.subjects:
            yield profile_steps(bench, subject)


def profile_steps(bench: Bench, subject: Subject) -> tuple[ProfileRow, ...]:
    """The operators of a training step as it is trained, the most expensive first.

    Unit: microseconds and calls for one step. `share` is of the step's time on the device, or of
    its time on the CPU where no device records anything.
    """
    trainer = bench.trainer(subject)
    trainer.net.train()
    for _ in range(WARM_UP_STEPS):
        trainer.step(bench.batch)
    bench.synchronise()
    activities = [ProfilerActivity.CPU]
    if bench.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(PROFILED_STEPS):
            trainer.step(bench.batch)
        bench.synchronise()
    averages = profiler.key_averages()
    on_device = sum(event.self_device_time_total for event in averages)
    total = on_device or sum(event.self_cpu_time_total for event in averages)
    rows = [
        ProfileRow(
            fingerprint=subject.fingerprint,
            device=bench.device_name,
            path="as_trained",
            module=None,
            operator=event.key,
            self_device_us=event.self_device_time_total / PROFILED_STEPS,
            self_cpu_us=event.self_cpu_time_total / PROFILED_STEPS,
            calls=event.count / PROFILED_STEPS,
            share=(event.self_device_time_total if on_device else event.self_cpu_time_total)
            / total,
        )
        for event in averages
    ]
    return tuple(sorted(rows, key=lambda row: row.share, reverse=True))
