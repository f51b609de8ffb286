"""How runs are trained: as the user asked, and as it was found to be best on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from ablate.errors import DeviceError, OptionError
from ablate.execute import Executor, Where, jobs_on_a_gpu
from ablate.job import CHECKPOINT_SECONDS
from ablate.plan import Cell, Plan
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import Machine
from ablate.system.messages.language import _, amount
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import duration
from ablate.train.graphs import kernels_on
from ablate.tune.choose import Tuning
from ablate.tune.compiling import compile_ahead

Keep = Literal["1", "all", "none", "best"]
"""Of which seeds of a variant trained weights stay: the first, all, none, or the best in validation."""

KEPT_SEED = 1
"""The seed that pictures and histograms are of, and, unless somebody wishes otherwise, kept weights."""


def is_shown(cell: Cell) -> bool:
    """Whether pictures and histograms are kept of a run: one of each variant, in the first fold if there are
    folds.
    """
    return cell.seed == KEPT_SEED and cell.fold in (None, 1)


@dataclass(frozen=True)
class RunOptions:
    """What the user may ask for; it changes no result. None leaves it to the machine, and so does a step
    path of `auto`; another one than `eager` is for a GPU.
    """

    device: str = "auto"
    executor: str = "local"
    workers: int | None = None
    max_runs: int | None = None
    retry_failed: bool = False
    cohort: int | None = None
    deterministic: bool = False
    checkpoint_seconds: float | None = None
    step_path: str = "auto"
    run_timeout: float | None = None
    measure: bool = True
    probe: bool = True
    keep: Keep = "1"
    ray_address: str | None = None
    gpu_share: float | None = None

    def where(self, machine: Machine) -> Where:
        """What an executor gets to work with."""
        return Where(machine.workers, machine.gpus, self.ray_address, self.gpu_share)

    def jobs_on_a_gpu(self, machine: Machine) -> int:
        """How many cohorts may be trained on one GPU at the same time."""
        if self.executor == "ray":
            return jobs_on_a_gpu(self.gpu_share or 1)
        workers = 1 if self.executor == "inprocess" else self.workers or machine.workers
        return math.ceil(workers / max(1, len(machine.gpus)))


@dataclass(frozen=True)
class TrainingOptions:
    """How a driver has the runs trained that it begins; others go on as they were begun, but for
    `only_eager`, which leaves no step to a graph.

    `cohort` is how many runs at most are trained side by side in one worker. A run that takes longer
    than `run_timeout_seconds` has failed; a cohort may take that long for each of its runs.
    """

    device: str = "auto"
    cohort: int = 1
    max_runs: int | None = None
    kernels: Mapping[str, str] = field(default_factory=dict)
    step_path: str = "eager"
    deterministic: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    run_timeout_seconds: float | None = None
    only_eager: bool = False
    keep: Keep = "1"

    def keeps(self, seed: int) -> bool:
        """Whether a run of that seed brings its weights; of which only the best stay is seen afterwards."""
        return {"1": seed == KEPT_SEED, "all": True, "none": False, "best": True}[self.keep]


def choose_training(
    asked: RunOptions,
    plan: Plan,
    store: Store,
    machine: Machine,
    executor: Executor,
    note: Callable[[str], None],
) -> TrainingOptions:
    """What was asked for, and for the rest what this machine does best; `note` is told what was measured.

    Raises:
        DeviceError: a recorded step was asked for, and there is no GPU.
        MeasuringError: the kernels of attention could not be measured.
        OptionError: a recorded step was asked for of a trainer of the user's, or compiled steps that repeat.
    """
    if asked.deterministic and asked.step_path == "compiled":
        raise OptionError(
            "--deterministic --step-path compiled: a compiler sums and rounds in other places, and what it "
            "writes need not repeat: use --step-path graph, or leave one of them out"
        )
    if plan.trainer is not None:
        return _of_own_trainer(asked, plan.trainer.name)
    if not machine.is_gpu and asked.step_path not in ("auto", "eager"):
        raise DeviceError(
            f"steps of a CPU cannot be recorded, and --step-path {asked.step_path} was asked for on "
            f"{machine.name}: leave it out, or use --device cuda"
        )
    shared_by = asked.jobs_on_a_gpu(machine)
    tuning = Tuning(plan, store.choices, machine, asked.deterministic, note, shared_by)
    kernels = tuning.kernels(executor)
    step_path = asked.step_path
    if not machine.is_gpu:
        step_path = "eager"
    elif step_path == "auto":
        step_path = tuning.step_path(executor, kernels)
    if machine.is_gpu and step_path == "compiled" and asked.executor == "local":
        _compile_ahead(plan, store, machine, asked.max_runs, note)
    cohort = asked.cohort or machine.cohort
    if machine.is_gpu and asked.cohort is None and len(plan.cells) > machine.cohort:
        cohort = tuning.cohort(executor, kernels_on(step_path, kernels), step_path)
    seconds = asked.checkpoint_seconds
    return TrainingOptions(
        device=asked.device,
        cohort=cohort,
        max_runs=asked.max_runs,
        kernels=kernels_on(step_path, kernels),
        step_path=step_path,
        deterministic=asked.deterministic,
        checkpoint_seconds=CHECKPOINT_SECONDS if seconds is None else seconds,
        run_timeout_seconds=asked.run_timeout,
        only_eager=asked.step_path == "eager",
        keep=asked.keep,
    )


def _compile_ahead(
    plan: Plan, store: Store, machine: Machine, max_runs: int | None, note: Callable[[str], None]
) -> None:
    """Have the networks compiled of the runs that are now to be trained, before a cohort needs them."""
    cells = {str(cell.run_key): cell for cell in plan.cells}
    ready = islice(store.ready_of(list(cells)), max_runs)
    networks = {cells[key].architecture.fingerprint: cells[key].variant for key in ready}
    started = time.monotonic()
    compiled = compile_ahead(
        list(networks.values()),
        plan.study.recipe,
        plan.dataset,
        machine,
        lambda done, total: PULSE.count(_("compiling networks"), done, total),
    )
    PULSE.step(_("starting to train"))
    if not compiled.processes:
        return
    took = duration(time.monotonic() - started)
    done = amount(len(networks) - compiled.failed, "network")
    note(f"compiled: {done} by {compiled.processes} processes in {took}")
    if compiled.failed:
        left = amount(compiled.failed, "network")
        note(f"compiled ahead: not {left}, left to their cohort: {compiled.reason}")


def _of_own_trainer(asked: RunOptions, trainer: str) -> TrainingOptions:
    """A trainer of the user's has one run at a time, whose steps are its own: there is nothing to choose.

    Raises:
        OptionError: a recorded step was asked for.
    """
    if asked.step_path not in ("auto", "eager"):
        raise OptionError(
            f"--step-path {asked.step_path} is of our own training loop, and {trainer} takes its place: "
            "leave it out"
        )
    seconds = asked.checkpoint_seconds
    return TrainingOptions(
        device=asked.device,
        max_runs=asked.max_runs,
        deterministic=asked.deterministic,
        checkpoint_seconds=CHECKPOINT_SECONDS if seconds is None else seconds,
        run_timeout_seconds=asked.run_timeout,
        only_eager=True,
        keep=asked.keep,
    )
