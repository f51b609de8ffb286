"""`ablate search`: ask Optuna, train what it asks for, confirm the best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from ablate.commands.prepare import describe_place, prepare_plan
from ablate.commands.run import RunOptions
from ablate.costs import measure_throughput
from ablate.driver import Driver
from ablate.errors import OutputError, StudyError
from ablate.execute import make_executor
from ablate.kernels import choose_kernels
from ablate.measure.throughput import quick
from ablate.plan import Cell, Plan
from ablate.progress import StudyProgress, duration, plural
from ablate.report import format as fmt
from ablate.result import Epoch, Failed, Finished
from ablate.search.board import Board
from ablate.search.cells import LARGEST_CHECKED, CellMaker, check_constraints
from ablate.search.confirm import Confirmed, candidates, distinct, fresh_seeds
from ablate.search.record import read_confirmed
from ablate.search.searcher import Parts, Searcher
from ablate.search.space import Space
from ablate.search.storage import open_storage, storage_url
from ablate.search_table import SPEED, Search
from ablate.store.connect import database_exists, files_folder, shown
from ablate.store.store import Store
from ablate.store.trials import SearchKey, TrialStore, search_key
from ablate.study import Study
from ablate.train.graphs import kernels_on
from ablate.train.precision import (
    choose_device,
    choose_precision,
    default_workers,
    device_name,
)


@dataclass(frozen=True)
class SearchOptions:
    """Where Optuna keeps its copy, and whether only to make it anew."""

    storage: str | None = None
    rebuild: bool = False


def search_study(
    study: Study, data: Path | None, url: str, options: RunOptions, where: SearchOptions
) -> int:
    """Search until the budget is spent, then confirm the best; returns how many trials have failed.

    Raises:
        AblateError: the study, the data, the device, the database or the storage must be changed.
    """
    console = Console()
    search = asked_search(study)
    space = Space(study.backbone, search.parameters)
    # Before anything is trained or written: a device or data that is missing, a storage that is refused.
    copy = storage_url(where.storage, url)
    device = choose_device(options.device)
    plan = prepare_plan(study, data, console)
    if database_exists(url):
        Store(url).close()  # a file that is no database of ours ends it before anything is made
    storage = open_storage(copy, create=True)
    maker = CellMaker(plan, space)
    with _alone(url, study.name):
        store, trials = Store(url), TrialStore(url)
        store.register(plan)
        place = device_name(device)
        environment = describe_place(
            device, choose_precision(study.recipe.precision, device).name, {}, deterministic=False
        )
        if not where.rebuild:
            _look_first(search, maker, store, trials, options, environment, console)
        key = search_key(study, plan.dataset.label)
        board = Board(storage, board_name(key), search, space, study.recipe.epochs)
        parts = Parts(
            plan, search, space, key, trials, board, maker, lambda text: _say(console, text),
            place if search.needs_speed else None,
        )  # fmt: skip
        searcher = Searcher(parts)
        board.describe(_description(study, search, space))
        if where.rebuild:
            searcher.rebuild()
            _say(console, f"{plural(len(searcher.trials), 'trial')} written to {copy}")
            return 0
        return _Work(plan, searcher, maker, store, console, options).run(device)


def asked_search(study: Study) -> Search:
    """The study's search.

    Raises:
        StudyError: it has none.
    """
    if study.search is None:
        raise StudyError(
            f"{study.name}: the study file has no [search] table: docs/search.md says what stands there"
        )
    return study.search


def board_name(key: SearchKey) -> str:
    """The name of a search in Optuna's dashboard."""
    return f"{key.study} on {key.dataset} ({key.setting[:4]}-{key.search[:4]})"


@dataclass
class _Work:
    """One invocation of a search, from its first question to its conclusion."""

    plan: Plan
    searcher: Searcher
    maker: CellMaker
    store: Store
    console: Console
    options: RunOptions
    _confirming: bool = field(init=False, default=False)

    def run(self, device: Any) -> int:
        study, search, options = self.plan.study, self.searcher.parts.search, self.options
        executor = make_executor(options.executor, options.workers or default_workers(device))
        before = len(self.searcher.trials)
        self._announce(executor.slots, before)
        started = time.monotonic()
        # At most: what is asked for again costs nothing.
        networks = min(search.trials or 0, self.searcher.parts.space.size)
        expected = networks * search.seeds + search.confirm * search.confirm_seeds
        asked = replace(self.plan, cells=tuple(self._one_of_each()))
        # Whoever picks by what stands here picks as the search does.
        progress = StudyProgress(
            self.console, expected, study.recipe.epochs, executor.slots, show_test=False
        )
        with executor, progress:
            kernels = choose_kernels(asked, self.store, executor, options.device)
            precision = choose_precision(study.recipe.precision, device).name
            step_path = options.choose_steps(asked, self.store, kernels, progress.note)
            kernels = kernels_on(step_path, kernels)
            environment = describe_place(
                device, precision, kernels, deterministic=options.deterministic
            ) | {"step_path": step_path}
            how = replace(options.how(kernels), step_path=step_path)
            nothing = replace(self.plan, cells=())
            watching = _Watching(progress, self.searcher)
            driver = Driver(nothing, self.store, executor, watching, environment, how, self.feed)
            watching.driver = driver
            driver.run()
        return self._conclude(before, time.monotonic() - started)

    def feed(self, driver: Driver) -> bool:
        """Give the driver what the search asks for, and at its end what confirms it."""
        cells, again = self.searcher.more(driver.slots)
        driver.add(cells)
        if not cells and not again and self.searcher.idle and not self._confirming:
            self._confirming = True
            driver.add(self._to_confirm())
        return again

    def _to_confirm(self) -> list[Cell]:
        parts, seeds = self.searcher.parts, fresh_seeds(self.searcher.parts.search)
        picked = candidates(parts.search, self.searcher.trials, self.searcher.finished)
        if not picked:
            return []
        networks = [self.searcher.trials[number].fingerprint for number in picked]
        networks.append(self.plan.variants[self.plan.study.baseline].fingerprint)
        cells = [self.maker.named(network, seed) for seed in seeds for network in networks]
        parts.store.add_cells(self.plan, cells)
        return cells

    def _one_of_each(self) -> Sequence[Cell]:
        """A cell of each kind of attention that can be asked for: their fused paths are chosen first."""
        kinds = {str(point["attention"]): point for point in self.searcher.parts.space.firsts()}
        return [self.maker(point, 1) for point in kinds.values()]

    def _announce(self, slots: int, before: int) -> None:
        search, space = self.searcher.parts.search, self.searcher.parts.space
        budget = [
            text
            for text in (
                f"{search.trials} trials" if search.trials else "",
                f"{search.runs} runs" if search.runs else "",
                f"{search.hours:g} h" if search.hours else "",
            )
            if text
        ]
        so_far = f", {plural(before, 'trial')} so far" if before else ""
        _say(
            self.console,
            f"{self.plan.study.name}: searching {plural(space.size, 'point')} with {search.sampler}, "
            f"{plural(search.seeds, 'seed')} each, at most {' or '.join(budget)}{so_far}, "
            f"{slots} at a time",
        )

    def _conclude(self, before: int, seconds: float) -> int:
        parts, trials = self.searcher.parts, self.searcher.trials
        trained = sum(len(row.trained) for row in trials)
        failed = sum(row.state == "failed" for row in trials)
        networks = len({row.fingerprint for row in trials})
        _say(
            self.console,
            f"{self.plan.study.name}: {plural(len(trials), 'trial')} ({len(trials) - before} now) of "
            f"{plural(networks, 'variant')}, {plural(trained, 'run')} trained, {failed} failed, "
            f"in {duration(seconds)}",
        )
        picked_from = len(distinct(trials, self.searcher.finished))
        baseline = self.plan.variants[self.plan.study.baseline].fingerprint
        found = read_confirmed(parts.store, parts.search, trials, self.searcher.finished, baseline)
        for each in found:
            _say(self.console, _confirmed_line(each, picked_from, self.plan.study.baseline))
        parts.store.close()
        parts.board.close()
        self.store.close()
        return failed


@dataclass
class _Watching:
    """Shows progress, and lets the search see the validation accuracy of each epoch, nothing else."""

    shown: StudyProgress
    searcher: Searcher
    driver: Driver | None = None

    def started(self, cell: Cell) -> None:
        self.shown.started(cell)

    def resumed(self, cell: Cell, epoch: int) -> None:
        self.shown.resumed(cell, epoch)

    def given_back(self, cell: Cell, why: str) -> None:
        self.shown.given_back(cell, why)

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self.shown.epoch(cell, epoch)
        pruned = self.searcher.learned(str(cell.run_key), epoch.epoch, epoch.val_accuracy)
        if pruned and self.driver is not None:
            self.shown.given_back(cell, "pruned")
            self.driver.drop(str(cell.run_key))

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self.shown.ended(cell, result)

    def note(self, text: str) -> None:
        self.shown.note(text)


def _look_first(
    search: Search, maker: CellMaker, store: Store, trials: TrialStore, options: RunOptions,
    environment: dict[str, Any], console: Console,
) -> None:  # fmt: skip
    """Refuse a space in which nothing can be found, and measure speeds if they count."""
    if maker.space.size > LARGEST_CHECKED and not search.needs_speed:
        return
    cells, plan = maker.all(), maker.plan
    baseline = plan.variants[plan.study.baseline]
    networks = [cell.architecture for cell in cells] + [baseline]
    trials.add_architectures(networks)
    fingerprints = [network.fingerprint for network in networks]
    place = device_name(choose_device(options.device)) if search.needs_speed else None
    costs = trials.costs(fingerprints, place)
    if search.needs_speed and any(SPEED not in costs[f] for f in fingerprints):
        everything = (maker.named(baseline.fingerprint, 1), *cells)
        space_plan = replace(plan, cells=everything)
        protocol = quick(len(everything))
        measure_throughput(space_plan, store, options.device, environment, console, protocol)
        costs = trials.costs(fingerprints, place)
    check_constraints(search, maker, costs)


@contextmanager
def _alone(url: str, study: str) -> Any:
    """The only search of a study beside this database: one process asks, or trials would be asked twice."""
    folder = files_folder(url)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / f".search-{study}.lock", timeout=0).acquire()
    except Timeout:
        raise OutputError(
            f"another `ablate search` of {study} is under way on {shown(url)}: let it work, or "
            "end it first"
        ) from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
    with lock:
        yield


def _description(study: Study, search: Search, space: Space) -> str:
    return (
        f"**{study.question or study.name}**\n\n"
        f"{plural(space.size, 'point')}, {plural(search.seeds, 'seed')} for each trial. Accuracies are "
        "of validation images; the search never sees the test set.\n\n"
        f"Report: `reports/{study.name}/report.html` (`ablate report`) · training curves: "
        "[TensorBoard](http://127.0.0.1:6006/) while `ablate tensorboard` runs."
    )


def _confirmed_line(found: Confirmed, picked_from: int, baseline: str) -> str:
    text = (
        f"confirmed: {found.variant}: {fmt.accuracy(found.fresh)} % on {found.fresh.n} fresh seeds, "
        f"{100 * found.searched:.2f} % in the search that picked it from {picked_from}"
    )
    if found.effect is not None and found.effect.difference is not None:
        span = fmt.span(found.effect.low, found.effect.high)
        text += f"; {fmt.points(found.effect.difference)} points to {baseline} ({span})"
    return text


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
