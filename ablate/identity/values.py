"""Any Python value as JSON that is the same whenever the value means the same, in every process.

What has no such form (an open file, a lock, a generator) is refused: a fingerprint that passed over it
would take two networks for one.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import pathlib
import re
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ablate.errors import StudyError
from ablate.identity.code import content, is_machinery, place
from ablate.identity.sources import is_users_file
from ablate.identity.tensors import describe_tensor
from ablate.system.software.modules import GROUND, room_of

Node = Any
"""JSON: plain values as themselves, everything else as a list that begins with what it is."""

_NAMED = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_WIDEST = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}
"""Bytes of the largest type that torch has too."""
_BUILTINS = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MethodWrapperType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
)  # fmt: skip


class Indescribable(Exception):  # noqa: N818 - a reason, turned into a StudyError by its one caller
    """A value without a description: its type, and where it was found below the first one."""

    def __init__(self, value: object, trail: str) -> None:
        super().__init__(
            f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        )
        self.trail = trail


class Describer:
    """Describes values of one network; `modules` collects the Python modules whose code they use, `codes`
    the files that functions were compiled from, and `classes` describes the classes that are not Python's,
    torch's or ours.

    `names` has the network's own modules and tensors by id: they are described once, elsewhere.
    `describe_module` describes a module that is kept outside of the network's tree.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        describe_module: Callable[[nn.Module], Node],
        *,
        named: bool,
        folder: str = "",
    ) -> None:
        self.modules: set[str] = set()
        self.codes: set[str] = set()
        self.classes: dict[str, Node] = {}
        self._names, self._describe_module = names, describe_module
        self._named, self._folder = named, folder
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[object, Node]] = {}
        self._trail: list[str] = []

    def __call__(self, value: object, key: object = None) -> Node:
        """The description of a value; `key` is how its holder calls it.

        Raises:
            Indescribable: it has none, and the study does not name the network by hand.
        """
        if type(value) is str:
            return self._placeless(value)
        if value is None or type(value) in (bool, int, float):
            return value
        if id(value) in self._names:
            return ["in the network", self._names[id(value)]]
        if id(value) in self._open:
            return ["around", len(self._open) - self._open[id(value)]]
        if id(value) in self._done:
            return self._done[id(value)][1]
        with self._inside(value, key):
            node = self._describe(value)
        self._done[id(value)] = (value, node)  # kept alive: an id is of a living object only
        return node

    @contextmanager
    def _inside(self, value: object, key: object) -> Iterator[None]:
        self._open[id(value)] = len(self._open)
        self._trail.append("" if key is None else str(key))
        try:
            yield
        finally:
            del self._open[id(value)]
            self._trail.pop()

    def _describe(self, value: Any) -> Node:  # noqa: PLR0911, PLR0912 - a table of kinds, in their order
        kind = type(value)
        if kind in (list, tuple, torch.Size):
            return [kind.__name__, *(self(part, f"[{i}]") for i, part in enumerate(value))]
        if isinstance(value, (set, frozenset)):
            return [self(kind), *sorted((self(part) for part in value), key=_text)]
        if kind is dict:
            return ["dict", *([self(k), self(v, f"[{k!r}]")] for k, v in value.items())]
        if kind in (bytes, bytearray):
            return ["bytes", hashlib.sha256(value).hexdigest()]
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return [*self._array(np.asarray(value), kind), *self._beside_array(value)]
        if isinstance(value, nn.Module):
            return ["module", self._describe_module(value)]
        if isinstance(value, _NAMED):
            return [kind.__name__, str(value)]
        if isinstance(value, enum.Enum):
            return ["enum", self(kind), value.name, self(value.value)]
        if isinstance(value, pathlib.PurePath):
            return ["path", self._placeless(value.as_posix())]
        if isinstance(value, types.ModuleType):
            return ["python module", self._reach(value.__name__)]
        if isinstance(value, RemovableHandle):
            return ["handle of a hook"]  # the hook itself is described at its module
        if isinstance(value, re.Pattern):
            return ["pattern", self(value.pattern), value.flags]
        if isinstance(value, np.ufunc):
            return ["ufunc", value.__name__, value.signature]
        if isinstance(value, weakref.ref):
            return ["weak", self(value())]
        if isinstance(value, torch.Generator):
            return ["generator", str(value.device), describe_tensor(value.get_state())]
        if isinstance(value, type):
            return self._class(value)
        return self._callable(value) if callable(value) else self._object(value)

    def _tensor(self, tensor: Tensor) -> Node:
        try:
            return describe_tensor(tensor)
        except (RuntimeError, TypeError) as error:  # nested ones have no size
            return self._refuse(tensor, error)

    def _array(self, array: np.ndarray[Any, Any], kind: type) -> list[Node]:
        if array.dtype.kind in "biufc" and array.dtype.itemsize <= _WIDEST[array.dtype.kind]:
            values = torch.from_numpy(
                np.array(array, dtype=array.dtype.newbyteorder("="), copy=True)
            )
            return [kind.__name__, describe_tensor(values)]
        if array.dtype.kind in "fc":  # more than torch's types hold
            return [kind.__name__, str(array.dtype), [str(v) for v in array.reshape(-1)]]
        return [kind.__name__, str(array.dtype), self(array.tolist())]

    def _beside_array(self, value: Any) -> list[Node]:
        """What an array of another class has beside its values."""
        mask = [self(np.ma.getmaskarray(value))] if isinstance(value, np.ma.MaskedArray) else []
        users = is_users_file(type(value).__module__)
        return [*mask, *([self(vars(value))] if users and hasattr(value, "__dict__") else [])]

    def _callable(self, value: Any) -> Node:  # noqa: PLR0911 - a table, as above
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return ["method", self(value.__self__), self(value.__func__)]
        if isinstance(value, functools.partial):
            return ["partial", self(value.func), self(value.args), self(value.keywords)]
        if isinstance(value, _BUILTINS):
            return self._builtin(value)
        if type(value).__module__.startswith("torch._ops"):
            return ["operator", str(value)]
        if isinstance(value, torch.jit.ScriptFunction):
            return ["script", value.code]
        if isinstance(value, functools._lru_cache_wrapper):
            return ["cached", self(value.__wrapped__)]
        return self._object(value)

    def _function(self, function: types.FunctionType) -> Node:
        """Where it stands, what it closes over, its defaults; its code, if no file has it."""
        node: list[Node] = ["function", self._reach(function.__module__), function.__qualname__]
        if room_of(function.__module__) not in GROUND:
            self.codes.add(function.__code__.co_filename)
            node.append(place(function.__code__))
        cells = [self(content(cell), "closure") for cell in function.__closure__ or ()]
        extra = [cells, self(function.__defaults__), self(function.__kwdefaults__)]
        node += [extra] if any(extra) else []
        return [*node, *self._beside_function(function)]

    def _beside_function(self, function: types.FunctionType) -> list[Node]:
        """What somebody laid into a function: not the one that it wraps, which it closes over, nor what
        torch notes of compiling it."""
        laid = {k: v for k, v in vars(function).items() if not k.startswith(("__", "_torch"))}
        if not laid or room_of(function.__module__) in GROUND:
            return []
        return [{key: self.leniently(value) for key, value in laid.items()}]

    def _builtin(self, value: Any) -> Node:
        owner = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
        return ["builtin", getattr(value, "__module__", None), value.__name__, self(owner)]

    def _class(self, kind: type) -> Node:
        """Its name; of a user's, `classes` has the bases, what its functions close over and its values."""
        node: list[Node] = ["class", self._reach(kind.__module__), kind.__qualname__]
        if room_of(kind.__module__) in GROUND:
            return node
        name = f"{kind.__module__}.{kind.__qualname__}"
        node.append(sum(known.startswith(f"{name}#") for known in self.classes))
        self._done[id(kind)] = (kind, node)  # its functions may close over it
        about: list[Node] = []
        self.classes[f"{name}#{node[-1]}"] = about
        about.append([self(base) for base in kind.__bases__])
        if is_users_file(kind.__module__) and not issubclass(kind, enum.Enum):
            about += [[k, self.leniently(v)] for k, v in vars(kind).items() if not is_machinery(k)]
        return node

    def leniently(self, value: object) -> Node:
        """The description of a value that the source tells too, unless it was changed while running."""
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        try:
            return self(inner)
        except Indescribable as reason:
            return ["of type", str(reason)]
        except (StudyError, RecursionError):
            return ["of type", str(Indescribable(inner, ""))]  # a module that keeps a lock, say

    def _object(self, value: Any) -> Node:
        """An object by what `pickle` and `copy` would take of it, and what its class hides from these."""
        try:
            taken = value.__reduce_ex__(2)
        except Exception as error:
            # Whatever a class raises here, it says that its objects cannot be taken apart.
            return self._refuse(value, error)
        if isinstance(taken, str):
            return ["named", self(type(value)), taken, *self._hidden(value, None)]
        make, args, state, items, pairs = (*taken, *[None] * 5)[:5]
        hidden = self._hidden(value, state)
        if state is None and items is None and pairs is None and not args:
            return ["object", self(type(value)), self(make), *hidden]
        node = ["object", self(type(value)), self(make), self(args)]
        node.append(self._state(state))
        return [*node, self(list(items or ())), self([list(p) for p in pairs or ()]), *hidden]

    def _hidden(self, value: object, state: object) -> list[Node]:
        """The attributes of an object of a user's class that its own `__reduce__` or `__getstate__` leaves
        out."""
        if not is_users_file(type(value).__module__):
            return []
        held = getattr(value, "__dict__", {})
        told = state[0] if isinstance(state, tuple) and state else state
        told = told if isinstance(told, dict) else {}
        left = {k: v for k, v in held.items() if k not in told or told[k] is not v}
        return [{str(k): self.leniently(v) for k, v in left.items()}] if left else []

    def _state(self, state: object) -> Node:
        if type(state) is dict:
            return ["state", *([str(k), self(v, f".{k}")] for k, v in state.items())]
        return self(state)

    def _refuse(self, value: object, error: Exception) -> Node:
        if self._named:
            return ["named by hand"]
        raise Indescribable(value, "".join(self._trail)) from error

    def _placeless(self, text: str) -> str:
        """Text in which the folder of the user's package is not named: it is another on every machine."""
        return text.replace(self._folder, "…") if self._folder else text

    def _reach(self, module: str | None) -> str:
        if module:
            self.modules.add(module)
        return module or ""


def _text(node: Node) -> str:
    return json.dumps(node, sort_keys=True)
