"""What is wrong with a study's document, in one line of a study file's words and not of its validator's."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ablate.errors import nearest
from ablate.study.data import DataTable
from ablate.study.recipe import Phase, Recipe
from ablate.study.search import Bound, Parameter, Search
from ablate.study.study import Study

TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    ("recipe", "phases"): Phase,
    ("recipe",): Recipe,
    ("data",): DataTable,
    ("search", "parameters"): Parameter,
    ("search", "constraints"): Bound,
    ("search",): Search,
}

WORDS = {
    "tuple_type": "must be a list in square brackets",
    "string_type": "must be text in quotes",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "too_short": "has too few values",
    "too_long": "has too many values",
    "string_too_short": "is empty: fill it, or leave it out",
    "string_pattern_mismatch": "has up to 64 of a–z, 0–9, _ and -, a letter or digit first",
}
"""Of complaints whose own words are about types of Python, by their kinds."""

SHORT = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "wd": "weight_decay",
    "opt": "optimizer",
    "model": "backbone",
    "data": "dataset",
}
"""What others call a key."""

_BRANCHES = ("str", "int", "float", "bool", "tuple[")
"""How a place begins that is none of the document but one of several types that a value may have."""


def first_line(error: ValidationError) -> str:
    """The first complaint in one line, and how many other places have one."""
    errors = error.errors(include_url=False)
    others = len({_place(each["loc"]) for each in errors}) - 1
    return _line(errors[0]) + (f" (and {others} more)" if others else "")


def _line(first: Any) -> str:
    place = _place(first["loc"])
    where, kind = _named(place), first["type"]
    if kind == "extra_forbidden":
        return _unknown_key(place, where)
    if kind == "missing" and isinstance(place[-1], int):
        return f"{_named(place[:-1])}: value {place[-1] + 1} of the list is missing"
    if kind == "missing":
        within = f" in {_named(place[:-1])}" if place[0] == "grid" else ""
        return f"the key {place[-1] if within else where!r} is missing{within}"
    if kind == "value_error":
        return str(first["ctx"]["error"])
    if place == ("grid",):
        return f"grid: write at least one [[grid]] table, in double brackets, not {_shown(first['input'])}"
    said = WORDS.get(kind) or f"{first['msg'][0].lower()}{first['msg'][1:]}"
    if place != tuple(first["loc"]) and kind == "string_type":
        said += ", or a list of such"
    if kind == "model_type" and isinstance(first["input"], list):
        said = f"must be one table, [{where}] in single brackets"
    return f"{where}: {said}, not {_shown(first['input'])}"


def _place(loc: Sequence[int | str]) -> tuple[int | str, ...]:
    """Where in the document, without the branches of its types."""
    for at, part in enumerate(loc):
        if at and isinstance(part, str) and part.startswith(_BRANCHES) and _is_branch(part):
            return tuple(loc[:at])
    return tuple(loc)


def _is_branch(part: str) -> bool:
    return part in _BRANCHES or part.startswith("tuple[")


def _named(place: Sequence[int | str]) -> str:
    """As its file has it: tables of the grid are counted from 1."""
    if len(place) > 1 and place[0] == "grid" and isinstance(place[1], int):
        return ", ".join([f"[[grid]] table {place[1] + 1}", *map(str, place[2:])])
    return ".".join(str(part) for part in place)


def _unknown_key(place: Sequence[int | str], where: str) -> str:
    """The line about a key that no table has there: the nearest one, or the table that has it."""
    key, known = str(place[-1]), list(_model_at(place).model_fields)
    near = nearest(key, known)
    if SHORT.get(key) in known:
        near = f" (did you mean {SHORT[key]!r}?)"
    elsewhere = [path for path, model in _homes().items() if key in model.model_fields]
    if elsewhere and not near:
        near = f" (it belongs in {elsewhere[0]})"
    return f"unknown key {where!r}{near}; there are: {', '.join(known)}"


def _homes() -> Mapping[str, type[BaseModel]]:
    """Tables that a file has once, as it writes them."""
    return {"[recipe]": Recipe, "[data]": DataTable, "[search]": Search, "the head": Study}


def _model_at(where: Sequence[int | str]) -> type[BaseModel]:
    """The table of a study in which a key was found."""
    for names, model in TABLES.items():
        if tuple(where[: len(names)]) == names and len(where) > len(names):
            return model
    return Study


def _shown(value: object) -> str:
    dated = isinstance(value, (datetime.date, datetime.time))
    text = f"the date {value}" if dated else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
