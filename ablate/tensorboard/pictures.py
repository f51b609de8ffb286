"""Attention of a finished run as PNGs: heat maps of its stored images, the weights of its gates."""

from __future__ import annotations

from ablate.page import canvas, pictures
from ablate.page.pictures import Heat, described, weight_rows
from ablate.result.snapshot import unpack
from ablate.tensorboard.log import PICTURES


def attention_pictures(variant: str, content: bytes) -> dict[str, bytes]:
    """Tag → PNG, from the snapshot that was stored with the run's result."""
    snapshot = unpack(content)
    name = canvas.label(variant)
    drawn = {}
    with canvas.style():
        for i, image in enumerate(snapshot.images):
            heat = Heat(name, canvas.label(described(snapshot, i)), image, snapshot.heat[i])
            drawn[f"{PICTURES}Heat_Maps_{i + 1}"] = canvas.png(pictures.heat_maps([heat]))
        if rows := weight_rows(variant, snapshot):
            drawn[f"{PICTURES}Weights"] = canvas.png(pictures.weights(rows))
    return drawn
