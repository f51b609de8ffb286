"""Where a user's attention comes from: its settings, weights and source, as those of a user's network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from torch import nn

from ablate.attention import OwnAttention, OwnCall
from ablate.attention.own_signature import find_own
from ablate.errors import StudyError
from ablate.identity.origin import Origin, Theirs, describe_theirs, module_of
from ablate.network.fresh import make_own_attention
from ablate.system.software.modules import room_of

_EVERYONES = {"torch", "numpy"}


def attention_origin(
    call: OwnCall, identity: str | None = None, *, as_imported: bool = False
) -> Origin:
    """What there is to tell of a user's attention at a place. With `as_imported` its source is what this
    process runs.

    Raises:
        StudyError: it cannot be built or described, or its package changes what all networks use.
    """
    if as_imported:
        return _find(call, identity, as_imported=True)
    return _known(call, call.words, identity)


@lru_cache(maxsize=256)
def _known(call: OwnCall, _words: str, identity: str | None) -> Origin:
    # By its words too: 1 and True are one key.
    return _find(call, identity, as_imported=False)


def forget_attention() -> None:
    """What was found before counts no more."""
    _known.cache_clear()


def _find(call: OwnCall, identity: str | None, *, as_imported: bool) -> Origin:
    theirs = Theirs(
        call.name,
        module_of(find_own(call.name)),
        lambda: make_own_attention(call).module,
        call.place,
    )
    origin = describe_theirs(theirs, identity, as_imported=as_imported)
    changed = origin.network.get("globals", {})
    for name in changed if isinstance(changed, dict) else ():
        if room_of(name) in _EVERYONES:
            raise StudyError(
                f"{call.name}: its package replaces {name}, which every other variant uses too: "
                "variants would differ in more than attention; put what it needs into its own classes"
            )
    return origin


def attention_origins(net: nn.Module, identity: str | None = None) -> dict[str, str]:
    """The hash of each attention of the user's in a network, by its path.

    Raises:
        StudyError: as `attention_origin`.
    """
    return {path: attention_origin(call, identity).digest for path, call in calls_in(net).items()}


def calls_in(net: nn.Module) -> Mapping[str, OwnCall]:
    """By what each attention of the user's in a network was made, by its path."""
    return {path: m.call for path, m in net.named_modules() if isinstance(m, OwnAttention)}
