"""Calling a user's network: which of its arguments is the number of classes, and what its options are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ablate.errors import OptionError, StudyError, nearest
from ablate.study.options import REQUIRED, check_given, convert_value, no_option
from ablate.system.messages.text import one_line
from ablate.system.process.settings import hooks_of_all_modules, settings_kept
from ablate.system.software.imports import their_code

CLASSES_AS = "classes_as"
"""The option that says by which of its arguments a network takes the number of classes."""

NAMES = (
    *("numclasses", "nclasses", "nclass", "numclass", "classes", "classnum", "classesnum", "nbclasses"),
    *("classcount", "classescount", "numlabels", "nlabels", "numcategories", "ncategories", "numcls"),
    *("outfeatures", "nout", "nouts", "numout", "numouts", "noutput", "noutputs", "numoutput"),
    *("numoutputs", "outdim", "outputdim", "outputsize", "outsize", "outputs", "outclasses"),
    *("outputclasses", "numoutputclasses", "ncls", "nc", "outputchannels", "outchannels", "outch"),
)  # fmt: skip
"""What the number of classes is called in public code, without underscores; the surest first."""

_SURE = NAMES.index("outfeatures")

OTHER_MEANINGS = frozenset({
    "depth", "width", "wide", "widen", "channel", "channels", "planes", "in", "input", "image",
    "img", "size", "resolution", "kernel", "block", "blocks", "layer", "layers", "stage",
    "stages", "cfg", "config", "conf", "args", "arguments", "opt", "options", "params",
    "hparams", "dropout", "drop", "rate", "prob", "pretrained", "weights", "checkpoint",
    "path", "file", "name", "arch", "backbone", "encoder", "stem", "norm", "act", "activation",
    "growth", "reduction", "groups", "heads", "hidden", "embed", "patch", "features",
    "filters", "model", "net", "device", "scale", "factor", "expansion", "base", "stride",
    "bias", "seed",
})  # fmt: skip
"""Words of a name that say that it is no number of classes."""

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_NAMED = (inspect.Parameter.POSITIONAL_ONLY, *_BY_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a user's class or function is called: `classes` takes their number, `options` are the others.

    `guessed` says that nothing but its place speaks for `classes`; `anything` that any option is taken.
    """

    classes: str
    guessed: bool
    options: Mapping[str, inspect.Parameter]
    positional: tuple[inspect.Parameter, ...] = ()
    anything: bool = False


def build_own(name: str, factory: Callable[..., object], classes: int, given: Any) -> nn.Module:
    """The user's network with fresh weights, called with the number of classes and these options.

    Raises:
        OptionError: an option that it does not take, or one that it needs and did not get.
        StudyError: it cannot be built, or is of a kind that cannot carry attention.
    """
    options = dict(given)
    signature = find_signature(name, factory, options.pop(CLASSES_AS, None), options)
    named = _convert(name, signature, options) | {signature.classes: classes}
    first = [named.pop(p.name, p.default) for p in signature.positional]
    how = f" (called with {signature.classes}={classes})" if signature.guessed else ""
    building = f"{name}: building it{how}"
    with settings_kept(), hooks_of_all_modules() as hooks, their_code(building):
        net = factory(*first, **named)
    if hooks:
        raise StudyError(
            f"{name}: building it registers {hooks[0]} for all modules of the process, other networks' too: "
            "register them on its own modules"
        )
    if not isinstance(net, nn.Module):
        raise StudyError(f"{name} gives {type(net).__name__}, not a torch.nn.Module")
    _check_kind(name, net)
    return net


def find_signature(
    name: str, factory: Callable[..., object], classes_as: object, given: Mapping[str, Any]
) -> Signature:
    """What `factory` takes.

    Raises:
        OptionError: nothing shows where the number of classes goes; asks for `classes_as`.
    """
    if isinstance(factory, nn.Module):
        raise StudyError(f"{name} is a network already, not a class or function that builds one")
    parameters = _parameters(name, factory)
    named = {p.name: p for p in parameters if p.kind in _NAMED}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    signature = _find_classes(name, named, anything, classes_as, given)
    return replace(
        signature,
        options={key: p for key, p in named.items() if key != signature.classes},
        positional=tuple(p for p in parameters if p.kind is p.POSITIONAL_ONLY),
        anything=anything,
    )


def _parameters(name: str, factory: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        raise StudyError(f"{name}: its arguments cannot be told; wrap it in a function") from None


def _find_classes(
    name: str,
    named: Mapping[str, inspect.Parameter],
    anything: bool,
    classes_as: object,
    given: Mapping[str, Any],
) -> Signature:
    if classes_as is not None:
        if classes_as not in named and not anything:
            raise OptionError(
                f"{name} has no argument {classes_as!r}{nearest(str(classes_as), named)}: "
                f"{CLASSES_AS} names the one that takes the number of classes"
            )
        return Signature(str(classes_as), guessed=False, options={})
    meant = _by_name(named)
    if len(meant) == 1:
        return Signature(meant[0], guessed=False, options={})
    needed = [key for key, p in named.items() if p.default is REQUIRED and key not in given]
    if not meant and len(needed) == 1 and _may_count_classes(named[needed[0]]):
        return Signature(needed[0], guessed=True, options={})
    if not meant and not needed and anything:
        return Signature("num_classes", guessed=True, options={})
    if not named:
        raise StudyError(f"{name} takes no argument: its number of classes must be one")
    which = f"one of {', '.join(meant or named)}"
    raise OptionError(
        f"{name}: which of its arguments takes the number of classes? Write "
        f"{name}({CLASSES_AS}=…) with {which}"
    )


def _by_name(named: Mapping[str, inspect.Parameter]) -> list[str]:
    """The arguments whose name says that they are the number of classes: the surest names alone."""
    plain = {key: key.replace("_", "").lower() for key in named}
    sure = [key for key, word in plain.items() if word in NAMES[:_SURE]]
    return sure or [key for key, word in plain.items() if word in NAMES]


def _may_count_classes(parameter: inspect.Parameter) -> bool:
    words = set(parameter.name.lower().split("_"))
    kind = parameter.annotation
    return not words & OTHER_MEANINGS and kind in (REQUIRED, int, "int", Any, "Any")


def _convert(name: str, signature: Signature, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the function takes them; those that are not given keep its own defaults."""
    if signature.classes in given:
        raise OptionError(
            f"{name}: {signature.classes} is the number of classes, which the images say: leave it out"
        )
    known = signature.options
    for key in given:
        if key not in known and not signature.anything:
            raise OptionError(no_option(name, key, known))
    check_given(name, {key: p.default for key, p in known.items()}, given)
    return {
        key: convert_value(name, key, value, known[key]) if key in known else value
        for key, value in given.items()
    }


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


def _check_kind(name: str, net: nn.Module) -> None:
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
