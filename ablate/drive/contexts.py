"""A study in several contexts, trained seed by seed through all of them: cut short, it is a smaller study."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from ablate.datasets import data_of
from ablate.drive.counts import count_runs
from ablate.drive.driver import Driver
from ablate.drive.options import RunOptions, TrainingOptions, choose_training
from ablate.drive.prepare import check_places, prepare_plan, tell_namesakes
from ablate.drive.progress import StudyProgress
from ablate.drive.run import NOT_DETERMINISTIC, after_training, conclude, retry_failed
from ablate.drive.until import Until, refuse_alone, refuse_undecidable, run_until_decided
from ablate.errors import OptionError, StudyError
from ablate.execute import Executor, make_executor
from ablate.plan import Cell, Plan
from ablate.store.writing.store import Store
from ablate.study import Study
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.messages.console import own_console, say
from ablate.system.messages.context import context_name
from ablate.system.messages.language import _, amount


@dataclass
class _Part:
    """One context: its plan, the machine in its precision, and how it is trained, once that is known."""

    plan: Plan
    machine: Machine
    how: TrainingOptions | None = None
    keys: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = [str(cell.run_key) for cell in self.plan.cells]

    @property
    def name(self) -> str:
        return context_name(self.plan.study.context)

    def of_seed(self, seed: int) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.plan.cells if cell.seed == seed)


def run_contexts(studies: Sequence[Study], data: Path | None, url: str, options: RunOptions) -> int:
    """Train what is missing in every context and measure what was trained; returns how many things have
    failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was written.
    """
    console = own_console()
    machine = find_machine(options.device, studies[0].recipe.precision)
    executor = make_executor(options.executor, options.workers, options.where(machine))
    parts = [_prepared(study, data, console, options, executor.slots) for study in studies]
    _refuse_the_same(parts)
    store = Store(url)
    for part in parts:
        tell_namesakes(part.plan, url, console)
        check_places(part.plan, store, url, console)
        store.register(part.plan)
    if options.retry_failed:
        retry_failed(store, _in_order(parts), options.max_runs)
    todo = _todo(store, parts, options)
    say(_opening(parts, todo, executor.slots), console)
    if parts[0].machine.is_gpu and not options.deterministic:
        say(_(NOT_DETERMINISTIC), console)
    started = time.monotonic()
    most = max(part.plan.study.recipe.epochs for part in parts)
    with executor, StudyProgress(console, todo, most, executor.slots) as progress:
        _Training(parts, store, executor, progress, options).run()
    unmeasured = sum(
        after_training(options, part.plan, store, part.machine, console) for part in parts
    )
    seconds, name = time.monotonic() - started, parts[0].plan.study.name
    return unmeasured + conclude(console, name, store, _in_order(parts), seconds)


def decide_contexts(
    studies: Sequence[Study], data: Path | None, url: str, options: RunOptions, until: Until
) -> int:
    """Train each context until every variant of it is decided, one context after the other; what is wrong
    with one of them is said before the first is trained.

    Raises:
        OptionError: so many runs at most, where there are several contexts.
        StudyError: two contexts that are one.
        AblateError: as `run_until_decided`.
    """
    if len(studies) > 1 and options.max_runs is not None:
        raise OptionError(
            "--until-decided and --max-runs: with several contexts choose one of them with --set, or leave "
            "--max-runs out"
        )
    failed = 0
    if len(studies) > 1:
        _look_at_all(studies, data, options, until)
        options = replace(options, probe=False)  # every network has taken its step
    for study in studies:
        if study.context:
            say(_("context {context}", context=context_name(study.context)))
        failed += run_until_decided(study, data_of(study, data), url, options, until)
    return failed


def _look_at_all(
    studies: Sequence[Study], data: Path | None, options: RunOptions, until: Until
) -> None:
    """Refuse a context that cannot be decided before another one is trained for hours.

    Raises:
        AblateError: as `decide_contexts`.
    """
    until.check()
    for study in studies:
        refuse_undecidable(study)
        until.most(study)
    parts = [_prepared(study, data, own_console(), options, options.workers) for study in studies]
    for part in parts:
        refuse_alone(part.plan)
    _refuse_the_same(parts)


@dataclass
class _Training:
    """Goes through the seeds, and for each through the contexts, until so many runs are begun."""

    parts: Sequence[_Part]
    store: Store
    executor: Executor
    progress: StudyProgress
    options: RunOptions
    begun: int = 0

    def run(self) -> None:
        """Train all of them, in the order of `_in_order`."""
        seeds = max(cell.seed for part in self.parts for cell in part.plan.cells)
        for seed in range(1, seeds + 1):
            for part in self.parts:
                self._train(part, part.of_seed(seed), seed)

    def _train(self, part: _Part, cells: Sequence[Cell], seed: int) -> None:
        counts = count_runs(self.store, [str(cell.run_key) for cell in cells])
        left = None if self.options.max_runs is None else self.options.max_runs - self.begun
        if left == 0 or not (counts.ready or counts.elsewhere):
            return
        self.progress.note(_("{name}, seed {seed}", name=part.name, seed=seed))
        if part.how is None:
            part.how = choose_training(
                self.options, part.plan, self.store, part.machine, self.executor, self.progress.note
            )
        plan = replace(part.plan, cells=tuple(cells))
        how = replace(part.how, max_runs=left)
        driver = Driver(plan, self.store, self.executor, self.progress, how)
        driver.run()
        self.begun += driver.taken  # others may have trained some of them, and left us theirs


def _prepared(
    study: Study, data: Path | None, console: Console, options: RunOptions, workers: int | None
) -> _Part:
    machine = find_machine(options.device, study.recipe.precision)
    say(_("context {context}", context=context_name(study.context)), console)
    own = data_of(study, data)
    return _Part(prepare_plan(study, own, console, machine, workers, probe=options.probe), machine)


def _refuse_the_same(parts: Sequence[_Part]) -> None:
    """Two contexts that are one would count its runs twice."""
    of_run: dict[str, _Part] = {}
    for part in parts:
        for key in part.keys:
            other = of_run.setdefault(key, part)
            if other is not part:
                raise StudyError(
                    f"the contexts {other.name!r} and {part.name!r} have the same runs: leave one out"
                )


def _in_order(parts: Sequence[_Part]) -> list[str]:
    """The runs of all contexts as they are trained: seed by seed."""
    cells = [cell for part in parts for cell in part.plan.cells]
    return [str(cell.run_key) for cell in sorted(cells, key=lambda cell: cell.seed)]


def _todo(store: Store, parts: Sequence[_Part], options: RunOptions) -> int:
    ready = sum(count_runs(store, part.keys).ready for part in parts)
    return ready if options.max_runs is None else min(ready, options.max_runs)


def _opening(parts: Sequence[_Part], todo: int, slots: int) -> str:
    study, machine = parts[0].plan.study, parts[0].machine
    runs = sum(len(part.keys) for part in parts)
    return _(
        "{name}: {contexts}, {runs}, {todo} to train with {machine}, {precision}, {slots} at a time",
        name=study.name,
        contexts=amount(len(parts), "context"),
        runs=amount(runs, "run"),
        todo=todo,
        machine=machine.name,
        precision=machine.precision.name,
        slots=slots,
    )
