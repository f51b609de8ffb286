"""What of our attention modules shows neither in their structure nor in what they print."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from ablate.attention import Attention, OwnAttention
from ablate.identity.network_state import MACHINERY
from ablate.identity.values import Describer
from ablate.study.options import keyword_options

FIRST_VERSION = 1
OF_OTHERS = {"kernel", "_scale"}
"""Attributes that change no result, or follow from an option: a gate's scale from its start."""


def attention_settings(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Of every attention module of ours, by path: its version after the first, and options unlike their
    defaults.

    Raises:
        Indescribable: an attribute without a description, which no module of ours may have.
    """
    found = {
        path: _settings(m)
        for path, m in net.named_modules()
        if isinstance(m, Attention) and not isinstance(m, OwnAttention)
    }
    return {path: settings for path, settings in found.items() if settings}


def _settings(module: Attention) -> dict[str, Any]:
    describe = Describer({}, lambda inner: [type(inner).__qualname__], named=False)
    shown = module.extra_repr()
    found = {
        key: describe(value)
        for key, value in vars(module).items()
        if key not in MACHINERY | OF_OTHERS and not _told(module, key, value, shown)
    }
    return found | ({"version": module.version} if module.version != FIRST_VERSION else {})


def _told(module: Attention, key: str, value: object, shown: str) -> bool:
    options = keyword_options(type(module))
    positional = inspect.signature(type(module)).parameters.keys() - options.keys()
    at_default = key in options and type(value) is type(options[key]) and value == options[key]
    return key in positional or at_default or f"{key}={value}" in shown
