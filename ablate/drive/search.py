"""`ablate search`: ask Optuna, train what it asks for, confirm the best."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from ablate.drive.costs import measure_throughput
from ablate.drive.driver import Driver
from ablate.drive.options import RunOptions, choose_training
from ablate.drive.pictures import keep_pictures
from ablate.drive.prepare import check_places, prepare_plan, tell_namesakes
from ablate.drive.progress import StudyProgress
from ablate.drive.run import retry_failed
from ablate.drive.search_words import (
    confirmed_line,
    description,
    failed_line,
    named_study,
    told_best,
)
from ablate.drive.watching import Watching
from ablate.errors import StudyError
from ablate.execute import make_executor
from ablate.measure.throughput import quick
from ablate.plan import Cell, Plan
from ablate.search.cells import LARGEST_CHECKED, LARGEST_COUNTED, CellMaker, check_constraints
from ablate.search.confirm import by_number, candidates, distinct, fresh_seeds
from ablate.search.mirror import OptunaMirror
from ablate.search.parts import Parts
from ablate.search.record import read_confirmed
from ablate.search.searcher import Searcher
from ablate.search.space import Space
from ablate.search.speeds import place_of
from ablate.search.storage import open_storage, storage_url
from ablate.stats import Effect, Sample, words
from ablate.stats.fresh import by_kind
from ablate.stats.looks import ANYTIME, FIXED, any_time, fresh_of, margin_of
from ablate.stats.selection import told_fresh
from ablate.store.connection.engine import database_exists
from ablate.store.connection.searching import only_search
from ablate.store.writing.looks import new_look
from ablate.store.writing.store import Store
from ablate.store.writing.trials import Place, SearchKey, TrialStore, search_key
from ablate.study import Study
from ablate.study.metrics import ACCURACY, metric_named
from ablate.study.search import SPEED, Search, last_of_grid
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.messages.console import own_console, say
from ablate.system.messages.text import duration, plural


@dataclass(frozen=True)
class SearchOptions:
    """Where Optuna keeps its copy, whether only to make it anew, and the file of the study."""

    storage: str | None = None
    rebuild: bool = False
    file: Path | None = None


def search_study(
    study: Study, data: Path | None, url: str, options: RunOptions, where: SearchOptions
) -> int:
    """Search until the budget is spent, then confirm the best; returns how many trials and how many runs that
    confirm have failed.

    Raises:
        AblateError: the study, the data, the device, the database or the storage must be changed.
    """
    console = own_console()
    search = asked_search(study)
    if study.data.folds is not None:
        raise StudyError(
            f"ablate search asks for one run of each seed, and with data.folds = {study.data.folds} a seed "
            "is several: leave data.folds out to search, and run what it finds with folds"
        )
    space = Space(study.backbone, search.parameters)
    # Before anything is trained or written: a device or data that is missing, a storage that is refused.
    copy = storage_url(where.storage, url)
    machine = find_machine(options.device, study.recipe.precision)
    plan = prepare_plan(study, data, console, machine, options.workers, probe=options.probe)
    study = plan.study  # its baseline by its whole name
    if database_exists(url):
        Store(url).close()  # a file that is no database of ours ends it before anything is made
    storage = open_storage(copy, create=True)
    maker = CellMaker(plan, space)
    with only_search(url, study.name):
        store, trials = Store(url), TrialStore(url)
        tell_namesakes(plan, url, console)
        check_places(plan, store, url, console)
        store.register(plan)
        content = str(plan.dataset.content_hash())
        brought = plan.sources, plan.weights_sha256
        key = search_key(study, plan.dataset.label, content, *brought)
        place = Place(machine.name, machine.precision.name, study.recipe.batch_size)
        anew = False
        if where.rebuild:
            place = place_of(trials, trials.trials(key)) or place
        else:
            if left_out := maker.check_points():
                say(left_out, console)
            anew = _check_space(search, maker, store, trials, machine, place, console)
        mirror = OptunaMirror(
            storage, mirror_name(key), search, space, study.recipe.epochs,
            lambda: open_storage(copy, create=True),
        )  # fmt: skip
        parts = Parts(
            plan, search, space, key, trials, mirror, maker, lambda text: say(text, console),
            place if search.needs_speed else None, named_study(where.file, url), anew,
            options.max_runs if options.retry_failed else 0, goes_on=not where.rebuild,
        )  # fmt: skip
        searcher = Searcher(parts)
        mirror.describe(description(study, search, space, parts.told), {"best": told_best(search)})
        if where.rebuild:
            searcher.rebuild()
            say(f"{plural(len(searcher.trials), 'trial')} written to {copy}", console)
            return 0
        return _Work(plan, searcher, maker, store, machine, console, options).run()


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


def mirror_name(key: SearchKey) -> str:
    """The name of a search in Optuna's dashboard."""
    marks = (key.setting, key.search, key.dataset_hash)
    return f"{key.study} on {key.dataset} ({'-'.join(mark[:4] for mark in marks)})"


@dataclass
class _Work:
    """One invocation of a search, from its first question to its conclusion."""

    plan: Plan
    searcher: Searcher
    maker: CellMaker
    store: Store
    machine: Machine
    console: Console
    options: RunOptions
    _confirming: list[Cell] | None = field(init=False, default=None)

    def run(self) -> int:
        study, search, options = self.plan.study, self.searcher.parts.search, self.options
        executor = make_executor(options.executor, options.workers, options.where(self.machine))
        before = len(self.searcher.trials)
        self._announce(executor.slots, before)
        started = time.monotonic()
        # At most: what is asked for again costs nothing.
        networks = min(search.trials or 0, self.searcher.parts.space.size)
        expected = networks * search.seeds + search.confirm * search.confirm_seeds
        asked = replace(self.plan, cells=tuple(self.maker.one_of_each()))
        # Whoever picks by what stands here picks as the search does.
        progress = StudyProgress(
            self.console, expected, study.recipe.epochs, executor.slots, show_test=False
        )
        with executor, progress:
            how = choose_training(options, asked, self.store, self.machine, executor, progress.note)
            nothing = replace(self.plan, cells=())
            watching = Watching(progress, self.searcher)
            driver = Driver(nothing, self.store, executor, watching, how, self.feed)
            watching.driver = driver
            driver.run()
        keep_pictures(self.plan, self.store, self.console)
        return self._conclude(before, time.monotonic() - started)

    def feed(self, driver: Driver) -> bool:
        """Give the driver what the search asks for, and at its end what confirms it."""
        parts = self.searcher.parts
        cells, again = self.searcher.more(driver.slots)
        driver.add(cells)
        if not cells and not again and self.searcher.idle and self._confirming is None:
            self._confirming = self._to_confirm()
            parts.store.add_cells(self.plan, self._confirming)
            if self.options.retry_failed:
                most = self.options.max_runs
                left = None if most is None else most - driver.taken
                retry_failed(self.store, [str(cell.run_key) for cell in self._confirming], left)
            driver.add(self._confirming)
        return again

    def _to_confirm(self) -> list[Cell]:
        parts, seeds = self.searcher.parts, fresh_seeds(self.searcher.parts.search)
        picked = candidates(parts.search, self.searcher.trials, self.searcher.finished)
        if not picked:
            return []
        asked = by_number(self.searcher.trials)
        networks = [asked[number].fingerprint for number in picked]
        networks.append(self.plan.variants[self.plan.study.baseline].fingerprint)
        return [self.maker.named(network, seed) for seed in seeds for network in networks]

    def _failed_to_confirm(self) -> list[str]:
        """A line for each run with a fresh seed that has failed, now or before."""
        parts, cells = self.searcher.parts, self._confirming or []
        seen = parts.store.seen([str(cell.run_key) for cell in cells], parts.search.metric)
        runs = ((cell, seen.get(str(cell.run_key))) for cell in cells)
        return [
            failed_line(parts.search, cell, run)
            for cell, run in runs
            if run is not None and run.status.is_over and run.quality is None
        ]

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
        say(
            f"{self.plan.study.name}: searching {plural(space.size, 'point')} with {search.sampler}, "
            f"{plural(search.seeds, 'seed')} each, at most {' or '.join(budget)}{so_far}, "
            f"{slots} at a time",
            self.console,
        )

    def _conclude(self, before: int, seconds: float) -> int:
        parts, trials = self.searcher.parts, self.searcher.trials
        trained = sum(len(row.trained) for row in trials)
        failed = sum(row.state == "failed" for row in trials)
        networks = len({row.fingerprint for row in trials})
        say(
            f"{self.plan.study.name}: {plural(len(trials), 'trial')} ({len(trials) - before} now) of "
            f"{plural(networks, 'variant')}, {plural(trained, 'run')} trained, {failed} failed, "
            f"in {duration(seconds)}",
            self.console,
        )
        unconfirmed = self._failed_to_confirm()
        for line in unconfirmed:
            say(line, self.console)
        if failed or unconfirmed:
            say("--retry-failed trains runs that failed again", self.console)
        if parts.space.size > LARGEST_COUNTED and self.maker.problems:
            say(self.maker.told_problems(self.maker.problems), self.console)
        picked_from = len(distinct(trials, self.searcher.finished))
        found = read_confirmed(parts.store, parts.search, trials, self.searcher.finished)
        by_accuracy = self.plan.study.metric == ACCURACY
        verdicts = self._verdicts() if found and by_accuracy else {}
        for each in found:
            say(confirmed_line(parts.search, each, picked_from), self.console)
            name = self.maker.named(each.fingerprint, 1).variant.name
            if name in verdicts:
                say(f"confirmed: {words.claim(verdicts[name])}", self.console)
        if found and not by_accuracy:
            title = metric_named(self.plan.study.metric).title
            say(f"`ablate report` says what test images say of them, by {title}", self.console)
        if found:
            say(told_fresh(metric_named(parts.search.metric).title), self.console)
        parts.store.close()
        parts.mirror.close()
        self.store.close()
        return failed + len(unconfirmed)

    def _verdicts(self) -> dict[str, Effect]:
        """Of everybody who has fresh seeds, by these and test images, when all has been asked and trained.
        They are shown: that is a look.
        """
        study, plan = self.plan.study, self.plan
        key = (study.name, str(plan.dataset.content_hash()), study.setting)
        standing, looks = self.store.standing(key), self.store.looks(key)
        samples = {study.baseline: Sample({}), **standing.samples}
        kinds = by_kind(samples, study.baseline, plan.variants, last_of_grid(study.seeds))
        margin = margin_of(looks, study.equivalence_margin)
        effects = kinds.confirmed(margin)
        if effects:
            # What the study plans of its grid's variants, the baseline among them, are other seeds.
            n = {
                fresh_of(name) if name in plan.variants else name: len(each.scores)
                for name, each in kinds.fresh.items()
            }
            rule = ANYTIME if any_time(looks) else FIXED
            look = new_look(rule, "search", n, n, margin, len(effects), standing.finished)
            self.store.add_look(key, look)
        return effects


def _check_space(
    search: Search, maker: CellMaker, store: Store, trials: TrialStore, machine: Machine,
    place: Place, console: Console,
) -> bool:  # fmt: skip
    """Refuse a space in which nothing can be found, and measure speeds if they count; whether they were."""
    if maker.space.size > LARGEST_CHECKED and not search.needs_speed:
        return False
    cells, plan = maker.all(), maker.plan
    baseline = plan.variants[plan.study.baseline]
    networks = [cell.architecture for cell in cells] + [baseline]
    trials.add_architectures(networks)
    fingerprints = [network.fingerprint for network in networks]
    costs = trials.costs(fingerprints, place)
    missing = search.needs_speed and any(SPEED not in costs[f] for f in fingerprints)
    if missing:
        everything = (maker.named(baseline.fingerprint, 1), *cells)
        space_plan = replace(plan, cells=everything)
        protocol = quick(len(everything))
        measure_throughput(space_plan, store, machine, console, protocol)
        costs = trials.costs(fingerprints, place)
    check_constraints(search, maker, costs)
    return missing
