"""A user's own metric: a plain function of labels and probabilities, called and held to what it must give."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from types import FunctionType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ablate.errors import OptionError, StudyError
from ablate.study.options import complete_known, convert_value, split_call
from ablate.system.software.imports import import_object, their_code
from ablate.system.software.modules import generators_of_its_own

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
CALLED_WITH = "a metric is a function of (labels, probabilities), arrays of (N,) and (N, classes)"
WITHIN = "a metric is a number of which more is better, 1 at best and never below -1"
ROUNDING = 1e-6
"""How far outside a value may be that was computed in floating point, of single precision too."""
MADE_UP_SEED = 0
FEWEST_MADE_UP = 24


@dataclass(frozen=True)
class OwnMetric:
    """A function of the user's by its name in a study, with the options that differ from their defaults."""

    name: str
    function: FunctionType
    options: Mapping[str, Any]

    def __call__(self, labels: Labels, probabilities: Probabilities) -> float:
        """Its value for images, of which both are copied: it may change what it gets.

        Shape: labels (N,), probabilities (N, classes).

        Raises:
            StudyError: it fails, or gives something else than a number from -1 to 1.
        """
        doing = f"{self.name}: computing it of {len(labels)} images"
        with generators_of_its_own(), their_code(doing):
            value = self.function(labels.copy(), probabilities.copy(), **self.options)
        return _checked(self.name, value)


def _checked(name: str, value: object) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, (bool, np.bool_)):
        _refuse(name, f"gives {_kind(value)}, not a number: end it with return float(…)")
    found = float(value)  # type: ignore[arg-type]
    if not math.isfinite(found):
        _refuse(name, f"gives {found}: {WITHIN}; give 0 where it has no value")
    if abs(found) > 1 + ROUNDING:
        _refuse(name, f"gives {found!r}: {WITHIN} (divide a percentage by 100)")
    return max(-1.0, min(1.0, found))


def _kind(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value)
    named = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    shape = getattr(value, "shape", None)
    return named if shape is None else f"{named} of shape {tuple(shape)}"


def _refuse(name: str, why: str) -> NoReturn:
    raise StudyError(f"{name} {why}")


def find_own_metric(text: str) -> OwnMetric:
    """The function that a study names, with its options.

    Raises:
        OptionError: it is not called as a metric is, or has not or lacks an option.
        StudyError: it may not be imported, cannot be, or is no plain function.
    """
    name, given = split_call(text)
    found = import_object(name)
    if not inspect.isfunction(found):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise StudyError(f"{name} is {kind}, not a plain function: {CALLED_WITH}")
    parameters = _options(name, found)
    known = {key: each.default for key, each in parameters.items()}
    complete_known(name, known, given)
    values = {key: convert_value(name, key, value, parameters[key]) for key, value in given.items()}
    other = {key: value for key, value in values.items() if repr(value) != repr(known[key])}
    return OwnMetric(text, found, other)


def _options(name: str, function: Callable[..., object]) -> dict[str, Parameter]:
    """Those behind labels and probabilities.

    Raises:
        OptionError: it does not take these two first.
    """
    parameters = list(inspect.signature(function).parameters.values())
    by_place = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    first = [each for each in parameters if each.kind in by_place][:2]
    if len(first) < 2:
        taken = ", ".join(each.name for each in parameters) or "nothing"
        raise OptionError(f"{name} takes {taken}: {CALLED_WITH}")
    if _says(first[0], "prob", "score", "logit", "pred") or _says(first[1], "label", "true"):
        raise OptionError(f"{name} takes {first[0].name} first: {CALLED_WITH}")
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    rest = [each for each in parameters if each.kind in by_name and each not in first]
    return {each.name: each for each in rest}


def _says(parameter: Parameter, *words: str) -> bool:
    return any(word in parameter.name.lower() for word in words)


def try_own_metric(metric: OwnMetric, classes: int) -> None:
    """Call it of made-up images of so many classes, also as a network answers that has learnt nothing: what
    would fail at the end of a run fails before the first.

    Raises:
        StudyError: it fails, gives no number from -1 to 1, or another one each time.
    """
    labels, probabilities = made_up(classes)
    value = _tried(metric, labels, probabilities, "made-up images")
    again = _tried(metric, labels, probabilities, "made-up images")
    if value != again:
        raise StudyError(
            f"{metric.name} gives {value!r} and {again!r} of the same images: what it draws must come from "
            "a generator with a seed"
        )
    of_one = np.zeros_like(probabilities)
    of_one[:, 0] = 1
    _tried(metric, labels, of_one, "made-up images, all of which a network says are of one class")


def _tried(metric: OwnMetric, labels: Labels, probabilities: Probabilities, of: str) -> float:
    try:
        return metric(labels, probabilities)
    except StudyError as error:
        raise StudyError(f"{error} (tried on {len(labels)} {of})") from error


def made_up(classes: int) -> tuple[Labels, Probabilities]:
    """Labels of every class, and probabilities that are mostly right."""
    draw = np.random.default_rng(MADE_UP_SEED)
    labels = np.arange(max(FEWEST_MADE_UP, 2 * classes), dtype=np.int64) % classes
    logits = draw.normal(size=(len(labels), classes)) + 2 * np.eye(classes)[labels]
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, raised / raised.sum(axis=1, keepdims=True)
