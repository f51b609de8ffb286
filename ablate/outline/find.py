"""Outlines that are remembered, or else built and remembered. Only building loads torch."""

from __future__ import annotations

import contextlib
import re
import sys
from functools import cache

from pydantic import TypeAdapter, ValidationError

from ablate.datasets.sealed import load_sealed, store_sealed
from ablate.errors import OutputError
from ablate.outline.asked import Asked, Outlines
from ablate.outline.unchanged import are_unchanged
from ablate.result import Architecture
from ablate.study.options import split_call
from ablate.system.software.imports import check_allowed
from ablate.system.software.program import runs_as_written

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def find_outlines(asked: Asked) -> Outlines:
    """What the variants are on paper.

    Raises:
        StudyError: a variant that cannot be built, or not for images of this size.
    """
    if asked.is_own:
        check_allowed(split_call(asked.backbone)[0])
    # Before anything is imported: that adds to the path and to the environment, and the next process is
    # asked before it, too.
    name = asked.name
    known = _remembered(name, asked) if _names_are_ours() else None
    if known is not None:
        _forget_what_was_found()
        return known
    from ablate.outline.build import build_outlines

    built = build_outlines(asked)
    if built.files is not None and _names_are_ours() and runs_as_written():
        # A cache that cannot be written: built again next time.
        with contextlib.suppress(OutputError):
            store_sealed(name, _adapter().dump_python(built, mode="json"))
    return built


def _remembered(name: str, asked: Asked) -> Outlines | None:
    """None if nothing is, nothing that this program can have written, or something has changed since."""
    content = load_sealed(name)
    if content is None:
        return None
    try:
        found = _adapter().validate_json(content, strict=True)
    except ValidationError:
        return None
    return found if _makes_sense(asked, found) and are_unchanged(found) else None


def _makes_sense(asked: Asked, found: Outlines) -> bool:
    named = found.named
    if asked.is_own != (named is not None):
        return False
    if named is not None and (named.backbone, named.classes) != (asked.backbone, asked.classes):
        return False
    return len(found.architectures) == len(asked.variants) and all(
        _adds_up(asked, each) for each in found.architectures
    )


def _adds_up(asked: Asked, found: Architecture) -> bool:
    inserted = [layer.count for layer in found.layers if layer.attention]
    return (
        found.backbone == asked.backbone
        and _FINGERPRINT.fullmatch(found.fingerprint) is not None
        and min(found.macs, found.elementwise, found.activations) >= 0
        and found.parameters == sum(layer.count for layer in found.layers)
        and found.attention_parameters == sum(inserted)
    )


def _names_are_ours() -> bool:
    """Whether names of attention and backbones mean what this program's source says: a process may have
    put others into their tables."""
    if "ablate.backbones" not in sys.modules:
        return True
    from ablate.outline.build import tables_are_ours

    return tables_are_ours()


def _forget_what_was_found() -> None:
    """What this process found of networks when their files were others counts no more."""
    if "ablate.identity.known" in sys.modules:
        from ablate.identity.known import forget_origins

        forget_origins()


@cache
def _adapter() -> TypeAdapter[Outlines]:
    return TypeAdapter(Outlines)
