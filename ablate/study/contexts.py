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
from ablate.study.ready import BASE, as_table, with_base
from ablate.study.recipe import OPTIMIZER_KEYS, Recipe
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
        StudyError: an empty list, a key of the recipe in two places, or too many contexts.
    """
    axes = _axes(document)
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


def tables_elsewhere(document: Mapping[str, Any], plain: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The grid's tables that are not in this one of the document's contexts, or were left out by `--set`."""
    grid = document.get("grid")
    tables = [each for each in grid if isinstance(each, dict)] if isinstance(grid, list) else []
    return [_without_contexts(each) for each in tables if not _is_of(each, plain)]


def choose(document: dict[str, Any], keys: Sequence[str]) -> None:
    """What `--set` says of the recipe goes before what stands at the top of the file."""
    if keys[0] != "recipe":
        return
    for key in keys[1:2] or _recipe(document):
        document.pop(OF_RECIPE + key, None)


def check_tables(document: Mapping[str, Any]) -> None:
    """Refuse a table of the grid for a context that the study has not: its value would be trained nowhere, or
    in place of the study's own.

    Raises:
        StudyError: says where to write the value.
    """
    axes = _axes(document)
    for key, value in _of_grid(document):
        if key not in AXES and _short(key) not in (BASE, *Recipe.model_fields):
            raise StudyError(f"grid: unknown key {key!r}: the recipe has no {_short(key)}")
        own = _own_values(document, axes, key)
        if value in own:
            continue
        if value == []:
            raise StudyError(f"grid: {key} is an empty list; leave the key out or fill it")
        strange = [each for each in _values(value) if each not in own]
        if strange:
            raise StudyError(_strange(document, key, strange, own))


def _strange(document: Mapping[str, Any], key: str, strange: list[Any], own: list[Any]) -> str:
    """What is wrong with values of a table, and where to write them."""
    has = f"only {', '.join(map(_toml, own))}" if own else "none"
    recipe = document.get("recipe", {})
    name, where = key, "at the top"
    if key == OF_RECIPE + BASE:
        name = "recipe"
    elif key not in AXES:
        inside = isinstance(recipe, dict) and key not in document
        name, where = (_short(key), "in [recipe]") if inside else (f'"{key}"', where)
    return (
        f"{key} = {_toml(strange[0])} in a [[grid]] table: the study has {has}; write "
        f"{name} = {_toml([*own, *strange])} {where}"
    )


def _axes(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every key that is a list of values, in the order of the file."""
    axes: dict[str, list[Any]] = {}
    recipe = _recipe(document)
    for key, value in document.items():
        if key in AXES and isinstance(value, list):
            axes[key] = _once(value)
        elif key.startswith(OF_RECIPE):
            if _short(key) in recipe:
                raise StudyError(
                    f'{key} is said twice, as "{key}" at the top and in [recipe]: leave one of them out'
                )
            axes[key] = _once(_values(value))
    for key, value in recipe.items():
        if _varies(key, value):
            axes[OF_RECIPE + key] = _once(value)
    return axes


def _own_values(document: Mapping[str, Any], axes: Mapping[str, list[Any]], key: str) -> list[Any]:
    """What a key of the study is in its contexts, said there or not."""
    if key in axes:
        return axes[key]
    if key in AXES:
        return [document[key]] if key in document else []
    plain = {own: value for own, value in _recipe(document).items() if OF_RECIPE + own not in axes}
    bases = axes.get(OF_RECIPE + BASE)
    recipes = [plain] if bases is None else [{**plain, BASE: base} for base in bases]
    return _once([each for recipe in recipes for each in _in_recipe(recipe, _short(key))])


def _in_recipe(recipe: Mapping[str, Any], key: str) -> list[Any]:
    """The one value of a recipe's key: its own, its base's or the default; none where no base is said."""
    whole = recipe if key in recipe else with_base(recipe, OPTIMIZER_KEYS)
    if isinstance(whole, dict) and key in whole:
        return [whole[key]]
    if key not in Recipe.model_fields:
        return []
    usual = Recipe.model_fields[key].get_default()
    return [list(usual) if isinstance(usual, tuple) else usual]


def _recipe(document: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as a table; an empty one of what is none, which is told elsewhere."""
    recipe = as_table(document.get("recipe", {}))
    if isinstance(recipe, list):
        return {BASE: _names(recipe)}
    return recipe if isinstance(recipe, dict) else {}


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
            if _is_of_contexts(key):
                yield key, value


def _is_of_contexts(key: str) -> bool:
    return key in AXES or key.startswith(OF_RECIPE)


def _short(key: str) -> str:
    return key.removeprefix(OF_RECIPE)


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
            recipe = {**recipe, _short(key): value}
    if "recipe" in plain or recipe:
        plain["recipe"] = recipe
    if isinstance(plain.get("grid"), list):
        tables = [table for table in plain["grid"] if _is_of(table, plain)]
        plain["grid"] = [_without_contexts(table) for table in tables]
    return plain


def _is_of(table: object, plain: Mapping[str, Any]) -> bool:
    """Whether what a table of the grid says of contexts is so in a plain document."""
    said = table if isinstance(table, dict) else {}
    return all(
        here == value or (isinstance(value, list) and here in value)
        for key, value in said.items()
        if _is_of_contexts(key)
        for here in _own_values(plain, {}, key)
    )


def _without_contexts(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    return {key: value for key, value in table.items() if not _is_of_contexts(key)}


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
