"""Whether trained weights fit a backbone: remembered, since looking loads torch and reads the file."""

from __future__ import annotations

import contextlib
from functools import cache

from pydantic import TypeAdapter, ValidationError

from ablate.datasets.sealed import load_sealed, store_sealed
from ablate.errors import OutputError
from ablate.outline.asked import TORCHVISION
from ablate.result.pretrained import Fit, Pretrained
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.messages.language import N_, Said
from ablate.system.software.program import program_id


def known_fit(weights: Pretrained, backbone: str, classes: int, image_size: int) -> Fit:
    """What of a file a backbone begins with; of a user's network it is found anew each time.

    Raises:
        WeightsError: it does not fit.
    """
    name = split_call(backbone)[0]
    own = ":" in name and not name.startswith(TORCHVISION)
    asked = [weights.sha256, weights.partial, backbone, classes, image_size, program_id()]
    entry = f"weights-{digest(asked)}"
    if not own and (content := load_sealed(entry)) is not None:
        with contextlib.suppress(ValidationError):
            return _adapter().validate_json(content, strict=True)
    from ablate.network.pretrained import find_fit

    fit = find_fit(weights, backbone, classes, image_size)
    if not own:
        with contextlib.suppress(OutputError):  # a cache that cannot be written: looked at again
            store_sealed(entry, _adapter().dump_python(fit, mode="json"))
    return fit


def fit_note(weights: Pretrained, fit: Fit, classes: int) -> str:
    """What a reader must know of what the networks begin with."""
    head = N_("; the head is drawn anew for {classes} classes: {names}")
    left = N_("; passed over: {names}")
    return Said(
        "weights: {name} (SHA-256 {sha256}), {taken} of {tensors} tensors{drawn}{left}",
        name=f"{weights.named}[{fit.under}]" if fit.under else weights.named,
        sha256=weights.sha256[:8],
        taken=fit.taken,
        tensors=fit.tensors,
        drawn=Said(head, classes=classes, names=", ".join(fit.drawn)) if fit.drawn else "",
        left=Said(left, names=fit.differences) if fit.differences else "",
    )


@cache
def _adapter() -> TypeAdapter[Fit]:
    return TypeAdapter(Fit)
