"""What the statements of a source file say: which modules they import, which globals they change, which
variables of the environment they read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Statements:
    """`imports`: of every import the dots it begins with, the module, and the names taken from it.

    `changed`: the names that a function declares global, or assigns an attribute or an item of; and the
    attribute, where it is one: `global act`, `CONFIG["act"] = …`, `tools.act = …`.

    `variables`: the names of the environment that it reads: `os.environ["SCALE"]`, `getenv("SCALE")`.
    """

    imports: tuple[tuple[int, str | None, tuple[str, ...]], ...] = ()
    changed: frozenset[tuple[str, str | None]] = frozenset()
    variables: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)
def read_statements(content: bytes) -> Statements:
    """The statements of a file, wherever in it; none of a file that is not Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return Statements()  # it was not imported as it stands, and its content is hashed anyway
    nodes = list(ast.walk(tree))
    functions = [
        n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    ]
    changed = {
        each for function in functions for node in ast.walk(function) for each in _changed(node)
    }
    return Statements(
        imports=tuple(each for node in nodes for each in _imported(node)),
        changed=frozenset(changed),
        variables=frozenset(each for node in nodes for each in _read_variable(node)),
    )


def _imported(node: ast.AST) -> Iterator[tuple[int, str | None, tuple[str, ...]]]:
    if isinstance(node, ast.Import):
        yield from ((0, alias.name, ()) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.level, node.module, tuple(alias.name for alias in node.names)


def _read_variable(node: ast.AST) -> Iterator[str]:
    name: ast.expr | None = None
    if isinstance(node, ast.Subscript) and _last_name(node.value) == "environ":
        name = node.slice
    elif isinstance(node, ast.Call) and node.args:
        called = node.func
        of_environ = isinstance(called, ast.Attribute) and _last_name(called.value) == "environ"
        name = node.args[0] if of_environ or _last_name(called) == "getenv" else None
    elif isinstance(node, ast.Compare) and _last_name(node.comparators[0]) == "environ":
        name = node.left
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        yield name.value


def _last_name(node: ast.expr) -> str | None:
    """`environ` of `os.environ` as of `environ`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _changed(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Global):
        yield from ((name, None) for name in node.names)
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
        yield from _root(node)
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in _CHANGING:
            yield from _root(called.value)


def _root(node: ast.expr) -> Iterator[tuple[str, str | None]]:
    """The name at the root of `a.b["c"].d`, and the first attribute of it."""
    attribute = None
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        attribute = node.attr if isinstance(node, ast.Attribute) else None
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id, attribute


_CHANGING = {"update", "append", "extend", "insert", "add", "setdefault", "pop", "clear", "remove"}
