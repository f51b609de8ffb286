"""Classes of few test images, where each class counts alike: what drawing images again cannot show of them.

A class of one image has no spread within it, one of two has a spread with one degree of freedom. Drawn
again, such images are there or not, and what other images of the class would say is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.stats.anchored import FEWEST_IMAGES

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OfClasses:
    """What images make the mean of a difference over classes vary by: `missing` is the variance that
    drawing them again leaves out, `dof` how well the whole is known.
    """

    missing: float
    dof: float


def of_classes(
    mine: Mapping[int, Classes], base: Mapping[int, Classes], labels: Classes
) -> OfClasses | None:
    """From what both predicted on the seeds that they share; None where nothing differs.

    Classes of fewer than eight images have one spread, over the images of all of them and one more on which
    the difference is as large as it can be, by their distance from 0: as `anchored` does with a test set.
    """
    seeds = sorted(mine.keys() & base.keys())
    right = [(mine[s] == labels) * 1.0 - (base[s] == labels) for s in seeds]
    by_image = np.mean(right, axis=0)
    _, of_image, images = np.unique(labels, return_inverse=True, return_counts=True)
    around_0 = np.bincount(of_image, weights=by_image**2)
    drawn = around_0 - np.bincount(of_image, weights=by_image) ** 2 / images
    few = images < FEWEST_IMAGES
    together = images[few].sum()
    squares = np.where(few, images * (around_0[few].sum() + 1) / max(together, 1), drawn)
    weights = 1 / (images * len(images)) ** 2
    rare, others = (squares * weights)[few].sum(), (squares * weights)[~few]
    # The image on top is as far out as can be, and no estimate of a few.
    known = max(FEWEST_IMAGES - 1, together)
    below = rare**2 / known + (others**2 / (images[~few] - 1)).sum()
    if not below:
        return None
    missing = ((squares - drawn) * weights)[few].sum()
    return OfClasses(float(missing), float((rare + others.sum()) ** 2 / below))
