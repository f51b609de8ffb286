"""The GPUs of this machine, by the names under which a process can be given one of them alone."""

from __future__ import annotations

from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs a process sees; CUDA reads it when it is first used."""


def gpus_of_a_kind(kinds: Sequence[str], visible: str | None) -> tuple[str, ...]:
    """What to write into `VISIBLE` for each GPU of the kind of the first one; results and costs are those of
    one kind, so others get no work. `kinds` are the names of those that this process sees, `visible` what
    stands there now.
    """
    if visible is None:
        names = [str(index) for index in range(len(kinds))]
    else:
        names = [name.strip() for name in visible.split(",")]
    return tuple(name for name, kind in zip(names, kinds, strict=False) if kind == kinds[0])
