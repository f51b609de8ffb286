"""The names of a user's own metrics, `mypkg.metrics:kappa` or `mypkg.metrics:fbeta(beta=2)`: text alone.

Nothing is imported for them, so whoever has only the database can read what it holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection

from ablate.errors import OptionError
from ablate.study.options import split_call
from ablate.system.digest import digest

LONGEST_STORED = 32
"""Letters of a metric's name in the database."""
LONGEST = 200
_NO_WORDS = ("true", "false", "inf", "nan", "True", "False", "None")
_CUT, _MARK = "~", 8


def is_own_metric(name: str) -> bool:
    """Whether it names a function, and none of our metrics."""
    return ":" in name


def plainly_named(text: str) -> str:
    """The same name, written in one way: `mypkg.metrics:fbeta(beta=2)`, options by their names' order.

    Raises:
        ValueError: it is no name of a function with options in brackets.
    """
    try:
        name, options = split_call(text)
    except OptionError as error:
        raise ValueError(str(error)) from error
    module, _, attribute = name.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    if len(text) > LONGEST:
        raise ValueError(f"{text[:40]!r}…: a metric's name has at most {LONGEST} letters")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"{text!r}: write a metric of your own as PACKAGE.MODULE:FUNCTION, options in brackets behind it"
        )
    for key, value in options.items():
        if isinstance(value, dict):
            raise ValueError(f"{text!r}: {key} must be a number, text, true, false or an array")
    given = ", ".join(f"{key}={_written(value)}" for key, value in sorted(options.items()))
    return f"{name}({given})" if given else name


def _written(value: object) -> str:
    """A value as it may stand in brackets: a word without quotes, unless that would be read otherwise."""
    is_word = isinstance(value, str) and value.isidentifier()
    return str(value) if is_word and value not in _NO_WORDS else _quoted(value)


def _quoted(value: object) -> str:
    """As TOML has it, which JSON has but for what is not finite, and for one control character."""
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def own_title(name: str, taken: Collection[str]) -> str:
    """`kappa`, `fbeta(beta=2)`: what a sentence calls it; all of its name where a metric of ours, one of
    `taken`, is called so.
    """
    called = name.partition(":")[2] or name.partition(_CUT)[0]
    return name if called.partition("(")[0] in taken else called


def stored_name(metric: str) -> str:
    """As the database has it: as a study says it, and of a long one the function and a hash of all of it."""
    if len(metric) <= LONGEST_STORED:
        return metric
    function = metric.partition(":")[2].partition("(")[0].rpartition(".")[2]
    mark = digest({"metric": metric})[:_MARK]
    return f"{function[: LONGEST_STORED - len(_CUT) - _MARK]}{_CUT}{mark}"


def is_own_stored(name: str) -> bool:
    """Whether `stored_name` gives such."""
    return is_own_metric(name) or _CUT in name


def column_name(metric: str) -> str:
    """As columns of a file are called by it: `kappa`. All of its name stands in a column of its own."""
    return metric.partition(":")[2].partition("(")[0] if is_own_metric(metric) else metric
