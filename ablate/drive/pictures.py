"""The test images that a report shows, into the database: a report is made from that alone."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from rich.console import Console

from ablate.datasets.base import read_images
from ablate.errors import AblateError
from ablate.plan import Plan
from ablate.result.flips import best_and_worst, shown_images
from ablate.result.maps import Array, shrink
from ablate.result.snapshot import IMAGE_SIDE
from ablate.store.writing.store import Store
from ablate.system.messages.console import say
from ablate.system.messages.language import _


def keep_pictures(plan: Plan, store: Store, console: Console) -> None:
    """Store pictures of the images that the best and the worst variant change most (`ablate.result.flips`),
    as far as they are not there. Images that are out of reach by now cost pictures, not results.
    """
    content, size = str(plan.dataset.content_hash()), plan.dataset.image_size
    study = plan.study
    baseline = plan.aliases.get(study.baseline, study.baseline)
    correct = store.pictures.correct(study.name, content, study.setting)
    shown = set(shown_images(best_and_worst(baseline, correct)))
    wanted = shown - store.pictures.stored(content, size)
    if not wanted:
        return
    numbers = sorted(wanted)
    try:
        images = read_images(plan.dataset).tested_images[numbers]
    except AblateError as error:
        say(_("no pictures of the images that attention changes: {error}", error=error), console)
        return
    pngs = dict(zip(numbers, (_png(image) for image in _thumbnails(images)), strict=True))
    store.pictures.add(content, size, pngs)


def _thumbnails(images: Array) -> Array:
    """Shape: (N, H, W, 3) uint8 → the same, averaged down to a side of 64 where it is larger."""
    small = shrink(images.transpose(0, 3, 1, 2), IMAGE_SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(small.astype(np.uint8))


def _png(image: Array) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, format="PNG")
    return packed.getvalue()
