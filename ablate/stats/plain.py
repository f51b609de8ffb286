"""Differences of scores without bits: results from elsewhere, metrics that are no mean over images.

limma: variances of the arms, moderated. It cannot know what other test images would say, and where
arms vary unequally it errs with few seeds; hence no verdict below eight of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.stats.anchored import Spread
from ablate.stats.moderate import Floats, floored, grubbs, moderated, prior_dof, residuals

FEWEST_SEEDS = 8
"""With fewer seeds an interval is given and no verdict: false ones came in 10 to 16 % of studies."""


def score_spreads(
    scores: Sequence[Floats], *, blocks: bool, images: int | None, overlap: float = 0.0
) -> list[Spread | None]:
    """The spread of each arm's difference to the first; None where nothing varies. `overlap` is that of
    `anchored.spread_of`.

    Shape: (seeds,) for each arm, the baseline first, two seeds or more; `blocks` where they are the
    same seeds in the same order.
    """
    found = score_variances(scores, blocks=blocks, images=images)
    if found is None:
        return [None] * (len(scores) - 1)
    steady, known = found
    # Arms that happen to vary alike say that all do, and no better than all of them together show.
    together = sum(len(each) - 1.0 for each in scores) - (len(scores[0]) - 1.0) * blocks
    return [
        _spread(
            *(steady[[0, arm]], known[[0, arm]], [len(scores[0]), len(scores[arm])]),
            *(overlap, together),
        )
        for arm in range(1, len(scores))
    ]


def score_variances(
    scores: Sequence[Floats], *, blocks: bool, images: int | None
) -> tuple[Floats, Floats] | None:
    """Each arm's moderated variance and its degrees of freedom; None where nothing varies.

    Shape: as in `score_spreads`; the results are (arms,).
    """
    if blocks:
        table = np.stack(scores)
        arms, seeds = table.shape
        own = grubbs((residuals(table) ** 2).sum(1), seeds)
        dof = np.full(arms, (seeds - 1) * (arms - 1) / arms)
    else:
        own = np.array([each.var(ddof=1) for each in scores])
        dof = np.array([len(each) - 1.0 for each in scores])
    own = np.where(np.isclose(own, 0, atol=1e-20), 0.0, own)
    grain = 1 / (12 * images**2) if images else 0.0
    variances = floored(own, grain)
    if not variances.all():
        return None
    common = float((dof * variances).sum() / dof.sum())
    prior = prior_dof(variances, dof)
    return moderated(variances, dof, common, prior), prior + dof


def _spread(
    variances: Floats, dof: Floats, seeds: Sequence[int], overlap: float, most: float
) -> Spread:
    parts = variances * (1 / np.array(seeds) + overlap)
    error, total = (
        math.sqrt(parts.sum()),
        min(most, float(parts.sum() ** 2 / (parts**2 / dof).sum())),
    )
    lasting, here = float(variances.sum()) * overlap, variances / np.array(seeds)
    here_dof = min(most, float(here.sum() ** 2 / (here**2 / dof).sum()))
    here_error = math.sqrt(here.sum())
    return Spread(error, total, 0.0, float(variances.sum()), here_error, here_dof, lasting)
