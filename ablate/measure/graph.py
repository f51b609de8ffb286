"""The graph of a variant's network, as TensorBoard draws it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.tensorboard._pytorch_graph import graph

from ablate.errors import AblateError
from ablate.identity.known import origin
from ablate.identity.own_attention import attention_origins
from ablate.model import build_outline, fingerprint
from ablate.study import Variant


def stored_graph(
    variant: Variant,
    stored_fingerprint: str,
    layers: Sequence[Mapping[str, Any]],
    image_size: int,
    identity: str | None = None,
) -> bytes | None:
    """A serialised GraphDef of the network that was trained; None where it cannot be built here.

    The number of classes is not stored: it is that of the last bias, and the fingerprint tells
    whether that was right.
    """
    classes = int(layers[-1]["count"])
    try:
        net = build_outline(variant, classes, image_size)
        begun = origin(variant.backbone, classes, identity, image_size)
        found = fingerprint(net, image_size, begun, attention_origins(net, identity))
    except AblateError:
        return None  # a network of the user's own, without --allow-import
    if found != stored_fingerprint:
        return None
    with warnings.catch_warnings():
        # torch.jit.trace warns of what it cannot follow, and of its own age.
        warnings.simplefilter("ignore")
        definition, _ = graph(net, (torch.zeros(1, 3, image_size, image_size),))
    content: bytes = definition.SerializeToString()
    return content
