"""A user's own network, `mypkg.nets:Net`: imported only from packages that the command line allows.

A study file is data, and naming a package in it must not run that package's code.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from ablate.errors import StudyError, nearest
from ablate.system.text import one_line

ALLOWED = "ABLATE_ALLOW_IMPORT"
"""The environment variable that holds the allowed packages: worker processes inherit it."""


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


def import_object(name: str) -> Any:
    """The object that `package.module:attribute` names; the working directory counts as installed.

    Raises:
        StudyError: the package is not allowed, cannot be imported or has no such attribute.
    """
    module_name, _, attribute = name.partition(":")
    if not is_allowed(module_name):
        package = module_name.partition(".")[0]
        raise StudyError(f"{name}: a study may not import {package}; add --allow-import {package}")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # last: a file here must not take the place of an installed package
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        # Whatever a user's module raises while it is imported is for the user to mend.
        raise StudyError(f"{name}: importing {module_name} failed: {one_line(error)}") from error
    if not hasattr(module, attribute):
        choices = [key for key in vars(module) if not key.startswith("_")]
        raise StudyError(f"{name}: {module_name} has no {attribute!r}{nearest(attribute, choices)}")
    return getattr(module, attribute)


def is_allowed(module_name: str) -> bool:
    """Whether the command line allows this module, or the package that it is in."""
    allowed = [name for name in os.environ.get(ALLOWED, "").split(",") if name]
    return any(module_name == name or module_name.startswith(f"{name}.") for name in allowed)
