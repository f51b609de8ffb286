"""From the results database to what a report shows of a search. No torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from ablate.result.search import Called, ConfirmedResult, SearchResult, TrialResult
from ablate.search import judge
from ablate.search.confirm import Confirmed, Finished, candidates, confirmed, distinct, fresh_seeds
from ablate.search.sampling import distribution
from ablate.search.speeds import costs_of
from ablate.store.writing.trials import RunSeen, SearchKey, TrialRow, TrialStore
from ablate.study import Option
from ablate.study.position import pieces
from ablate.study.search import Parameter, Search, direction_of

FEWEST_FOR_IMPORTANCE = 4


def read_search(
    store: TrialStore,
    key: SearchKey,
    search: Search,
    names: Mapping[str, Called] | None = None,
) -> SearchResult | None:
    """What there is to tell of a search; None if no trial has ended.

    `names` are the study's names of its networks by fingerprint: a trial is told under them, and at the
    values that they say.
    """
    rows = [_as_called(row, (names or {}).get(row.fingerprint)) for row in store.trials(key)]
    finished = finished_trials(store, search, rows)
    told = _trials(store, search, rows)
    if not told:
        return None
    numbers = distinct(rows, finished)
    quality = search.objectives.index(search.quality)
    found = read_confirmed(store, search, rows, finished)
    return SearchResult(
        sampler=search.sampler,
        pruner=search.pruner,
        racing=search.racing,
        seeds=search.seeds,
        objectives=search.objectives,
        trials=told,
        importances=importances(search, told),
        confirmed=tuple(map(_confirmed_result, found)),
        candidates=len(numbers),
        grid=tuple(finished[n][1][quality] for n in numbers),
    )


def _as_called(row: TrialRow, called: Called | None) -> TrialRow:
    if called is None:
        return row
    point = {name: _value(name, value, called, row.point) for name, value in row.point.items()}
    return replace(row, variant=called.variant, point=point)


def _value(name: str, asked: Option, called: Called, point: Mapping[str, Option]) -> Option:
    """The value of a parameter under a network's name; `reduction@pool1` is one part's of several, and parts
    that the point has no such value of have no such option.
    """
    if name in ("attention", "position"):
        return called.attention if name == "attention" else called.position or asked
    option, _, part = name.partition("@")
    value = called.options.get(option, asked)
    parts = [each for each in pieces(called.position or "") if f"{option}@{each}" in point]
    if not part or not isinstance(value, str) or part not in parts:
        return value
    values = value.split("+")
    own = values[parts.index(part) % len(values)]
    return int(own) if own.isdecimal() else own


def finished_trials(store: TrialStore, search: Search, rows: Sequence[TrialRow]) -> Finished:
    """The search's metric by seed, and objectives, of the trials that had all their seeds."""
    costs = costs_of(store, search, rows)
    done = [
        row
        for row in rows
        if row.state == "complete" and judge.is_known(search, costs[row.fingerprint])
    ]
    seen = store.seen([key for row in done for key in row.run_keys], search.metric)
    found = {}
    for row in done:
        qualities = _qualities(row, seen)
        if qualities and len(qualities) == len(row.run_keys):  # else one of its runs is gone
            found[row.number] = (
                qualities,
                judge.values(search, qualities, costs[row.fingerprint]),
            )
    return found


def _qualities(row: TrialRow, seen: Mapping[str, RunSeen]) -> tuple[float, ...]:
    """The metric of those of a trial's runs that have one."""
    runs = [seen[key] for key in row.run_keys if key in seen]
    return tuple(run.quality for run in runs if run.quality is not None)


def read_confirmed(
    store: TrialStore, search: Search, rows: Sequence[TrialRow], finished: Finished
) -> list[Confirmed]:
    """The candidates with what their fresh seeds have given so far."""
    quality = search.objectives.index(search.quality)
    picked = [rows[number] for number in candidates(search, rows, finished)]
    seeds = fresh_seeds(search)
    found = (
        confirmed(
            row,
            finished[row.number][1][quality],
            store.fresh(row.run_keys[0], row.fingerprint, seeds, search.metric),
        )
        for row in picked
    )
    return [each for each in found if each is not None]


def importances(search: Search, trials: Sequence[TrialResult]) -> dict[str, dict[str, float]]:
    """How much each parameter explains of the search's metric, by method; empty before there is something.

    fANOVA knows only parameters that every trial has.
    """
    quality = search.objectives.index(search.quality)
    by_network = {t.fingerprint: t for t in trials if t.values is not None}
    useful = list(by_network.values())  # each once, as the slices show them
    if len(useful) < FEWEST_FOR_IMPORTANCE or len({t.values for t in useful}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction_of(search.quality))
    kinds = _kinds(search.parameters, useful)
    for trial in useful:
        study.add_trial(_as_optuna_trial(kinds, trial, quality))
    found = {}
    for name, evaluator in _evaluators().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        if shares:
            found[name] = {parameter: float(share) for parameter, share in shares.items()}
    return found


def _evaluators() -> dict[str, Any]:
    """By name. Optuna loads scikit-learn only when it makes them, which takes a second or three."""
    return {
        "fANOVA": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "PED-ANOVA": optuna.importance.PedAnovaImportanceEvaluator(),
    }


def _kinds(
    parameters: Mapping[str, Parameter], trials: Sequence[TrialResult]
) -> dict[str, BaseDistribution]:
    """Where the values of each parameter come from: its space, and names from outside of it."""
    seen: dict[str, dict[Option, None]] = {}
    for trial in trials:
        for name, value in trial.point.items():
            seen.setdefault(name, {})[value] = None
    kinds = {}
    for name, values in seen.items():
        parameter = parameters[name.partition("@")[0]]
        known = parameter.choices
        if all(value in known for value in values):
            kinds[name] = distribution(parameter)
        else:  # a grid calls a network by a value that the space does not have
            kinds[name] = CategoricalDistribution(tuple(dict.fromkeys([*known, *values])))
    return kinds


def _as_optuna_trial(
    kinds: Mapping[str, BaseDistribution], trial: TrialResult, quality: int
) -> optuna.trial.FrozenTrial:
    values = trial.values or ()
    return optuna.trial.create_trial(
        params=dict(trial.point),
        distributions={name: kinds[name] for name in trial.point},
        value=values[quality],
    )


def _trials(store: TrialStore, search: Search, rows: Sequence[TrialRow]) -> tuple[TrialResult, ...]:
    ended = sorted((r for r in rows if r.ended_at), key=lambda r: (str(r.ended_at), r.number))
    costs = costs_of(store, search, rows)
    seen = store.seen([key for row in ended for key in row.run_keys], search.metric)
    values: dict[int, tuple[float, ...]] = {}
    for row in ended:
        known = _qualities(row, seen)
        is_whole = bool(known) and len(known) == len(row.run_keys)
        has_costs = judge.is_known(search, costs[row.fingerprint])
        if row.state in ("complete", "raced") and is_whole and has_costs:
            values[row.number] = judge.values(search, known, costs[row.fingerprint])
    complete = [row.number for row in ended if row.state == "complete" and row.number in values]
    best = {complete[i] for i in judge.front(search, [values[n] for n in complete])}
    spent, told = 0, []
    for row in ended:
        spent += len(row.trained)
        told.append(
            TrialResult(
                number=row.number,
                variant=row.variant,
                fingerprint=row.fingerprint,
                state=row.state,
                point=row.point,
                values=values.get(row.number),
                seeds=len(row.run_keys),
                trained=len(row.trained),
                spent=spent,
                on_front=row.number in best,
            )
        )
    return tuple(told)


def _confirmed_result(found: Confirmed) -> ConfirmedResult:
    fresh = found.fresh
    return ConfirmedResult(
        variant=found.variant,
        fingerprint=found.fingerprint,
        searched=found.searched,
        mean=fresh.mean,
        low=fresh.low,
        high=fresh.high,
        n=fresh.n,
    )
