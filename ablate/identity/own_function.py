"""A function of the user's, a trainer or a metric: what it reaches, and whether a process has the same.

It is known as a network is, by its source and all of the user's that this imports, but it is not called. No
torch is needed for one that closes over nothing and reads nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from ablate.errors import AblateError, CodeChangedError, StudyError
from ablate.identity.sources import Sources, folder_of, ran_other
from ablate.result.named import NamedFunction
from ablate.system.digest import digest

SOURCE = "source "
_HELD: WeakKeyDictionary[FunctionType, str] = WeakKeyDictionary()
"""What a function held when it was first looked at, before it ran: a counter or a cache that running fills is
no other function.
"""
MOST_NAMES = 3


def check_function(name: str, found: object) -> FunctionType:
    """What a name stands for, if that is a function that is written with `def`.

    Raises:
        StudyError: it is something else.
    """
    if not isinstance(found, FunctionType):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise StudyError(f"{name} is {kind}: name a function that is written with def")
    return found


def name_function(
    kind: str, called: str, function: FunctionType, options: Mapping[str, Any]
) -> NamedFunction:
    """What to prove of a function that a study calls so; `kind` is what it is to the study."""
    return NamedFunction(kind, called, _marks(function, options, as_imported=False))


@dataclass(frozen=True)
class FunctionProof:
    """That a process has the function which was named."""

    named: NamedFunction

    def check_code(self) -> None:
        """Look once more at what this process has imported: a function may import when it is called.

        Raises:
            CodeChangedError: other code ran than what was named.
        """
        marks = self.named.marks.items()
        files = {m.removeprefix(SOURCE): known for m, known in marks if m.startswith(SOURCE)}
        others = [f"{SOURCE}{name}" for name, known in files.items() if ran_other(name, known)]
        if others:
            _refuse(self.named, _in_words(others))


def prove_function(
    named: NamedFunction, find: Callable[[], tuple[FunctionType, Mapping[str, Any]]]
) -> FunctionProof:
    """Show that the function and the options that `find` gives in this process are those which were named.

    Raises:
        CodeChangedError: a part is another, or it is not to be found any more; says which, in one line.
    """
    try:
        function, options = find()
        found = _marks(function, options, as_imported=True)
    except AblateError as error:
        _refuse(named, f"when it was planned it was there, and now: {error}")
    others = [m for m in {**named.marks, **found} if found.get(m) != named.marks.get(m)]
    if others:
        _refuse(named, _in_words(others))
    return FunctionProof(named)


def _marks(
    function: FunctionType, options: Mapping[str, Any], *, as_imported: bool
) -> dict[str, str]:
    """By what each part is called. What running changes, such as a global variable, is none of them."""
    starts = {function.__module__, inspect.unwrap(function).__module__}
    sources = Sources.reached_from(starts, as_imported=as_imported)
    environment = sources.environment.items()
    return {
        **{f"{SOURCE}{name}": value for name, value in sources.files.items()},
        **{f"library {name}": value for name, value in sources.libraries.items()},
        **{f"environment variable {name}": digest({"is": value}) for name, value in environment},
        **{f"option {name}": digest({"is": repr(value)}) for name, value in options.items()},
        **dict(_values(function, sources.read)),
    }


def _values(function: FunctionType, read: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What modules of theirs hold that read a file when they are imported, and what the function holds."""
    held = function.__closure__ or vars(function)
    if not (read or held):
        return
    from ablate.identity.values import Describer  # noqa: PLC0415 - torch, which few functions need

    describe = Describer({}, str, named=True, folder=folder_of(function.__module__))
    for name, value in read.items():
        yield f"value that is read, {name}", digest({"is": describe.leniently(value)})
    if held:
        yield (
            "value that it holds",
            _HELD.setdefault(function, digest({"is": describe.leniently(function)})),
        )


def _in_words(marks: list[str]) -> str:
    """`other source mypkg.train, library timm`."""
    more = f" and {len(marks) - MOST_NAMES} more" if len(marks) > MOST_NAMES else ""
    return f"other {', '.join(marks[:MOST_NAMES])}{more}"


def _refuse(named: NamedFunction, why: str) -> NoReturn:
    another = f"another {named.kind} has runs of its own"
    raise CodeChangedError(
        f"{named.name}: is not the {named.kind} that this run was planned with ({why}): bring it back to "
        f"what it was and use --retry-failed, or `ablate plan` again: {another}"
    )
