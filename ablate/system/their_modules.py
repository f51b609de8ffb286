"""A module that a user's code builds: under which settings, and which kinds of modules are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ablate.errors import StudyError
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import seeded
from ablate.system.process.settings import hooks_of_all_modules, settings_kept
from ablate.system.software.imports import import_object, their_code


def find_theirs(name: str) -> Any:
    """What `package.module:attribute` names; what its package draws and sets while it is imported is undone.

    Raises:
        StudyError: it may not be imported, or cannot be.
    """
    with seeded(0), settings_kept():
        return import_object(name)


def build_theirs(name: str, doing: str, make: Callable[[], object]) -> nn.Module:
    """What a user's class or function makes; `doing` says in errors what was done.

    Raises:
        StudyError: it fails, makes no module, or one of a kind that cannot carry attention or be it.
    """
    with settings_kept(), hooks_of_all_modules() as hooks, their_code(doing):
        made = make()
    if hooks:
        raise StudyError(
            f"{name}: building it registers {hooks[0]} for all modules of the process, other networks' too: "
            "register them on its own modules"
        )
    if not isinstance(made, nn.Module):
        raise StudyError(f"{name} gives {type(made).__name__}, not a torch.nn.Module")
    check_kind(name, made)
    return made


def _check_modes(name: str, where: str, module: nn.Module) -> None:
    training = module.training
    try:
        module.eval()
        module.train(training)
    except Exception as error:
        raise StudyError(
            f"{name}: {where} cannot be switched between training and evaluation ({one_line(error)}), as "
            "what torch.export made: build it from the ordinary module"
        ) from error


def check_kind(name: str, net: nn.Module) -> None:
    """Refuse modules that hide from hooks, are compiled, or whose shapes an image must first decide."""
    for path, module in net.named_modules():
        where = f"its module {path!r}" if path else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise StudyError(
                f"{name}: {where} is TorchScript, where attention cannot go and whose settings cannot "
                "be seen: build it from the ordinary module"
            )
        if {"train", "eval"} & vars(module).keys():
            _check_modes(name, where, module)
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
            raise StudyError(
                f"{name}: {where} is compiled, and what was compiled leaves out hooks that come later, such "
                "as attention's: build it without torch.compile"
            )
        tensors = [*module._parameters.values(), *module._buffers.values()]
        if any(is_lazy(tensor) for tensor in tensors if tensor is not None):
            raise StudyError(
                f"{name}: {where} is a lazy {type(module).__name__} without a shape: give it its number "
                "of inputs, or show the network one image where it is built"
            )
