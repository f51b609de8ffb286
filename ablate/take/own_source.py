"""The source of a user's own attention, taken along with what it uses of theirs, or else its import."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ablate.errors import StudyError
from ablate.identity.origin import module_of
from ablate.identity.sources import is_users_file
from ablate.system.software.modules import room_of

GIVEN = {"torch", *sys.stdlib_module_names}
"""Packages that whoever has PyTorch has."""


class NotTakenError(StudyError):
    """Source of a user's that means something only where it stands."""


@dataclass
class OwnSource:
    """What makes a user's attention in another file: imports, definitions in an order in which each knows
    those before it, and the expressions of its classes by their names in a study. `needs` are the packages
    beside PyTorch.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    imports: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    needs: dict[str, None] = field(default_factory=dict)
    _from: dict[str, str] = field(default_factory=dict)

    def _add(self, module: str, name: str) -> None:
        """What a name of a module stands for, after all that it uses."""
        if name in self._from:
            if self._from[name] != module:
                raise NotTakenError(f"{name!r} is in {self._from[name]} and in {module}")
            return
        statement = _top_level(module).get(name)
        if statement is None:
            return  # a builtin, or a name of its own
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._import(module, statement, name)
            return
        self._from[name] = module
        self._imported_within(module, statement)
        plain = _Unannotated().visit(statement)
        used = [each.id for each in ast.walk(plain) if isinstance(each, ast.Name)]
        for each in dict.fromkeys(used):
            self._add(module, each)
        self.definitions[name] = ast.unparse(ast.fix_missing_locations(plain))

    def _imported_within(self, module: str, statement: ast.stmt) -> None:
        """What a definition imports when it runs stays where it is: of somebody else's it is needed."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                rooms = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                rooms = [_absolute(module, node)]
            else:
                continue
            for room in rooms:
                self._need(module, room)

    def _need(self, module: str, room: str) -> None:
        """Note the package of what is imported; the user's own has no place in the file."""
        if is_users_file(room):
            raise NotTakenError(f"{module} imports the module {room}")
        if room_of(room) not in GIVEN:
            self.needs[room_of(room)] = None

    def _import(self, module: str, statement: ast.Import | ast.ImportFrom, name: str) -> None:
        names = {each.asname or each.name.partition(".")[0]: each for each in statement.names}
        alias = names[name]
        if isinstance(statement, ast.Import):
            room, only = alias.name, ast.unparse(ast.Import([alias]))
        else:
            room = _absolute(module, statement)
            only = ast.unparse(ast.ImportFrom(room, [alias], 0))
            if is_users_file(room):
                if name != alias.name or importlib.util.find_spec(room) is None:
                    raise NotTakenError(f"{module} imports {alias.name} as {name}")
                if alias.name not in _top_level(room):
                    raise NotTakenError(f"{module} imports the module {room}.{alias.name}")
                self._add(room, alias.name)
                return
        self._need(module, room)
        self.imports[only] = None


def taken_along(names: Iterable[str]) -> OwnSource:
    """The source of a user's classes or functions, with all of the user's that they use.

    Raises:
        NotTakenError: they use what means something only where it stands, or one name for two things.
    """
    found = OwnSource()
    for name in names:
        module_name, _, attribute = name.partition(":")
        first = attribute.partition(".")[0]
        found._add(_home(module_name, first), first)
        if first not in found.definitions:
            raise NotTakenError(f"{name} has no source of its own")
        found.kinds[name] = attribute
    return found


def imported(names: Iterable[str]) -> OwnSource:
    """The imports of a user's classes or functions: whoever has the file needs their packages too."""
    found = OwnSource()
    for name in names:
        module, _, attribute = name.partition(":")
        found.kinds[name] = f"{module}.{attribute}"
        found.imports[f"import {module}"] = None
        found.needs[room_of(module)] = None
    return found


def _home(module: str, name: str) -> str:
    """Where a name is defined, which a module may have imported."""
    held = getattr(importlib.import_module(module), name)
    return module_of(held) if inspect.isclass(held) or inspect.isfunction(held) else module


def _top_level(module: str) -> dict[str, ast.stmt]:
    """The statements of a module by the names that they give."""
    try:
        source = inspect.getsource(importlib.import_module(module))
    except (OSError, TypeError) as error:
        raise NotTakenError(f"{module} has no source") from error
    return {name: each for each in ast.parse(source).body for name in _given(each)}


def _given(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node for target in targets for node in ast.walk(target)]
        yield from (node.id for node in names if isinstance(node, ast.Name))


def _absolute(module: str, statement: ast.ImportFrom) -> str:
    """The module that a statement in another one imports from."""
    if not statement.level:
        return str(statement.module)
    is_package = hasattr(sys.modules[module], "__path__")
    parts = module.split(".") + ([""] if is_package else [])
    above = parts[: len(parts) - statement.level]
    return ".".join([*above, *filter(None, [statement.module])])


class _Unannotated(ast.NodeTransformer):
    """Without the types of arguments, which a file that defers them may have imported for a checker alone."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node
