"""The path of a run: how it is computed, as far as that can change its last bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ComputePath:
    """How runs are computed, beside what is in their keys. A run goes on under the path it began with.

    `device` is the machine's name, as in `Machine`; `kernels` are pairs of an attention and its kernel,
    in order; `step_path` is `eager`, `graph` or `compiled`.
    """

    device: str
    precision: str
    torch: str
    kernels: tuple[tuple[str, str], ...] = ()
    step_path: str = "eager"
    deterministic: bool = True

    def of(self, attention: str) -> ComputePath:
        """The same for a run with that attention: the kernels of other kinds do not belong to it."""
        kinds = _kinds(attention)
        return replace(self, kernels=tuple(pair for pair in self.kernels if pair[0] in kinds))

    def following(self, begun: ComputePath, attention: str) -> ComputePath | None:
        """This machine's path, changed to that under which a run with that attention was begun; None
        where it cannot be changed so: another device, number format or version of torch.
        """
        if (begun.device, begun.precision, begun.torch) != (
            self.device,
            self.precision,
            self.torch,
        ):
            return None
        # A compiler makes its own of the plain equations, for everybody in the cohort.
        shared = () if begun.step_path == "compiled" else self.kernels
        kinds = _kinds(attention)
        others = tuple(pair for pair in shared if pair[0] not in kinds)
        return replace(begun, kernels=tuple(sorted((*others, *begun.of(attention).kernels))))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "kernels": dict(self.kernels)}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self | None:
        """What was stored, None if that was by a version with paths of another kind."""
        if set(document) != {each.name for each in fields(cls)}:
            return None
        return cls(**{**document, "kernels": tuple(sorted(document["kernels"].items()))})


def differences(begun: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In words what is not the same in two documents of paths: `torch 2.1 (here 2.2)`."""
    names = [name for name in {**here, **begun} if begun.get(name) != here.get(name)]
    return ", ".join(
        f"{name.replace('_', ' ')} {_shown(begun.get(name))} (here {_shown(here.get(name))})"
        for name in names
    )


def _kinds(attention: str) -> tuple[str, ...]:
    from ablate.study.variant import kinds_of  # noqa: PLC0415 - `status` loads no words of studies

    return kinds_of(attention)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={each}" for key, each in sorted(value.items())) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value)
