"""Cohort → Epochs → Results: what a worker does. Seeding and catching live here, the loop stays a loop."""

from ablate.job.checkpoints import CHECKPOINT_SECONDS
from ablate.job.cohort import Cohort, Run
from ablate.job.images import forget_images, load_images
from ablate.job.path import find_path

__all__ = [
    "CHECKPOINT_SECONDS",
    "Cohort",
    "Run",
    "find_path",
    "forget_images",
    "load_images",
]
