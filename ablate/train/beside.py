"""What a trainer of the user's keeps beside its network, in checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ablate.errors import StudyError
from ablate.train.states import as_bytes, flatten, restore

KEPT = "kept"
"""How the names of its tensors begin in a checkpoint."""


NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a network is worth on the validation images after an epoch: the mean cross-entropy, and the
    accuracy as a fraction. It is what a `yield` gives.
    """

    loss: float
    accuracy: float


@dataclass
class Beside:
    """What a trainer goes on from beside its network. `parts` is None until the trainer says it, `stored` has
    the states of a checkpoint until the parts take them, and `seen` is what the last epoch was worth.
    """

    parts: dict[str, Any] | None = None
    stored: dict[str, Any] | None = None
    seen: Watched | None = None

    def pack(self, tensors: dict[str, torch.Tensor]) -> Any:
        """The states of the parts as JSON, their tensors apart.

        Raises:
            StudyError: the trainer keeps nothing, or a state has something that cannot be kept.
        """
        if self.parts is None:
            raise StudyError(
                "its trainer does not say what it goes on from: run.keep(optimizer=optimizer), or run.keep() "
                "if that is the network alone"
            )
        return {
            name: flatten(part.state_dict(), tensors, f"{KEPT}/{name}")
            for name, part in self.parts.items()
        }

    def states(self, net: nn.Module, *, whole: bool) -> dict[str, str]:
        """What shows that a part, or the network, was changed; of parts their tensors only with `whole`, as a
        state may have new ones each time. Nothing of a trainer that has no checkpoints.
        """
        found: dict[str, str] = {}
        for name, part in (self.parts or {}).items():
            tensors: dict[str, torch.Tensor] = {}
            try:
                tree = json.dumps(flatten(part.state_dict(), tensors, f"{KEPT}/{name}"))
            except StudyError:
                return {}
            values = [as_bytes(each).hex() for each in tensors.values()] if whole else []
            found[name] = "".join([tree, *values])
        if self.parts is not None:
            weights = [t for t in net.state_dict().values() if isinstance(t, torch.Tensor)]
            found[NETWORK] = str([None if t.is_inference() else t._version for t in weights])
        return found

    def unpack(self, states: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Have the states of a checkpoint ready for the parts."""
        self.stored = {name: restore(tree, tensors) for name, tree in states.items()}

    @property
    def learning_rate(self) -> float | None:
        """That of the first part which has one: an optimizer."""
        groups = [getattr(part, "param_groups", None) for part in (self.parts or {}).values()]
        found = next((each for each in groups if each), None)
        return None if found is None else float(found[0]["lr"])
