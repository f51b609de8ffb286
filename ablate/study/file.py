"""A study file and what the command line changes in it → a Study, or one line that says what is wrong.

A study file is data, never code: TOML, capped in size and depth, validated before anything else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ablate.errors import StudyError, nearest
from ablate.study.data import DataTable
from ablate.study.recipe import Phase, Recipe
from ablate.study.search import Bound, Parameter, Search
from ablate.study.study import Study

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 8
TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    ("recipe", "phases"): Phase,
    ("recipe",): Recipe,
    ("data",): DataTable,
    ("search", "parameters"): Parameter,
    ("search", "constraints"): Bound,
    ("search",): Search,
}


def load_study(path: Path, assignments: Sequence[str] = ()) -> Study:
    """The study in a TOML file, changed by assignments such as `recipe.epochs=1`.

    Raises:
        StudyError: the file cannot be read, is not TOML, or says something that no study can say.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise StudyError(f"{path}: is no file, so not a TOML study file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise StudyError(f"{path}: a study file has at most {MAX_FILE_BYTES:,} bytes")
        document = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not UTF-8 text, so not a TOML study file") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyError(f"{path}: is not TOML: {error or 'nested too deeply'}") from None
    for assignment in assignments:
        _assign(document, assignment)
    if _depth(document) > MAX_DEPTH:
        raise StudyError(f"{path}: nested deeper than {MAX_DEPTH} levels")
    return parse_study(document, str(path))


def parse_study(document: Mapping[str, Any], source: str) -> Study:
    """The study that a parsed document describes; `source` names it in errors."""
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        raise StudyError(f"{source}: {_first_line(error)}") from None


def _assign(document: dict[str, Any], assignment: str) -> None:
    """Set one key of a document: `recipe.epochs=1`. The value is TOML, or else a plain string."""
    dotted, equals, text = assignment.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise StudyError(f"--set {assignment!r}: write KEY=VALUE, for example recipe.epochs=1")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table: Any = document
    for key in keys[:-1]:
        table = table.setdefault(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise StudyError(
            f"--set {assignment!r}: {dotted!r} leads through something that is no table"
        )
    table[keys[-1]] = value


def _depth(value: object) -> int:
    # An explicit stack: a hostile file must not reach Python's recursion limit here.
    deepest, stack = 0, [(value, 0)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        if level <= MAX_DEPTH and isinstance(item, (dict, list)):
            children = item.values() if isinstance(item, dict) else item
            stack.extend((child, level + 1) for child in children)
    return deepest


def _first_line(error: ValidationError) -> str:
    """The first of pydantic's complaints in one line, with a suggestion for an unknown key."""
    errors = error.errors(include_url=False)
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(_model_at(first["loc"]).model_fields)
        line = f"unknown key {where!r}{nearest(str(first['loc'][-1]), known)}; there are: {', '.join(known)}"
    elif first["type"] == "missing":
        line = f"the key {where!r} is missing"
    elif first["type"] == "value_error":
        line = str(first["ctx"]["error"])
    else:
        line = f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}, not {_shown(first['input'])}"
    return line + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _model_at(where: Sequence[int | str]) -> type[BaseModel]:
    """The table of a study in which a key was found."""
    for names, model in TABLES.items():
        if tuple(where[: len(names)]) == names and len(where) > len(names):
            return model
    return Study


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
