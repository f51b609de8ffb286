"""Everything about one built network that is not in its structure: settings, hooks, tensors, flags."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import StudyError
from ablate.identity.sources import Sources, folder_of
from ablate.identity.tensors import describe_tensor, is_empty
from ablate.identity.values import Describer, Indescribable, Node
from ablate.system.software.modules import room_of

HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
    "_state_dict_hooks", "_load_state_dict_pre_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)  # fmt: skip
HOOKS_ON_TENSORS = ("_backward_hooks", "_post_accumulate_grad_hooks")
MACHINERY = frozenset(vars(nn.Module())) | {"call_super_init", "dump_patches"}
"""The attributes that every module has: its tensors, children and hooks are described each in its way."""

READ = "read by modules"
"""The part of a description that a network has only where modules of it read a file when imported."""


@dataclass(frozen=True)
class NetworkState:
    """A description of a network, the names of the Python modules whose code it uses, and the files that
    its functions were compiled from."""

    tree: Node
    modules: frozenset[str]
    codes: frozenset[str]


def take_snapshot(
    net: nn.Module, backbone: str, factory: str, *, named: bool, as_imported: bool = False
) -> NetworkState:
    """Describe a network as training would get it, in training mode.

    `backbone` is its name in a study, `factory` the module of the function or class that built it,
    `as_imported` is that of `Sources`.

    Raises:
        StudyError: a setting that cannot be described, unless the study names the network (`named`).
    """
    net.train()
    names = {id(module): path or "the network" for path, module in net.named_modules()}
    names |= {id(tensor): name for name, tensor in _tensors(net)}
    describe: Describer
    describe = Describer(
        names,
        lambda module: _outside(describe, module, backbone),
        named=named,
        folder=folder_of(factory),
    )
    tree = _network(describe, net, backbone)
    reached = {*describe.modules, factory}
    sources = Sources.reached_from(reached, describe.codes, as_imported=as_imported)
    tree["globals"] = {key: describe.leniently(value) for key, value in sources.globals.items()}
    if sources.read:
        tree[READ] = {key: describe.leniently(value) for key, value in sources.read.items()}
    return NetworkState(
        {**tree, "classes": describe.classes},
        frozenset(describe.modules),
        frozenset(describe.codes),
    )


def _outside(describe: Describer, module: nn.Module, backbone: str) -> Node:
    # Nothing but its constructor puts it into a mode: training does not reach it.
    resting = [] if module.training else ["evaluates"]
    return [str(module), _network(describe, module, backbone), *resting]


def _network(describe: Describer, net: nn.Module, backbone: str) -> dict[str, Node]:
    modules = dict(net.named_modules())
    return {
        "kinds": {path: describe(type(module)) for path, module in modules.items()},
        "settings": {p: _attributes(describe, p, m, backbone) for p, m in modules.items()},
        "tensors": {name: describe_tensor(tensor) for name, tensor in _tensors(net)},
        "shared": dict(_shared(net)),
        "flags": flags(net),
        "hooks on tensors": {
            name: describe(hooks) for name, tensor in _tensors(net) if (hooks := _hooks_on(tensor))
        },
    }


def flags(net: nn.Module) -> dict[str, list[str]]:
    """Parameters that are frozen, and modules that do not follow the network into training mode."""
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    resting = [path for path, module in net.named_modules() if module.training != net.training]
    found = {"frozen": frozen, "resting": resting}
    return {key: names for key, names in found.items() if names}


def _tensors(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from net.named_parameters()
    yield from net.named_buffers()


def _hooks_on(tensor: Tensor) -> list[Any]:
    return [hook for kind in HOOKS_ON_TENSORS for hook in (getattr(tensor, kind) or {}).values()]


def _shared(net: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of tensors and modules that are other names of the same: tied weights learn together."""
    for walk in (net.named_parameters, net.named_buffers, net.named_modules):
        first: dict[int, str] = {}
        for name, part in walk(remove_duplicate=False):
            known = first.setdefault(id(part), name)
            if known != name:
                yield name, known
    yield from _overlapping(net)


def _overlapping(net: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of parameters, each of its own, that lie in the same memory."""
    storages: dict[int, list[tuple[int, int, str]]] = {}
    for name, tensor in net.named_parameters():
        if not is_empty(tensor) and tensor.layout == torch.strided and tensor.numel():
            start, end = _span(tensor)
            known = storages.setdefault(tensor.untyped_storage().data_ptr(), [])
            yield from ((name, other) for low, high, other in known if low < end and start < high)
            known.append((start, end, name))


def _span(tensor: Tensor) -> tuple[int, int]:
    """The first value of a tensor in its storage, and the one after its last."""
    start = int(tensor.storage_offset())
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + last + 1


def _attributes(describe: Describer, path: str, module: nn.Module, backbone: str) -> Node:
    found = {}
    for key, value in _settings(module).items():
        try:
            found[key] = describe(value)
        except (Indescribable, RecursionError) as reason:
            where = f"{key}{getattr(reason, 'trail', '')}"
            kind = reason if isinstance(reason, Indescribable) else "a chain without an end"
            raise StudyError(
                f"{backbone}: {path or 'the network'} keeps {where!r} of type {kind}, which says nothing "
                "about itself that could tell two networks apart: keep it elsewhere, or name the network "
                'by hand with identity = "…" in the study, another name after every change'
            ) from reason
    return found


def _settings(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes and hooks. Of torch's modules, what the user set or chose unlike torch."""
    values = vars(module)
    found = {k: v for k, v in values.items() if k not in MACHINERY}
    if room_of(type(module).__module__) == "torch":
        defaults, made = _constructor(type(module))  # type: ignore[arg-type] # nn.Module's own hash
        found = {k: v for k, v in found.items() if k not in made or _chosen(k, v, defaults)}
    found |= {key: list(values[key].values()) for key in HOOKS if values.get(key)}
    code = getattr(module, "code", None) if room_of(type(module).__module__) == "torch" else None
    return found | ({"code": code} if isinstance(code, str) else {})


def _chosen(key: str, value: object, defaults: dict[str, Any]) -> bool:
    if key not in defaults:
        return callable(value)
    default = defaults[key]
    plain = (bool, int, float, str, tuple)
    same = value is default or (isinstance(value, plain) and type(value) is type(default))
    return not (same and (value is default or value == default))


@lru_cache(maxsize=512)
def _constructor(kind: type) -> tuple[dict[str, Any], frozenset[str]]:
    """Of a module of torch: its constructor's arguments with their defaults, and all that it sets itself."""
    defaults: dict[str, Any] = {}
    made: set[str] = set()
    for base in kind.__mro__:
        init = vars(base).get("__init__")
        if base is not nn.Module and inspect.isfunction(init):
            made.update(init.__code__.co_names)
            parameters = inspect.signature(init).parameters
            defaults = {**{k: p.default for k, p in parameters.items()}, **defaults}
    return defaults, frozenset(made | set(defaults))
