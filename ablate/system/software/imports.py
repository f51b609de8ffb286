"""A user's own network, `mypkg.nets:Net`: imported only from packages that the command line allows.

A study file is data, and naming a package in it must not run that package's code.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ablate.errors import AblateError, StudyError, nearest
from ablate.system.messages.text import one_line
from ablate.system.software.modules import remember_sources

ALLOWED = "ABLATE_ALLOW_IMPORT"
"""The environment variable that holds the allowed packages: worker processes inherit it."""

_CHANGED: dict[str, str] = {}
"""Packages that were allowed for a study file which has changed since, of the last command."""


def allow_imports(packages: Iterable[str]) -> None:
    """Let studies of this process, and of the workers it starts, import from these packages alone.

    Raises:
        StudyError: a name that no package can have.
    """
    names = list(packages)
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise StudyError(f"--allow-import {name!r}: give the name of a package, like mypkg")
    os.environ[ALLOWED] = ",".join(names)
    _CHANGED.clear()


def import_object(name: str) -> Any:
    """The object that `package.module:attribute` names, also `module:Class.method`.

    The working directory counts as installed.

    Raises:
        StudyError: the package is not allowed, cannot be imported or has no such attribute.
    """
    module_name, _, attribute = name.partition(":")
    check_allowed(name)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # last: a file here must not take the place of an installed package
    remember_sources()
    with their_code(f"{name}: importing {module_name}"):
        found: Any = importlib.import_module(module_name)
    where = module_name
    for part in attribute.split("."):
        if not hasattr(found, part):
            choices = [key for key in vars(found) if not key.startswith("_")]
            raise StudyError(f"{name}: {where} has no {part!r}{nearest(part, choices)}")
        found, where = getattr(found, part), f"{where}.{part}"
    return found


def check_allowed(name: str) -> None:
    """Refuse `package.module:attribute` of a package that the command line does not allow.

    Raises:
        StudyError: with the option that allows it, or it is no such name.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise StudyError(
            f"{name!r}: write a network of your own as PACKAGE.MODULE:NAME, attention, metrics and trainers "
            "too"
        )
    if not is_allowed(module_name):
        package = module_name.partition(".")[0]
        file = _CHANGED.get(package)
        why = f": {file} is not as it was when that was given for it" if file else ""
        raise StudyError(
            f"{name}: a study may not import {package}; add --allow-import {package}{why}"
        )


def note_changed(packages: Iterable[str], file: str) -> None:
    """Have the refusal of these packages say that they were allowed for what a study file was before."""
    _CHANGED.update(dict.fromkeys((name.partition(".")[0] for name in packages), file))


@contextmanager
def their_code(doing: str) -> Iterator[None]:
    """Runs code of the user's: what it prints is no output of ours, what it raises is theirs to mend.

    Raises:
        StudyError: in one line, whatever it raised; also `SystemExit`, which would end the program.
    """
    try:
        with prints_to_stderr():
            yield
    except (AblateError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise StudyError(f"{doing} failed: {one_line(error)}") from error


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """While entered, what is printed goes to stderr: on stdout stands what a program may read."""
    with redirect_stdout(sys.stderr):
        yield


def is_allowed(module_name: str) -> bool:
    """Whether the command line allows this module, or the package that it is in."""
    allowed = [name for name in os.environ.get(ALLOWED, "").split(",") if name]
    return any(module_name == name or module_name.startswith(f"{name}.") for name in allowed)
