"""How a user's attention is called: the channels of its place first, its other arguments are its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import nn

from ablate.errors import OptionError, StudyError
from ablate.study.options import REQUIRED, convert_value, no_option
from ablate.system.their_modules import find_theirs

CHANNELS = "channels"
"""The value of an option without a default that stands for the channels of its place: `oup = "channels"`."""

NO_CHANNELS = frozenset({
    "kernel", "kernels", "ksize", "k", "size", "reduction", "ratio", "rate", "groups", "group", "heads",
    "no", "use", "spatial", "pool", "pooling", "act", "activation", "norm", "bias", "dropout", "drop",
    "lambda", "gamma", "b", "eps", "height", "width", "h", "w", "stride", "dilation", "padding", "mode",
    "type", "name", "path", "cfg", "config", "args", "device", "dtype",
})  # fmt: skip
"""Words of a name that say that it is no number of channels."""

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def find_own(name: str) -> Callable[..., object]:
    """The class or function that a name of a user's attention stands for.

    Raises:
        StudyError: it may not be imported, cannot be, or is nothing that makes a module.
    """
    found = find_theirs(name)
    if isinstance(found, nn.Module):
        raise StudyError(f"{name} is a module already, not a class that builds one for each place")
    if not callable(found) or (isinstance(found, type) and not issubclass(found, nn.Module)):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise StudyError(f"{name} is {kind} that is no torch.nn.Module: name a class of modules")
    return found  # type: ignore[no-any-return]


def own_options(
    name: str, given: Mapping[str, Any], others: Collection[str] | None = None
) -> dict[str, Any]:
    """The options of a user's attention with their defaults, in its own order, and what **kwargs is given.
    Where other kinds are beside it, theirs are not for its **kwargs, and what it has not may be for them.

    Raises:
        OptionError: its constructor takes no channels, or there is an option that it has not or lacks.
        StudyError: as `find_own`.
    """
    parameters = _parameters(name, find_own(name))
    options = {key: each.default for key, each in _options(parameters).items()}
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        options |= {key: REQUIRED for key in given if key not in {*options, *(others or ())}}
    for key in given:
        if others is None and key not in options:
            raise OptionError(_no_option(name, key, options))
    missing = [key for key, default in options.items() if default is REQUIRED and key not in given]
    if missing:
        raise OptionError(
            f"{name} needs {', '.join(missing)}: give it in its [[grid]] table, {missing[0]} = …; as many as "
            f'the channels of its place are {missing[0]} = "{CHANNELS}"'
        )
    return options


def own_option_names(name: str) -> tuple[str, ...]:
    """The names of the options that a user's attention has.

    Raises:
        OptionError: its constructor takes no channels.
        StudyError: as `find_own`.
    """
    return tuple(_options(_parameters(name, find_own(name))))


def _no_option(name: str, key: str, options: Mapping[str, Any]) -> str:
    if key != "start":
        return no_option(name, key, options)
    return (
        f"{name} has no start: which of its layers must be zero for it to begin as the identity only its "
        "author knows; give its constructor an option for that, or leave start out"
    )


def named_arguments(name: str, channels: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a user's constructor takes them, beside the channels.

    Raises:
        OptionError: options that it does not take.
        StudyError: as `find_own`.
    """
    own_options(name, given)
    options = _options(_parameters(name, find_own(name)))
    return {key: _value(name, key, value, options, channels) for key, value in given.items()}


def _value(
    name: str, key: str, value: Any, options: Mapping[str, inspect.Parameter], channels: int
) -> Any:
    if key not in options:
        return value
    if value == CHANNELS and not isinstance(options[key].default, str):
        return channels
    return convert_value(name, key, value, options[key])


def _options(parameters: list[inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Those behind the channels."""
    first = next((each for each in parameters if each.kind in _BY_PLACE), None)
    return {each.name: each for each in parameters if each.kind in _BY_NAME and each is not first}


def _parameters(name: str, factory: Callable[..., object]) -> list[inspect.Parameter]:
    """Raises:
    OptionError: the first argument is no number of channels.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        raise StudyError(f"{name}: its arguments cannot be told; wrap it in a function") from None
    bare = inspect.getattr_static(factory, "__init__", None) is nn.Module.__init__
    first = next((each for each in parameters if each.kind in _BY_PLACE), None)
    anything = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if bare or (first is None and not anything):
        raise OptionError(f"{name} takes no channels: {_WRAP}")
    if first is not None and not _may_be_channels(first):
        raise OptionError(
            f"{name} takes {first.name!r} first, which is no number of channels: {_WRAP}"
        )
    return parameters


_WRAP = (
    "attention gets the channels of its place as its first argument; name a subclass whose "
    "__init__(self, channels, …) takes them and calls the other's"
)


def _may_be_channels(parameter: inspect.Parameter) -> bool:
    default = parameter.default
    words = set(parameter.name.lower().split("_"))
    whole = default in (REQUIRED, None) or type(default) is int
    return whole and not words & NO_CHANNELS
