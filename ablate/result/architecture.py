"""What a variant is on paper: its layers, parameters and operations."""

from __future__ import annotations

from dataclasses import dataclass

ATTACHED_AS = "attention"
"""The name under which attention hangs below the module whose output it reweights: a part of the path of
everything that a study inserted after a module, or in the place of one."""

BEFORE_AS = "attention_before"
"""The same for attention that reweights what goes into a module."""

NOT_RUN = " (not run on a black image)"
"""How the name of a module ends in `uncounted` that has weights and took no part in the forward."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One parameter tensor of a network: `path` is the module's, `attention` whether we inserted it."""

    path: str
    kind: str
    parameter: str
    count: int
    attention: bool


@dataclass(frozen=True, slots=True)
class Architecture:
    """A built network, by structure: everything about a variant that needs no training.

    `macs` counts one multiply-add as 1, for one image, convolutions and matrix products only;
    `uncounted` names operators that no rule knows, so that a missing rule never looks like 0, and
    modules whose weights took no part, as in a block that runs only for some images.
    `elementwise` counts the values that all other arithmetic handles, `activations` those that
    convolutions and matrix products give.
    """

    fingerprint: str
    backbone: str
    parameters: int
    attention_parameters: int
    macs: int
    uncounted: tuple[str, ...]
    layers: tuple[Layer, ...]
    elementwise: int = 0
    activations: int = 0
