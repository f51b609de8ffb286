"""One search in Optuna's storage: it suggests, and its dashboard shows. Everything in it is derived.

What a trial was and became stands in the results database first; here it follows. Where the two
differ after a kill, Optuna's study is made anew from the trials of the results database.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from ablate.errors import DatabaseError
from ablate.search.sampling import distribution, make_pruner, make_sampler
from ablate.search.space import Point, Space
from ablate.search.storage import close_storage
from ablate.store.writing.trials import TrialRow
from ablate.study import Option, stream_seed
from ablate.study.search import Parameter, Search
from ablate.system.messages.text import one_line

OPTUNA_STATES = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "raced": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""A raced trial has the values of the seeds that it had: fewer, but its own."""

LOST = optuna.trial.create_trial(
    state=TrialState.FAIL, user_attrs={"ended": "the results database does not have this trial"}
)
"""In the place of a number that the results database lacks."""

GENERATION = ":generation"
"""How the names end under which Optuna keeps a sampler's state with a trial."""


@dataclass(frozen=True)
class Outcome:
    """What Optuna is told of a trial, and what its dashboard shows beside it.

    `values` are None where there are none, `curve` is the validation accuracy by epoch of its first
    seed, `constraints` are kept where they are 0 or less.
    """

    values: tuple[float, ...] | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)


class MirrorLostError(DatabaseError):
    """Optuna's study, or the storage that it is in, was deleted or changed by somebody else, or cannot be
    used.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Optuna's copy of this search cannot be used: {reason}; the trials themselves stay: mend that, "
            "or give another place with --storage, and search again"
        )
        self.reason = reason


@contextlib.contextmanager
def _told_if_lost() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, optuna.exceptions.OptunaError) as error:
        # What Optuna raises for a study or a trial that it does not find, and for its database's errors.
        raise MirrorLostError(one_line(error)) from error


class OptunaMirror:
    """Ask and tell for one search. One process at a time asks."""

    def __init__(
        self, storage: optuna.storages.BaseStorage, name: str, search: Search, space: Space,
        epochs: int, open_again: Callable[[], optuna.storages.BaseStorage] | None = None,
    ) -> None:  # fmt: skip
        """`open_again` makes a storage that was deleted anew.

        Raises:
            MirrorLostError: the storage cannot be used; so do all that change it.
        """
        self._open_again = open_again
        self._storage, self._name, self._search, self._space = storage, name, search, space
        self._epochs = epochs
        self._described: tuple[str, dict[str, str]] | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = self._open()

    @property
    def study(self) -> optuna.Study:
        """Optuna's study."""
        return self._study

    def close(self) -> None:
        """Close the storage's connections."""
        close_storage(self._storage)

    @_told_if_lost()
    def matches(self, rows: Sequence[TrialRow], verdicts: Mapping[int, Outcome]) -> bool:
        """Whether Optuna has exactly these trials, in these states and at these points, with the values and
        constraints of these verdicts.
        """
        mine = self._study.get_trials(deepcopy=False)
        numbered = {row.number: row for row in rows}
        return len(mine) == _how_many(rows) and all(
            _is_like(each, numbered.get(each.number), verdicts) for each in mine
        )

    def reopen(self) -> None:
        """Open the storage again, and make it where it is gone.

        Raises:
            DatabaseError: it cannot be made or used.
        """
        if self._open_again is not None:
            close_storage(self._storage)
            self._storage = self._open_again()
        self._study = self._open()

    @_told_if_lost()
    def rebuild(self, rows: Sequence[TrialRow], outcomes: Mapping[int, Outcome]) -> None:
        """Make Optuna's study anew from the trials of the results database."""
        optuna.delete_study(study_name=self._name, storage=self._storage)
        self._study = self._open()
        numbered = {row.number: row for row in rows}
        for number in range(_how_many(rows)):
            row = numbered.get(number)
            self._study.add_trial(LOST if row is None else self._frozen(row, outcomes[number]))
        if self._described is not None:
            self.describe(*self._described)

    @_told_if_lost()
    def draft(self) -> OptunaMirror:
        """A copy in memory: what is asked and told there, the search itself never hears of.

        Raises:
            MirrorLostError: as `add`, `report` and `tell` do.
        """
        memory = optuna.storages.InMemoryStorage()
        copy = OptunaMirror(memory, self._name, self._search, self._space, self._epochs)
        copy._study.add_trials(self._study.get_trials(deepcopy=False))
        return copy

    def ask(self, number: int, attempt: int = 0) -> tuple[Point, dict[str, Any]]:
        """A point for a trial, and what of the sampler's state belongs to it; of a draft.

        The sampler is seeded from the trial's number, so that a search that was interrupted asks
        what it would have asked.
        """
        again = (attempt,) if attempt else ()
        seed = stream_seed(self._search.sampler_seed, "ask", number, *again) % 2**32
        self._study.sampler = make_sampler(self._search, seed)
        with _quiet():
            trial = self._study.ask()
            point = self._space.ask(lambda name, p: _suggest(trial, name, p))
        attributes = self._storage.get_trial_system_attrs(self._trial_id(trial.number))
        return point, {k: v for k, v in attributes.items() if k.endswith(GENERATION)}

    def answer(self, number: int, first: TrialRow, outcome: Callable[[TrialRow], Outcome]) -> None:
        """Tell a draft's trial what the first trial of its network has given; nothing while that runs."""
        if first.state != "running":
            self.tell(replace(first, number=number), outcome(first))

    def refuse(self, number: int) -> None:
        """Tell a draft's trial that its point cannot be built: pruned before its first epoch."""
        with _quiet():
            self._study.tell(number, state=TrialState.PRUNED)

    @_told_if_lost()
    def add(self, row: TrialRow) -> None:
        """A trial has begun."""
        self._study.add_trial(self._frozen(row, Outcome(None, {"variant": row.variant})))

    @_told_if_lost()
    def report(self, number: int, epoch: int, accuracy: float) -> bool:
        """Show how a running trial's first seed learns; True if the pruner would stop it there."""
        if len(self._search.objectives) > 1:
            return False
        trial_id = self._trial_id(number)
        self._storage.set_trial_intermediate_value(trial_id, epoch, accuracy)
        if self._search.pruner == "none":
            return False
        self._study.pruner = make_pruner(self._search, self._epochs)
        return optuna.trial.Trial(self._study, trial_id).should_prune()

    @_told_if_lost()
    def tell(self, row: TrialRow, outcome: Outcome) -> None:
        """End a trial."""
        trial_id = self._trial_id(row.number)
        if len(self._search.objectives) == 1:
            for epoch, accuracy in outcome.curve.items():
                self._storage.set_trial_intermediate_value(trial_id, epoch, accuracy)
        for name, value in outcome.attributes.items():
            self._storage.set_trial_user_attr(trial_id, name, value)
        trial = optuna.trial.Trial(self._study, trial_id)
        for name, excess in outcome.constraints.items():
            trial.set_constraint(name, excess)
        state = _state(row, outcome)
        values = outcome.values if state is TrialState.COMPLETE else None
        with _quiet():
            self._study.tell(row.number, values, state=state)

    @_told_if_lost()
    def describe(self, text: str, attributes: Mapping[str, str] | None = None) -> None:
        """What the dashboard says of the search: its note, and the attributes on its first page. They stay
        when the study is made anew.
        """
        from optuna_dashboard import save_note

        self._described = text, dict(attributes or {})
        save_note(self._study, text)
        for name, value in (attributes or {}).items():
            self._study.set_user_attr(name, value)

    @_told_if_lost()
    def _open(self) -> optuna.Study:
        with _quiet():
            study = optuna.create_study(
                storage=self._storage,
                study_name=self._name,
                directions=list(self._search.directions),
                pruner=make_pruner(self._search, self._epochs),
                load_if_exists=True,
            )
            if study.metric_names != (names := _metric_names(self._search)):
                study.set_metric_names(names)
        return study

    def _trial_id(self, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self._name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def _frozen(self, row: TrialRow, outcome: Outcome) -> FrozenTrial:
        axes = self._space.axes_of(row.point)
        state = _state(row, outcome)
        single = len(self._search.objectives) == 1
        values = outcome.values if state is TrialState.COMPLETE else None
        if state is TrialState.PRUNED and single and outcome.curve:
            values = (outcome.curve[max(outcome.curve)],)  # as Optuna itself does when told
        frozen = optuna.trial.create_trial(
            state=state,
            values=values,
            params=dict(row.point),
            distributions={name: distribution(axes[name]) for name in row.point},
            user_attrs=dict(outcome.attributes),
            system_attrs={k: v for k, v in row.sampler_state.items() if k.endswith(GENERATION)},
            intermediate_values=dict(outcome.curve) if single else {},
            constraints=dict(outcome.constraints),
        )
        frozen.datetime_start = _local(row.asked_at)
        frozen.datetime_complete = _local(row.ended_at) if row.ended_at else None
        return frozen


def _how_many(rows: Sequence[TrialRow]) -> int:
    """Trials of Optuna's are numbered without a gap; those of a database may lack some."""
    return max((row.number for row in rows), default=-1) + 1


def _state(row: TrialRow, outcome: Outcome) -> TrialState:
    """A trial whose values are gone is no complete one."""
    state = OPTUNA_STATES[row.state]
    gone = state is TrialState.COMPLETE and outcome.values is None
    return TrialState.FAIL if gone else state


def _is_like(mine: FrozenTrial, row: TrialRow | None, verdicts: Mapping[int, Outcome]) -> bool:
    if row is None:
        return mine.state is LOST.state and not mine.params
    verdict = verdicts[row.number]
    values = None if mine.state is not TrialState.COMPLETE else tuple(mine.values)
    return (
        mine.state is _state(row, verdict)
        and dict(mine.params) == dict(row.point)
        and values == verdict.values
        and dict(mine.constraints) == dict(verdict.constraints)
    )


def _metric_names(search: Search) -> list[str]:
    """What the dashboard calls the objectives: its "best" is the best of these."""
    return [
        f"{name}, not confirmed" if name == search.quality else name for name in search.objectives
    ]


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Option:
    if parameter.low is not None and parameter.high is not None:
        return trial.suggest_int(
            name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
        )
    value = trial.suggest_categorical(name, parameter.choices)
    return cast(Option, value)


def _local(text: str) -> datetime:
    """A time as Optuna keeps it: local and without a zone."""
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns of every function that it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
