"""The machine that a plan speaks of, as torch found it when it was last asked here."""

from __future__ import annotations

import contextlib
from functools import cache

from pydantic import TypeAdapter, ValidationError

from ablate.datasets.sealed import load_sealed, store_sealed
from ablate.errors import OutputError
from ablate.outline.asked import family
from ablate.system.digest import digest
from ablate.system.hardware.known_machine import KnownMachine, signs_of_machine
from ablate.system.hardware.processor import count_cores


def see_machine(precision: str) -> KnownMachine:
    """The device that is taken unless another is named, and what a recipe's precision means on it. Torch is
    loaded and asked only where something of the machine is new.
    """
    name = f"{family()}-machine-{digest([precision, signs_of_machine()])}"
    known = _remembered(name)
    if known is not None and known.cores == count_cores():
        return known
    from ablate.system.hardware.machine import find_machine

    found = find_machine("auto", precision).known
    with contextlib.suppress(OutputError):  # a cache that cannot be written: asked again next time
        store_sealed(name, _adapter().dump_python(found))
    return found


def _remembered(name: str) -> KnownMachine | None:
    content = load_sealed(name)
    if content is None:
        return None
    try:
        return _adapter().validate_json(content, strict=True)
    except ValidationError:
        return None


@cache
def _adapter() -> TypeAdapter[KnownMachine]:
    return TypeAdapter(KnownMachine)
