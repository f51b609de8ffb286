"""Optuna's samplers, pruners and distributions by the names of a study file. No CMA-ES: it unpickles."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from ablate.study.search import Parameter, Search

STARTUP_TRIALS = 4
"""Random trials before a model is asked. Optuna's 10 are half of a small space: 4 found the best of
`benchmarks/results/reduction.csv` more often than 3, 6, 8 or 10 did."""
POPULATION = 4
"""A generation of NSGA-II; Optuna's 50 are for budgets of thousands of trials. Of 4, 6, 8 and 10 it was
the best on the same table."""


def make_sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler for the next trial; the study's history is all the state that it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _SAMPLERS[search.sampler](seed)


def make_pruner(search: Search, epochs: int) -> optuna.pruners.BasePruner:
    """The pruner; its steps are epochs."""
    return _PRUNERS[search.pruner](epochs)


def distribution(parameter: Parameter) -> BaseDistribution:
    """Where a parameter's values come from."""
    if parameter.low is not None and parameter.high is not None:
        return IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    return CategoricalDistribution(parameter.choices)


_SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION),
    # Its points are enqueued in the space's own order (`mirror.py`).
    "grid": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}

_PRUNERS: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {
    "none": lambda _epochs: optuna.pruners.NopPruner(),
    "median": lambda _epochs: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(max_resource=epochs),
}
