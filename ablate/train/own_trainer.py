"""A trainer of the user's as a study names it: with its options, and proven where it trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from ablate.errors import OptionError
from ablate.identity.own_function import (
    FunctionProof,
    check_function,
    name_function,
    prove_function,
)
from ablate.result.named import NamedFunction
from ablate.study.options import check_given, convert_value, no_option, split_call
from ablate.system.their_modules import find_theirs
from ablate.train.beside import Watched

KIND = "trainer"
Function = Callable[..., Generator[Any, Watched, Any]]
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class OwnTrainer:
    """A trainer of the user's by its name, its function, and the options that it is given."""

    called: str
    function: Function
    options: Mapping[str, Any] = field(default_factory=dict)


def name_trainer(called: str) -> NamedFunction:
    """What to prove of a trainer that is planned, as `mypkg.train:distil(alpha=0.5)`.

    Raises:
        StudyError: it may not be imported, cannot be, or is no generator function.
        OptionError: an option that it does not have or lacks.
    """
    return name_function(KIND, called, *_find(called))


def prove_trainer(named: NamedFunction) -> tuple[OwnTrainer, FunctionProof]:
    """The trainer as this process has it, which is the one that was named.

    Raises:
        CodeChangedError: it is another, or cannot be imported any more.
    """
    proof = prove_function(named, lambda: _find(named.name))
    function, options = _find(named.name)
    return OwnTrainer(split_call(named.name)[0], function, options), proof


def _find(called: str) -> tuple[FunctionType, dict[str, Any]]:
    name, given = split_call(called)
    function = check_function(name, find_theirs(name))
    if not inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise OptionError(
            f"{name} is no generator function: a trainer yields at the end of each epoch, "
            "`for epoch in run.epochs: …; yield loss`"
        )
    return function, _options(name, function, given)


def _options(name: str, function: FunctionType, given: dict[str, Any]) -> dict[str, Any]:
    """What the function is called with beside the run, which is its first argument.

    Raises:
        OptionError: it takes no run, or an option that it does not have or lacks.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in _BY_PLACE:
        raise OptionError(f"{name} takes no run: write def {function.__name__}(run, *, …)")
    others = parameters[1:]
    if any(each.kind is each.VAR_KEYWORD for each in others):
        return given
    known = {each.name: each for each in others if each.kind in _BY_NAME}
    for key in given:
        if key not in known:
            raise OptionError(no_option(name, key, known))
    check_given(name, {key: each.default for key, each in known.items()}, given)
    return {key: convert_value(name, key, value, known[key]) for key, value in given.items()}
