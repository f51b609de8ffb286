"""What is kept of a trained network. No run fails by being looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.attention import use_kernels
from ablate.measure.activations import capture, find_layers
from ablate.result import (
    Kept,
)
from ablate.result.maps import sample_rows
from ablate.result.snapshot import IMAGES, take
from ablate.result.snapshot import pack as pack_snapshot
from ablate.system.messages.text import one_line
from ablate.train.step import Trainer
from ablate.train.unmoved import unmoved_attention
from ablate.train.weights import weights_to_bytes

if TYPE_CHECKING:
    from ablate.job.cohort import Run
    from ablate.job.session import Session


def find_unmoved(session: Session, run: Run, trainer: Trainer) -> tuple[str | None, str | None]:
    """Which attention training never moved, or None and why nobody could look."""
    try:
        return ", ".join(unmoved_attention(trainer.net, session.begun[run.run_key])), None
    except Exception as error:
        return None, f"whether its attention was moved is not known: {one_line(error)}"


def keep(session: Session, run: Run, trainer: Trainer) -> tuple[Kept | None, str | None]:
    """What is kept of a trained network, and what could not be. No run fails by being looked at."""
    if not (run.keep or run.looked_at):
        return None, None
    try:
        use_kernels(trainer.net, {})  # pictures look into modules that fused paths do not call
        weights = weights_to_bytes(trainer.net) if run.keep else None
    except Exception as error:
        return None, f"its weights cannot be kept: {one_line(error)}"
    try:
        return Kept(weights, _look(session, trainer) if run.looked_at else None), None
    except Exception as error:
        return Kept(weights, None), f"there are no pictures of it: {one_line(error)}"


def _look(session: Session, trainer: Trainer) -> bytes:
    """How the network sees the first test image of the first classes, fed as it was trained."""
    dataset = session.cohort.dataset
    labels = session.data.test.labels.cpu().numpy()
    rows = sample_rows(labels, IMAGES)
    images = session.data.test.images[rows]
    layers = find_layers(trainer.net, dataset.image_size)
    shown = session.data.normalise(images)
    shown = shown.contiguous(memory_format=trainer.precision.memory_format)
    seen = capture(trainer.net, shown, layers)
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    return pack_snapshot(take(seen, pixels, labels[rows].tolist(), dataset.classes()))
