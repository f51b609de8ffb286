"""Options of the things a study names: given by keyword, checked against the signature, named in full."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from ablate.errors import OptionError, nearest
from ablate.study.toml import parse_toml

CALL = re.compile(r"(?P<name>[^()]+)(?:\((?P<options>.*)\))?", re.DOTALL)
REQUIRED = inspect.Parameter.empty
"""The default of an argument that has none."""

LONGEST_COUNT = 18
"""Digits of a whole number that stands in text: none is larger, and Python reads none of more than 4,300."""
_PYTHON = {"True": "write true", "False": "write false", "None": "leave the option out"}
_OPENING, _CLOSING = "([{", ")]}"


def keyword_options(kind: Callable[..., Any]) -> dict[str, Any]:
    """The options of a class or function: its keyword-only arguments with their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def complete_options(
    name: str,
    kind: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    by_part: bool = False,
    hint: str = "",
) -> dict[str, Any]:
    """All options of `kind`, in its own order, with defaults for those that are not given.

    With `by_part` a whole number may also be text with one for each part of a position: `"4+16"`.
    `hint` ends the line about an option that `kind` does not have.

    Raises:
        OptionError: an option that `kind` does not have, a missing one, or a value of another type.
    """
    return complete_known(name, keyword_options(kind), given, by_part=by_part, hint=hint)


def complete_known(
    name: str,
    known: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    by_part: bool = False,
    hint: str = "",
) -> dict[str, Any]:
    """The same of options that are known by their names and defaults, without what takes them."""
    for key, value in given.items():
        if key not in known:
            raise OptionError(f"{no_option(name, key, known)}{hint}")
        if not (by_part and type(known[key]) is int and is_by_part(value)):
            check_value(name, key, value, known[key])
    check_given(name, known, given)
    return {key: given.get(key, default) for key, default in known.items()}


def no_option(name: str, key: str, known: Mapping[str, Any]) -> str:
    """The line about an option that is none of the known ones."""
    has = f"it takes {', '.join(known)}" if known else "it takes no options"
    return f"{name} takes no {key!r}{nearest(key, known)}; {has}"


def check_given(name: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse a call that lacks an option without a default.

    Raises:
        OptionError: names all that are missing.
    """
    missing = [key for key, default in known.items() if default is REQUIRED and key not in given]
    if missing:
        wanted = ", ".join(f"{key}=…" for key in missing)
        raise OptionError(f"{name} needs {', '.join(missing)}: write {name}({wanted})")


def check_value(name: str, key: str, value: object, default: object) -> None:
    """Refuse a value of another type than the default's, if that is a type that TOML has.

    Raises:
        OptionError: names the type.
    """
    wanted = list if isinstance(default, tuple) else type(default)
    if wanted not in (bool, int, float, str, list, dict) or type(value) is wanted:
        return
    if not (wanted is float and type(value) is int):
        word = "an array, [1, 2]," if wanted is list else f"of type {wanted.__name__},"
        raise OptionError(f"{name}: {key} must be {word} not {value!r}")


def convert_value(name: str, key: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A value as a function of the user's takes it: arrays as tuples, names as members of an Enum.

    Raises:
        OptionError: a value of another type than the default's, or no member.
    """
    default = parameter.default
    if isinstance(default, Enum):
        return _member(name, key, value, type(default))
    check_value(name, key, value, default)
    as_tuple = isinstance(default, tuple) or re.match(r"(typing\.)?[tT]uple\b", _words(parameter))
    return _tuples(value) if as_tuple else value


def is_by_part(value: object) -> bool:
    """Whether a value is text with a whole number for each of several parts: `"4+16"`."""
    return (
        isinstance(value, str)
        and "+" in value
        and all(_is_count(part.strip()) for part in value.split("+"))
    )


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= LONGEST_COUNT


def split_call(text: str) -> tuple[str, dict[str, Any]]:
    """`"cbam_cnn(width=0.5)"` → the name and its options; a value is TOML, or else a plain string.

    Raises:
        OptionError: what stands in the brackets is no list of KEY=VALUE.
    """
    call = CALL.fullmatch(text.strip())
    if call is None:
        raise OptionError(f"{text!r}: write NAME or NAME(option=value, …)")
    options: dict[str, Any] = {}
    for part in _pieces(text, call["options"] or ""):
        key, equals, value = (side.strip() for side in part.partition("="))
        if not (key and equals and value):
            raise OptionError(f"{text!r}: {part.strip()!r} is no option; write option=value")
        if value in _PYTHON:
            raise OptionError(f"{text!r}: {value} is Python's word, not TOML's: {_PYTHON[value]}")
        options[key] = _value(key, value)
    return call["name"].strip(), options


def _pieces(text: str, options: str) -> Iterator[str]:
    """What stands between commas that are in no brackets and in no quotes."""
    piece, quote, depth = "", "", 0
    for before, char in zip(f" {options}", options, strict=False):
        if quote:
            quote = "" if char == quote and (quote == "'" or before != "\\") else quote
        elif char in "\"'":
            quote = char
        depth += 0 if quote else (char in _OPENING) - (char in _CLOSING)
        if depth < 0:
            break
        if char == "," and not quote and depth == 0:
            yield piece
            piece = ""
        else:
            piece += char
    if quote or depth:
        raise OptionError(f"{text!r}: a quote or bracket has no partner")
    if options.strip():
        yield piece


def _value(key: str, text: str) -> Any:
    try:
        value: Any = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except OptionError as error:
        raise OptionError(f"{key}: {error}") from None
    return value if isinstance(value, (int, float, str, list, dict)) else text


def _member(name: str, key: str, value: object, kind: type[Enum]) -> Enum:
    members = {str(word): m for m in kind for word in (m.value, m.name)}
    if str(value) not in members:
        choices = ", ".join(str(m.value) for m in kind)
        raise OptionError(f"{name}: {key} must be one of {choices}, not {value!r}")
    return members[str(value)]


def _words(parameter: inspect.Parameter) -> str:
    kind = parameter.annotation
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
