"""A study file and what the command line changes in it → a Study, or one line that says what is wrong.

A study file is data, never code: TOML, capped in size and depth, validated before anything else.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.errors import OptionError, StudyError
from ablate.study.complaints import first_line
from ablate.study.contexts import (
    assignments_of,
    check_tables,
    choose,
    documents_of,
    tables_elsewhere,
)
from ablate.study.grid import GridTable
from ablate.study.ready import BASE, with_base
from ablate.study.recipe import OPTIMIZER_KEYS
from ablate.study.study import Study
from ablate.study.toml import parse_toml
from ablate.system.messages.context import OF_RECIPE, Context

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 8


def load_study(path: Path, assignments: Sequence[str] = ()) -> Study:
    """The study in a TOML file, changed by assignments such as `recipe.epochs=1`.

    Raises:
        StudyError: the file cannot be read, is not TOML, says something that no study can say, or has several
            contexts.
    """
    found = load_studies(path, assignments)
    if len(found) > 1:
        chosen = " ".join(shlex.join(("--set", each)) for each in assignments_of(found[0].context))
        raise StudyError(
            f"{path}: has {len(found)} contexts, and this is done in one at a time: choose it with {chosen}"
        )
    return found[0]


def load_studies(path: Path, assignments: Sequence[str] = ()) -> list[Study]:
    """The study in a TOML file in each of its contexts; one where it has no lists of backbones, data sets or
    keys of its recipe.

    Raises:
        StudyError: as `load_study`.
    """
    document = _read(path, assignments)
    plain = documents_of(document)
    studies = [parse_study(each, str(path), context) for context, each in plain]
    return [
        _beside(study, tables_elsewhere(document, each), path)
        for study, (_, each) in zip(studies, plain, strict=True)
    ]


def _beside(study: Study, tables: Sequence[Mapping[str, Any]], path: Path) -> Study:
    """The study, which knows the tables of the grid that it has in other contexts only."""
    try:
        return study.beside([GridTable.model_validate(table) for table in tables])
    except ValidationError as error:
        raise StudyError(f"{path}: a [[grid]] table: {first_line(error)}") from None


def _read(path: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """The document in a file, as the command line changes it."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise StudyError(f"{path}: is no file, so not a TOML study file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise StudyError(f"{path}: a study file has at most {MAX_FILE_BYTES:,} bytes")
        document = parse_toml(content.decode("utf-8-sig"))  # editors of Windows write a BOM
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise StudyError(
            f"{path}: is not UTF-8 text, so not a TOML study file: save it as UTF-8"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyError(f"{path}: is not TOML: {error or 'nested too deeply'}") from None
    except OptionError as error:
        raise StudyError(f"{path}: {error}") from None
    _refuse_deep(document, path)
    # As it is written: whatever `--set` chooses, its tables name contexts of it.
    check_tables(document)
    for assignment in assignments:
        # Each by itself: `recipe` may be a name before and after one.
        if isinstance(document.get("recipe"), (str, list)):
            document["recipe"] = {BASE: document["recipe"]}
        _assign(document, assignment)
    _refuse_deep(document, path)
    return document


def parse_study(document: Mapping[str, Any], source: str, context: Context = ()) -> Study:
    """The study that a parsed document describes; `source` names it in errors, `context` is which of several
    it is.

    Raises:
        StudyError: no study can say that, or its recipe has a base that is not there.
    """
    if "recipe" in document:
        document = {**document, "recipe": with_base(document["recipe"], OPTIMIZER_KEYS)}
    try:
        return Study.model_validate(document).in_context(context)
    except ValidationError as error:
        raise StudyError(f"{source}: {first_line(error)}") from None


def _assign(document: dict[str, Any], assignment: str) -> None:
    """Set one key of a document: `recipe.epochs=1`. The value is TOML, or else a plain string."""
    dotted, equals, text = assignment.partition("=")
    keys = _keys(dotted.strip())
    if not equals or not all(keys):
        raise StudyError(f"--set {assignment!r}: write KEY=VALUE, for example recipe.epochs=1")
    try:
        value = parse_toml(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except OptionError as error:
        raise StudyError(f"--set {dotted.strip()}: {error}") from None
    table: Any = document
    for key in keys[:-1]:
        table = table.setdefault(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise StudyError(
            f"--set {assignment!r}: {dotted!r} leads through something that is no table"
        )
    table[keys[-1]] = value
    choose(document, keys)
    if keys == ["grid"]:
        check_tables(document)


def _keys(dotted: str) -> list[str]:
    """`recipe.epochs` → its two keys. They may stand in quotes as in TOML, and what stands below
    `recipe.rates` is one glob, as is `"recipe.epochs"` at the top of a file a key of the recipe.
    """
    try:
        table: Any = parse_toml(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        table = {}
    keys: list[str] = []
    while isinstance(table, dict) and len(table) == 1:
        [(key, table)] = table.items()
        keys.append(key)
    keys = keys if keys and not isinstance(table, dict) else dotted.split(".")
    if keys[0].startswith(OF_RECIPE):
        keys = [*keys[0].split("."), *keys[1:]]
    rated = keys[:2] == ["recipe", "rates"] and len(keys) > 2
    return [*keys[:2], ".".join(keys[2:])] if rated else keys


def _refuse_deep(document: object, path: Path) -> None:
    if _depth(document) > MAX_DEPTH:
        raise StudyError(f"{path}: nested deeper than {MAX_DEPTH} levels")


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
