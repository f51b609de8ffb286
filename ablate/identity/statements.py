"""What the statements of a source file say: which modules they import, which globals they change, which
variables of the environment they read, and whether importing the file reads others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_IMPORTING = {"import_module", "__import__", "resolve_name", "locate"}
_CHANGING = {"update", "append", "extend", "insert", "add", "setdefault", "pop", "clear", "remove"}
_READING = re.compile(
    r"""^( open | read | load | parse | File | imread | fromfile | memmap | genfromtxt | get_data | run_path
      | run_module | exec_module | check_output | getoutput
      | (read|load|open)_\w+ | \w+_load | (merge_)?from_(file|path|yaml|json|toml|csv|ini|pretrained)
      | loadtxt | loadmat | ifstream )$""",
    re.VERBOSE,
)
"""What is called to read a file, by the last part of its name."""
ANY = "*"
"""The name of a global whose name is computed."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")


@dataclass(frozen=True)
class Statements:
    """`imports`: of every import the dots it begins with, the module, and the names taken from it; also of
    `import_module("name")` and its like.

    `changed`: the names that a function declares global, assigns an attribute or an item of, or changes by a
    method, and the attributes between: `global act`, `CONFIG["act"] = …`, `tools.act = …`, `T.fill_(0)`.

    `patched`: what among them is an attribute that is assigned, with all attributes on the way to it.

    `literals`: what is written out once in a file, and touched by no other statement outside of functions.

    `variables`: the names of the environment that it reads: `os.environ["SCALE"]`, `getenv("SCALE")`; and
    `asks_environment` that it does so at all, when any of its `words` may be the name of one.

    `reads`: that importing it reads a file. `calls` are the functions that importing it calls, by the last
    part of their names, and `callers` those that are called by its own functions and classes.
    """

    imports: tuple[tuple[int, str | None, tuple[str, ...]], ...] = ()
    changed: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    patched: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    literals: dict[str, Any] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    asks_environment: bool = False
    words: frozenset[str] = frozenset()
    reads: bool = False
    calls: frozenset[str] = frozenset()
    callers: dict[str, frozenset[str]] = field(default_factory=dict)


@lru_cache(maxsize=1024)
def read_statements(content: bytes) -> Statements:
    """The statements of a file, wherever in it; none of a file that is not Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return Statements()  # it was not imported as it stands, and its content is hashed anyway
    nodes = list(ast.walk(tree))
    functions = [n for n in nodes if isinstance(n, _FUNCTIONS)]
    within = [node for function in functions for node in ast.walk(function)]
    changed = {each for node in within for each in _changed(node)}
    at_import = list(_run_at_import(tree))
    calls = frozenset(_calls(at_import))
    return Statements(
        imports=tuple(each for node in nodes for each in _imported(node)),
        changed=frozenset(changed),
        patched=frozenset(each for node in within for each in _patched(node) if each[1]),
        literals=_literals(tree, at_import),
        variables=frozenset(each for node in nodes for each in _read_variable(node)),
        asks_environment=any(_asks_environment(node) for node in nodes),
        words=frozenset(_texts(nodes, _VARIABLE)),
        reads=any(map(is_reading, calls)),
        calls=calls,
        callers=dict(_callers(nodes)),
    )


def is_reading(function: str) -> bool:
    """Whether what is called so reads a file."""
    return _READING.match(function) is not None


def _imported(node: ast.AST) -> Iterator[tuple[int, str | None, tuple[str, ...]]]:
    if isinstance(node, ast.Import):
        yield from ((0, alias.name, ()) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.level, node.module, tuple(alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and _last_name(node.func) in _IMPORTING and node.args:
        named = node.args[0]
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            name = named.value.replace(":", ".")
            module = name.lstrip(".")
            above, _, last = module.rpartition(".")
            dots = len(name) - len(module)
            yield dots, module, ()
            yield from [(dots, above, (last,))] if above else []


def _run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those within functions, of which importing a file runs the defaults and decorators."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            todo += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            todo += getattr(node, "decorator_list", [])
        else:
            todo += ast.iter_child_nodes(node)


def _calls(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        name = _last_name(node.func) if isinstance(node, ast.Call) else None
        if name is not None:
            yield name


def _callers(nodes: list[ast.AST]) -> Iterator[tuple[str, frozenset[str]]]:
    """What is called within functions and classes: those that share a name are one."""
    found: dict[str, frozenset[str]] = {}
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name.startswith("__"):
                continue  # every class has one, and calls that of its base
            made = frozenset(_calls(list(_within(node))))
            found[node.name] = found.get(node.name, frozenset()) | made
    yield from found.items()


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """What calling a function or class runs: of a class, what makes an object."""
    if not isinstance(node, ast.ClassDef):
        yield from ast.walk(node)
        return
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name in {
            "__init__",
            "__new__",
            "__post_init__",
        }:
            yield from ast.walk(part)


def _literals(tree: ast.Module, at_import: list[ast.AST]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, written in [each for node in tree.body for each in _assigned(node)]:
        try:
            found[name] = ast.literal_eval(written)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue  # it is computed
    stored = [n.id for n in at_import if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    touched = {each[0] for node in at_import for each in _changed(node)}
    return {
        name: value
        for name, value in found.items()
        if stored.count(name) == 1 and name not in touched and name[:2] != "__"
    }


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names of `a = …`, `a: int = …` and `a, b = …, …`, each with what is written for it."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target] if node.value is not None else []
    elif isinstance(node, ast.Assign):
        targets = node.targets
    for target in targets:
        value = node.value  # type: ignore[attr-defined]
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts, strict=False)
            yield from ((one.id, other) for one, other in pairs if isinstance(one, ast.Name))


def _texts(nodes: list[ast.AST], shape: re.Pattern[str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if shape.fullmatch(text):
                yield text


def _asks_environment(node: ast.AST) -> bool:
    words = {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in words for alias in node.names)
    return isinstance(node, (ast.Attribute, ast.Name)) and _last_name(node) in words


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


def _changed(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, ast.Global):
        yield from ((name, ()) for name in node.names)
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(
        node.ctx, (ast.Store, ast.Del)
    ):
        yield from _root(node)
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and _changes(called.attr):
            yield from _root(called.value)
        elif _last_name(called) == "setattr" and node.args:
            yield from _root(ast.Attribute(node.args[0], _text(node.args[1:2])))


def _patched(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield from _root(node)
    elif isinstance(node, ast.Call) and _last_name(node.func) == "setattr" and len(node.args) > 1:
        yield from _root(ast.Attribute(node.args[0], _text(node.args[1:2])))


def _changes(method: str) -> bool:
    """Whether a method changes what it is of; those of tensors end in one underscore."""
    return method in _CHANGING or (method.endswith("_") and not method.endswith("__"))


def _text(nodes: list[ast.expr]) -> str:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return str(values[0]) if values else ""


def _root(node: ast.expr) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name at the root of `a.b["c"].d`, and the attributes of it before the first item; `globals()["a"]`
    and `vars(a)["b"]` are `a`."""
    path: list[str] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript):
            path = []
            if isinstance(node.value, ast.Call) and _last_name(node.value.func) == "globals":
                yield _text([node.slice]) or ANY, ()
                return
        else:
            path = [node.attr, *path]
        node = node.value
        if isinstance(node, ast.Call) and _last_name(node.func) == "vars" and node.args:
            node, path = node.args[0], []
    if isinstance(node, ast.Name):
        yield node.id, tuple(path)
    elif isinstance(node, ast.Call) and _last_name(node.func) == "globals":
        yield ANY, ()
