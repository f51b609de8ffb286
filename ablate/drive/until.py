"""`ablate run --until-decided`: seeds block by block, until every variant has a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from ablate.drive.deciding import (
    MOST_FAILURES,
    Judged,
    Question,
    last_look,
    next_block,
)
from ablate.drive.driver import Driver
from ablate.drive.options import RunOptions, choose_training
from ablate.drive.prepare import check_places, prepare_plan, tell_namesakes
from ablate.drive.progress import StudyProgress
from ablate.drive.run import NOT_DETERMINISTIC, after_training, retry_failed
from ablate.errors import OptionError
from ablate.execute import make_executor
from ablate.plan import Cell, Plan
from ablate.result import RunStatus
from ablate.stats import DEFAULT_MARGIN, words
from ablate.stats.effect import FEWEST_AT_A_LOOK
from ablate.stats.looks import ANYTIME, Look, margin_of
from ablate.stats.planning import MAX_SEEDS
from ablate.store.progress.status import StudyKey
from ablate.store.reading.samples import Standing
from ablate.store.writing.looks import new_look
from ablate.store.writing.store import Store
from ablate.study import Study
from ablate.study.metrics import ACCURACY
from ablate.study.search import FRESH_SEEDS
from ablate.study.study import MAX_CELLS
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.console import say
from ablate.system.messages.language import _, amount
from ablate.system.messages.text import duration

Place = tuple[int, str]
"""Seed and variant."""


@dataclass(frozen=True)
class Until:
    """What decides, and when it is enough; None leaves the margin to earlier looks, or to the study."""

    margin: float | None = None
    max_seeds: int = MAX_SEEDS

    def check(self) -> None:
        """Raises:
        OptionError: a margin that accuracy cannot have, too few seeds for any verdict, or fresh ones.
        """
        if self.margin is not None and not 0 < self.margin < 1:
            raise OptionError(
                f"--margin {self.margin:g}: it is in accuracy, between 0 and 1: 0.005 is half a point"
            )
        if self.max_seeds < FEWEST_AT_A_LOOK:
            raise OptionError(
                f"--max-seeds {self.max_seeds}: a verdict takes {FEWEST_AT_A_LOOK} seeds or more"
            )
        if self.max_seeds > FRESH_SEEDS:
            raise OptionError(
                f"--max-seeds {self.max_seeds}: at most {FRESH_SEEDS:,}, as later seeds are those that a "
                "search confirms with"
            )

    def most(self, study: Study) -> Study:
        """The study with all the seeds that it can get.

        Raises:
            OptionError: so many cells that no study has them.
        """
        seeds = max(self.max_seeds, study.seeds, study.baseline_seeds or 0)
        cells = seeds * study.variants_written
        if cells > MAX_CELLS:
            raise OptionError(
                f"--max-seeds {self.max_seeds}: of {study.variants_written} variants these are {cells:,} "
                f"cells; at most {MAX_CELLS:,} fit into one study: ask for fewer"
            )
        return study.model_copy(update={"seeds": seeds, "baseline_seeds": None})


def run_until_decided(
    study: Study, data: Path | None, url: str, options: RunOptions, until: Until
) -> int:
    """Train until every variant is decided or the most seeds are reached; returns how many things have
    failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was
            written.
    """
    until.check()
    refuse_undecidable(study)
    most = until.most(study)
    console = Console()
    machine = find_machine(options.device, study.recipe.precision)
    executor = make_executor(options.executor, options.workers, options.where(machine))
    whole = prepare_plan(most, data, console, machine, executor.slots, probe=options.probe)
    plan = replace(whole, study=study)
    refuse_alone(plan)
    store = Store(url)
    tell_namesakes(plan, url, console)
    check_places(plan, store, url, console)
    deciding = _Deciding.begin(plan, store, until)
    if options.retry_failed:
        retry_failed(store, deciding.run_keys, options.max_runs)
    if machine.is_gpu and not options.deterministic:
        say(_(NOT_DETERMINISTIC), console)
    say(deciding.opening(machine.name), console)
    started = time.monotonic()
    progress = StudyProgress(console, deciding.ready(), study.recipe.epochs, executor.slots)
    with executor, progress:
        how = choose_training(options, deciding.begun, store, machine, executor, progress.note)
        deciding.tell = progress.note
        Driver(replace(plan, cells=()), store, executor, progress, how, deciding).run()
    unmeasured = after_training(options, deciding.begun, store, machine, console)
    failed = deciding.conclude(console, time.monotonic() - started)
    store.close()
    return unmeasured + failed


def refuse_undecidable(study: Study) -> None:
    """Refuse a study of which no verdict is claimed, or none that holds at every look.

    Raises:
        OptionError: it is test-leaked, or not about accuracy.
    """
    if study.recipe.split == "tutorial":
        raise OptionError(
            '--until-decided: with split = "tutorial" no verdict is claimed, so none can be reached: '
            "leave the split out"
        )
    if study.metric != ACCURACY:
        raise OptionError(
            "--until-decided: intervals that hold at every look are of accuracy, and "
            f'metric = "{study.metric}": give a fixed number of --seeds, or leave the metric out'
        )


def refuse_alone(plan: Plan) -> None:
    """Refuse a baseline without anything that is compared with it.

    Raises:
        OptionError: the study has no other variant.
    """
    if len(plan.variants) < 2:
        raise OptionError(
            f"--until-decided: {plan.study.name} has no variant besides its baseline, so there is nothing to "
            "decide"
        )


@dataclass
class _Deciding:
    """Gives a driver block after block; what has been decided stands in the database alone.

    `cells` are those of the blocks so far, by seed and variant, all of them registered; with folds a place
    has all of them.
    """

    plan: Plan
    store: Store
    question: Question
    cells: dict[Place, list[Cell]]
    tell: Callable[[str], None] = field(default=lambda _text: None)
    _block: list[str] = field(default_factory=list)
    _looked: int = 0

    @classmethod
    def begin(cls, plan: Plan, store: Store, until: Until) -> _Deciding:
        """Register what has been trained, and the first block."""
        study, key = plan.study, _key(plan)
        margin = until.margin
        if margin is None:
            margin = margin_of(store.looks(key), study.equivalence_margin)
        others = tuple(name for name in plan.variants if name != study.baseline)
        known = store.statuses([str(cell.run_key) for cell in plan.cells])
        begun = {
            place: cells
            for place, cells in _by_place(plan.cells).items()
            if place[0] <= FEWEST_AT_A_LOOK
            or any(
                known.get(str(cell.run_key), RunStatus.PLANNED) is not RunStatus.PLANNED
                for cell in cells
            )
        }
        store.register(replace(plan, cells=_together(begun)))
        question = Question(others, study.baseline, margin, until.max_seeds)
        return cls(plan, store, question, begun)

    def __call__(self, driver: Driver) -> bool:
        """Look when a block is over, and give the driver the next one; False when there is none."""
        status = self.store.statuses(self._block)
        if not all(each.is_over for each in status.values()):
            return True
        judged = self._look()
        places = set(next_block(self.question, judged))
        added = {p: cells for p, cells in _by_place(self.plan.cells).items() if p in places}
        if not added:
            return False
        cells = _together(added)
        self.store.add_cells(self.plan, cells)
        self.cells |= added
        self._block = [str(cell.run_key) for cell in cells]
        driver.add(cells)
        return True

    def _look(self) -> Judged:
        standing = self.store.standing(_key(self.plan))
        judged = last_look(self.question, standing)
        if judged.seeds > self._looked:
            self._looked = judged.seeds
            self.store.add_look(_key(self.plan), self._look_at(judged, standing))
            decided = sum(effect.decided for effect in judged.effects.values())
            self.tell(
                _(
                    "a look after {seeds} seeds: {decided} of {variants} decided, {n} open",
                    seeds=judged.seeds,
                    decided=decided,
                    variants=amount(len(self.question.variants), "variant"),
                    n=len(judged.open),
                )
            )
        return judged

    def _look_at(self, judged: Judged, standing: Standing) -> Look:
        study, names = self.plan.study, (self.question.baseline, *self.question.variants)
        samples = standing.samples
        n = {name: len(samples[name].scores) if name in samples else 0 for name in names}
        planned = {name: study.seeds_of(name) for name in names}
        family = len(judged.effects)
        return new_look(ANYTIME, "run", n, planned, self.question.margin, family, standing.finished)

    @property
    def begun(self) -> Plan:
        """The plan as far as it goes now."""
        return replace(self.plan, cells=_together(self.cells))

    @property
    def run_keys(self) -> list[str]:
        return [str(cell.run_key) for cell in _together(self.cells)]

    def ready(self) -> int:
        """How many runs of the next block wait to be trained."""
        places = next_block(
            self.question, last_look(self.question, self.store.standing(_key(self.plan)))
        )
        cells = (cell for place in places for cell in self.cells.get(place, ()))
        return self.store.ready([str(cell.run_key) for cell in cells])

    def opening(self, machine: str) -> str:
        """What is going to happen."""
        margin = words.size(self.question.margin or DEFAULT_MARGIN)
        return _(
            "{name}: {variants} against {baseline}, seed by seed until each is decided "
            "(margin {margin} points) or has {max_seeds} seeds, on {label} with {machine}",
            name=self.plan.study.name,
            variants=amount(len(self.question.variants), "variant"),
            baseline=self.question.baseline,
            margin=margin,
            max_seeds=self.question.max_seeds,
            label=self.plan.dataset.label,
            machine=machine,
        )

    def conclude(self, console: Console, seconds: float) -> int:
        """Say what was decided, what it took and what to do next; returns how many runs have failed."""
        judged = last_look(self.question, self.store.standing(_key(self.plan)))
        for name in self.question.variants:
            if name in judged.effects:
                say(words.claim(judged.effects[name]), console)
        status = list(self.store.statuses(self.run_keys).values())
        failed = status.count(RunStatus.FAILED)
        folds = self.plan.study.data.folds or 1
        for line in told(self.question, judged, status.count(RunStatus.FINISHED), failed, folds):
            say(f"{self.plan.study.name}: {line}", console)
        say(
            _(
                "in {seconds}; next: ablate report, with the same study file",
                seconds=duration(seconds),
            ),
            console,
        )
        return failed


def _by_place(cells: Sequence[Cell]) -> dict[Place, list[Cell]]:
    found: dict[Place, list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.seed, cell.variant.name), []).append(cell)
    return found


def _together(cells: Mapping[Place, Sequence[Cell]]) -> tuple[Cell, ...]:
    """Seed by seed, and in a seed fold by fold, as a plan has them."""
    every = [cell for each in cells.values() for cell in each]
    return tuple(sorted(every, key=lambda cell: (cell.seed, cell.fold or 0)))


def told(
    question: Question, judged: Judged, finished: int, failed: int, folds: int = 1
) -> list[str]:
    """How far it came: what it took, what is still open and why."""
    arms = (len(question.variants) + 1) * folds
    lines = [
        _("{runs} finished", runs=amount(finished, "run"))
        + (_(", {failed} failed", failed=failed) if failed else "")
    ]
    if not judged.seeds:
        return [
            _(
                "{told}; the first look comes after {fewest} seeds: run again to go on",
                told=lines[0],
                fewest=FEWEST_AT_A_LOOK,
            )
        ]
    lines[0] += _(
        "; a fixed plan with {seeds} seeds of each, what the last variant took, is {runs}",
        seeds=judged.seeds,
        runs=amount(arms * judged.seeds, "run"),
    )
    if judged.open:
        names = ", ".join(judged.open)
        more = _going_on(question, judged)
        lines.append(
            _(
                "still open after {seeds} seeds: {names}; {more}",
                seeds=judged.seeds,
                names=names,
                more=more,
            )
        )
    if judged.given_up:
        names = ", ".join(judged.given_up)
        lines.append(
            _(
                "no further seeds after {most} failed runs: {names}",
                most=MOST_FAILURES,
                names=names,
            )
        )
    return lines


def _going_on(question: Question, judged: Judged) -> str:
    """What to do for variants that are still open."""
    if judged.seeds < question.max_seeds:
        return _("run again to go on")
    if question.max_seeds >= FRESH_SEEDS:
        return _("no study has more seeds")
    more = min(2 * question.max_seeds, FRESH_SEEDS)
    return _("--max-seeds {max_seeds} goes on", max_seeds=more)


def _key(plan: Plan) -> StudyKey:
    return plan.study.name, str(plan.dataset.content_hash()), plan.study.setting
