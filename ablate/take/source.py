"""The source of attention in plain PyTorch: of our classes what a forward needs, and nothing of ablate's."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType

from ablate.attention import Attention

OURS = "ablate."
LEFT_OUT = {"fused", "parameter_count", "extra_repr"}
"""Methods that no plain forward needs."""
PLAIN = "return self.plain(x)"
BASES = {"Attention", "nn.Module"}


def plain_source(kinds: Iterable[type[Attention]]) -> tuple[list[str], dict[str, str]]:
    """The imports, and the definitions by name in an order in which each knows those before it."""
    found: dict[str, str] = {}
    imports: dict[str, None] = {}
    for kind in kinds:
        module = inspect.getmodule(kind)
        if module is None:
            raise TypeError(f"{kind.__qualname__} is in no module")
        _add(module, kind.__name__, found, imports)
    return list(imports), found


def _add(module: ModuleType, name: str, found: dict[str, str], imports: dict[str, None]) -> None:
    """What a name of a module stands for, after all that it uses."""
    if name in found:
        return
    statement = _top_level(module.__name__).get(name)
    if statement is None:
        return  # a builtin, or a name of its own
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        _import(statement, name, found, imports)
        return
    plain = Plain().visit(statement)
    found[name] = ""  # it may name itself, and a local may be called as something outside is
    for used in _names(plain):
        _add(module, used, found, imports)
    del found[name]  # behind all that it uses
    found[name] = ast.unparse(ast.fix_missing_locations(plain))


def _import(
    statement: ast.Import | ast.ImportFrom,
    name: str,
    found: dict[str, str],
    imports: dict[str, None],
) -> None:
    room = statement.module if isinstance(statement, ast.ImportFrom) else None
    if room is not None and room.startswith(OURS):
        _add(importlib.import_module(room), name, found, imports)
        return
    alias = next(each for each in statement.names if (each.asname or each.name) == name)
    only = ast.ImportFrom(room, [alias], 0) if room is not None else ast.Import([alias])
    imports[ast.unparse(only)] = None


@cache
def _parsed(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def _top_level(module: str) -> dict[str, ast.stmt]:
    """The statements of a module by the names that they give; parsed anew, since they are changed."""
    named: dict[str, ast.stmt] = {}
    for statement in ast.parse(_parsed(module)).body:
        for name in _given(statement):
            named[name] = statement
    return named


def _given(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign):
        names = [node for target in statement.targets for node in ast.walk(target)]
        yield from (node.id for node in names if isinstance(node, ast.Name))


def _names(node: ast.AST) -> list[str]:
    """The names that a definition uses, without those in annotations, which nobody evaluates."""
    return list(dict.fromkeys(each.id for each in ast.walk(node) if isinstance(each, ast.Name)))


class Plain(ast.NodeTransformer):
    """Without other ways to compute, what describes a module, types, and errors of ours."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.bases = [base for base in node.bases if ast.unparse(base) in BASES]
        node.body = [each for each in node.body if not _is_left_out(each)]
        if node.name == Attention.__name__:
            node.body[0] = ast.Expr(
                ast.Constant("A module that reweights a feature map (N, C, H, W).")
            )
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list = []
        node.returns = None
        every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        for argument in every:
            argument.annotation = None
        if node.name == "forward" and "is_scripting" in ast.unparse(node):
            node.body = ast.parse(PLAIN).body
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        value = node.value
        return node if value is None else ast.Assign([node.target], self.visit(value), lineno=0)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("ValueError", node.ctx) if node.id == "OptionError" else node


def _is_left_out(statement: ast.stmt) -> bool:
    """Methods, class attributes and abstract methods that a plain forward does not need."""
    if isinstance(statement, ast.FunctionDef):
        abstract = any("abstractmethod" in ast.unparse(each) for each in statement.decorator_list)
        return statement.name in LEFT_OUT or abstract
    names = ("kernel", "version")
    target = statement.target if isinstance(statement, ast.AnnAssign) else None
    return isinstance(target, ast.Name) and target.id in names
