"""What a test leaves in its process of a user's code that it imported, and taking it away again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ablate import model
from ablate.identity import known, own_attention
from ablate.measure import architecture
from ablate.network import fresh, places, pretrained, repeats, trace
from ablate.system.software.imports import allow_imports
from ablate.system.software.modules import is_installed

CACHES = (
    architecture._count_backbone,
    fresh._check_own,
    fresh._shared_by_attention,
    fresh._shared_parts,
    known.known_origin,
    model._problem_at,
    own_attention._known,
    places.find_places,
    pretrained._check_values,
    pretrained._slots,
    repeats.check_attention_repeats,
    repeats.check_repeats,
    trace._built,
    trace._needs_weights,
    trace.trace,
)
"""What a process remembers of a network or an attention by its name, which the next package may have too."""


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Afterwards what may be imported, and from where, is as before, as are the settings of this program;
    modules that were imported from files in the folder are forgotten, with all that was found of them.
    """
    modules, path, settings = set(sys.modules), list(sys.path), _settings()
    try:
        yield
    finally:
        allow_imports([])  # forgets for which study packages were allowed, too
        for name in _settings().keys() - settings.keys():
            del os.environ[name]
        os.environ.update(settings)
        # A library may need what it added to find its own parts.
        sys.path[:] = [each for each in sys.path if each in path or is_installed(Path(each))]
        theirs = [name for name in sys.modules.keys() - modules if _lies_in(folder, name)]
        for name in theirs:
            del sys.modules[name]
        if theirs:
            forget_findings()


def forget_findings() -> None:
    """As in a new process: what was found of networks and attention is found anew."""
    for cache in CACHES:
        cache.cache_clear()


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ABLATE_")}


def _lies_in(folder: Path, name: str) -> bool:
    module = sys.modules[name]
    if not isinstance(module, ModuleType):
        return False
    places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
    return any(place is not None and Path(place).is_relative_to(folder) for place in places)
