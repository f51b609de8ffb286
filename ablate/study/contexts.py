"""Contexts: one question asked of several backbones, data sets or recipes, each with a baseline of its own.

A study file whose `backbone`, `dataset` or a key of whose recipe is a list is as many plain studies of one
name. Each is what `--set` makes of the file, so that its runs have the keys that they have alone.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ablate.errors import StudyError
from ablate.study.ready import BASE, as_table
from ablate.study.recipe import Recipe
from ablate.system.messages.context import OF_RECIPE, Context, context_name

AXES = ("backbone", "dataset")
MOST = 64
MOST_LETTERS = 60
"""Of a context's name in the name of a folder."""


def folder_name(context: Context, taken: Sequence[str] = ()) -> str:
    """A context's name as one of a folder, none of those that are taken."""
    plain = re.sub(r"[^A-Za-z0-9.=_-]+", "-", context_name(context)).strip("-.")[:MOST_LETTERS]
    number = next(n for n in itertools.count(1) if _numbered(plain, n) not in taken)
    return _numbered(plain, number)


def assignments_of(context: Context) -> list[str]:
    """What makes of a study file this context alone, as `--set` takes it."""
    return [f"{key}={value if isinstance(value, str) else _toml(value)}" for key, value in context]


def documents_of(document: Mapping[str, Any]) -> list[tuple[Context, dict[str, Any]]]:
    """The plain documents that a study's document stands for; one, without a context, where it has no lists.

    Raises:
        StudyError: an empty list, or too many contexts.
    """
    axes = _axes(document)
    if not axes:
        return [((), dict(document))]
    count = 1
    for key, values in axes.items():
        if not values:
            raise StudyError(f"{key} is an empty list: leave the key out or fill it")
        count *= len(values)
    if count > MOST:
        told = " × ".join(f"{len(values)} of {key}" for key, values in axes.items())
        raise StudyError(
            f"{told} are {count} contexts; at most {MOST} fit into one study: split it"
        )
    found = []
    for chosen in itertools.product(*axes.values()):
        context = tuple(zip(axes, chosen, strict=True))
        found.append((context, _in_context(document, dict(context))))
    return found


def choose(document: dict[str, Any], key: str, value: object) -> None:
    """Leave of a study's contexts those alone where a key has this value, as `--set` asks."""
    if key.startswith(OF_RECIPE):
        document.pop(key, None)
    if isinstance(document.get("grid"), list):
        document["grid"] = [
            _without(table, key)
            for table in document["grid"]
            if not isinstance(table, dict) or key not in table or value in _values(table[key])
        ]


def _axes(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every key that is a list of values, in the order of the file, those of the grid's tables last."""
    axes: dict[str, list[Any]] = {}
    for key, value in document.items():
        if (key in AXES and isinstance(value, list)) or key.startswith(OF_RECIPE):
            axes[key] = _once(_values(value))
    recipe = as_table(document.get("recipe", {}))
    if isinstance(recipe, list):
        recipe = {BASE: _names(recipe)}
    for key, value in recipe.items() if isinstance(recipe, dict) else ():
        if _varies(key, value):
            axes.setdefault(OF_RECIPE + key, _once(value))
    for key, value in _of_grid(document):
        known = axes.setdefault(key, [])
        known += [each for each in _values(value) if each not in known]
    return axes


def _names(recipes: list[Any]) -> list[str]:
    if not all(isinstance(each, str) for each in recipes):
        raise StudyError(
            "recipe: must be one table, [recipe] in single brackets, or names of ready recipes, not "
            f"{recipes!r:.60}"
        )
    return recipes


def _of_grid(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    grid = document.get("grid")
    for table in grid if isinstance(grid, list) else ():
        for key, value in table.items() if isinstance(table, dict) else ():
            if key in AXES or key.startswith(OF_RECIPE):
                yield key, value


def _varies(key: str, value: object) -> bool:
    """Whether a key of a recipe has a list of values, and not a value that is a list."""
    if not isinstance(value, list):
        return False
    field = Recipe.model_fields.get(key)
    is_list = field is not None and re.search(r"tuple|list|Sequence", str(field.annotation))
    return all(isinstance(each, list) for each in value) if is_list and value else not is_list


def _in_context(document: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """The document of one context: grid tables that name another one are left out."""
    plain = {key: value for key, value in document.items() if not key.startswith(OF_RECIPE)}
    recipe = as_table(plain.get("recipe", {}))
    recipe = {} if isinstance(recipe, list) else recipe
    for key, value in context.items():
        if key in AXES:
            plain[key] = value
        elif isinstance(recipe, dict):
            recipe = {**recipe, key.removeprefix(OF_RECIPE): value}
    if "recipe" in plain or recipe:
        plain["recipe"] = recipe
    if isinstance(plain.get("grid"), list):
        tables = [table for table in plain["grid"] if _is_of(table, context)]
        plain["grid"] = [_without(table, *context) for table in tables]
    return plain


def _is_of(table: object, context: Mapping[str, Any]) -> bool:
    if not isinstance(table, dict):
        return True
    return all(value in _values(table[key]) for key, value in context.items() if key in table)


def _without(table: Any, *keys: str) -> Any:
    if not isinstance(table, dict):
        return table
    return {key: value for key, value in table.items() if key not in keys}


def _values(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _once(values: Sequence[Any]) -> list[Any]:
    """Each value once, in their order; tables among them have no hash."""
    return [each for number, each in enumerate(values) if each not in values[:number]]


def _toml(value: object) -> str:
    """A value as TOML has it in one line: tables are all in which JSON differs."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
