"""A function of the user's that runs are trained with: what it reaches, and whether a process has the same.

It is known as a network is, by its source and all of the user's that this imports, but it is not called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NoReturn

from torch import nn

from ablate.errors import AblateError, StudyError, TrainerChangedError
from ablate.identity.proof import ADVICE, in_words, ran_other
from ablate.identity.sources import Sources, folder_of
from ablate.identity.values import Describer, Node
from ablate.result.named import NamedFunction
from ablate.system.digest import digest
from ablate.system.their_modules import find_theirs

SOURCE = "source "


def find_function(name: str) -> FunctionType:
    """The function that `package.module:name` stands for.

    Raises:
        StudyError: it may not be imported, cannot be, or is no function that is written with `def`.
    """
    found = find_theirs(name)
    if not isinstance(found, FunctionType):
        raise StudyError(f"{name} is {_kind(found)}: name a function that is written with def")
    return found


def name_function(name: str) -> NamedFunction:
    """What to prove of a function that is planned.

    Raises:
        StudyError: as `find_function`.
    """
    return NamedFunction(name, _marks(find_function(name), as_imported=False))


@dataclass(frozen=True)
class FunctionProof:
    """That a process has the function which was named."""

    named: NamedFunction

    def check_code(self) -> None:
        """Look once more at what this process has imported: a function may import when it is called.

        Raises:
            TrainerChangedError: other code ran than what was named.
        """
        marks = self.named.marks.items()
        files = {m.removeprefix(SOURCE): known for m, known in marks if m.startswith(SOURCE)}
        others = [
            f"{SOURCE}{module}" for module, known in files.items() if ran_other(module, known)
        ]
        if others:
            _refuse(self.named.name, in_words(others))


def prove_function(named: NamedFunction) -> tuple[Callable[..., Any], FunctionProof]:
    """The function as this process has it, which is the one that was named.

    Raises:
        TrainerChangedError: it is another, or cannot be imported any more; says which part, in one line.
    """
    try:
        function = find_function(named.name)
        found = _marks(function, as_imported=True)
    except AblateError as error:
        _refuse(named.name, f"when it was planned it could be imported, and now: {error}")
    others = [m for m in {**named.marks, **found} if found.get(m) != named.marks.get(m)]
    if others:
        _refuse(named.name, in_words(others))
    return function, FunctionProof(named)


def _marks(function: FunctionType, *, as_imported: bool) -> dict[str, str]:
    module = function.__module__
    describe = Describer({}, _of_module, named=True, folder=folder_of(module))
    said: Node = describe(function)
    sources = Sources.reached_from(
        {module, *describe.modules}, describe.codes, as_imported=as_imported
    )
    found = {f"{SOURCE}{name}": value for name, value in sources.files.items()}
    found |= {f"library {name}": value for name, value in sources.libraries.items()}
    for name, value in sources.environment.items():
        found[f"environment variable {name}"] = digest({"is": value})
    for name, value in sources.read.items():
        found[f"values that are read, {name}"] = digest({"is": describe.leniently(value)})
    return found | {"settings": digest({"is": said})}


def _of_module(module: nn.Module) -> Node:
    return str(module)


def _kind(found: object) -> str:
    return "a class" if isinstance(found, type) else type(found).__name__


def _refuse(name: str, why: str) -> NoReturn:
    raise TrainerChangedError(
        f"{name}: is not the trainer that this run was planned with ({why}): "
        f"{ADVICE.replace('network', 'trainer')}"
    )
