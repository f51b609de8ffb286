"""Options of the things a study names: given by keyword, checked against the signature, named in full."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from ablate.errors import OptionError, nearest
from ablate.study.variant import Option

CALL = re.compile(r"(?P<name>[^()]+)(?:\((?P<options>[^()]*)\))?")


def keyword_options(kind: Callable[..., Any]) -> dict[str, Any]:
    """The options of a class or function: its keyword-only arguments with their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def complete_options(
    name: str, kind: Callable[..., Any], given: Mapping[str, Option], *, hint: str = ""
) -> dict[str, Option]:
    """All options of `kind`, in its own order, with defaults for those that are not given.

    `hint` ends the line about an option that `kind` does not have.

    Raises:
        OptionError: an option that `kind` does not have, or a value of another type.
    """
    known = keyword_options(kind)
    for key, value in given.items():
        if key not in known:
            has = f"it takes {', '.join(known)}" if known else "it takes no options"
            raise OptionError(f"{name} takes no {key!r}{nearest(key, known)}; {has}{hint}")
        wanted = type(known[key])
        if not _fits(value, wanted):
            raise OptionError(f"{name}: {key} must be of type {wanted.__name__}, not {value!r}")
    return {key: given.get(key, default) for key, default in known.items()}


def _fits(value: Option, wanted: type) -> bool:
    """Whether an option can have this value; `"4+16"` has one whole number for each part of a position."""
    if wanted is int and isinstance(value, str) and "+" in value:
        return all(part.strip().isdecimal() for part in value.split("+"))
    return type(value) is wanted or (wanted is float and type(value) is int)


def split_call(text: str) -> tuple[str, dict[str, Option]]:
    """`"cbam_cnn(width=0.5)"` → the name and its options; a value is TOML, or else a plain string.

    Raises:
        OptionError: what stands in the brackets is no list of KEY=VALUE.
    """
    call = CALL.fullmatch(text.strip())
    if call is None:
        raise OptionError(f"{text!r}: write NAME or NAME(option=value, …)")
    options: dict[str, Option] = {}
    for part in (call["options"] or "").split(","):
        key, equals, value = (side.strip() for side in part.partition("="))
        if not part.strip() and not call["options"]:
            continue
        if not (key and equals and value):
            raise OptionError(f"{text!r}: {part.strip()!r} is no option; write option=value")
        options[key] = _value(value)
    return call["name"].strip(), options


def _value(text: str) -> Option:
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, (int, float, str)) else text
