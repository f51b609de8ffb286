"""What attention does, in pictures: the baseline, the best and the median variant, seed 1."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ablate.page import canvas, pictures
from ablate.page.document import Figure
from ablate.page.pictures import Heat, described, weight_rows
from ablate.report.summary import Summary
from ablate.result import RunStatus
from ablate.result.snapshot import Snapshot, unpack
from ablate.system.messages.language import _, seed_told


def telling_variants(summary: Summary) -> tuple[str, ...]:
    """The baseline, the best and the median variant by validation accuracy, without repeats.

    In the tutorial's split, which has no validation, by test accuracy.
    """
    runs = summary.runs[summary.runs["status"] == RunStatus.FINISHED]
    column = "test_accuracy" if summary.leaked else "val_accuracy"
    means = runs.groupby("variant")[column].mean().dropna().drop(summary.baseline, errors="ignore")
    ranked: pd.Series = means.sort_values(ascending=False, kind="stable")
    names = list(ranked.index)
    ends = [names[0], names[len(names) // 2]] if names else []
    return tuple(dict.fromkeys([summary.baseline, *ends]))


def _chosen(summary: Summary) -> dict[str, Snapshot]:
    """The snapshots of these variants, for as many as have one."""
    stored = {
        variant: summary.explanations[key]
        for key, variant in zip(summary.runs["run_key"], summary.runs["variant"], strict=True)
        if key in summary.explanations
    }
    names = [name for name in telling_variants(summary) if name in stored]
    return {name: unpack(stored[name]) for name in names}


def heat_figure(summary: Summary, image: int) -> Figure | None:
    """Heat maps of one of the stored images."""
    chosen = _chosen(summary)
    if not chosen or any(image >= len(snapshot.images) for snapshot in chosen.values()):
        return None
    columns = [
        Heat(
            canvas.two_lines(name, 32),
            canvas.label(described(s, image)),
            s.images[image],
            s.heat[image],
        )
        for name, s in chosen.items()
    ]
    return Figure(
        f"attention-image-{image + 1}",
        _("Heat maps of a test image for {chosen}.", chosen=", ".join(chosen)),
        _(
            "A test image as the baseline, the best and the median variant see it "
            "({which}): for each layer the three channels with the highest mean activation, "
            "each from its lowest value (blue) to its highest (red), laid over the "
            "image; channels are counted from 1.",
            which=_which(summary),
        ),
        canvas.saved(pictures.heat_maps(columns)),
        [
            {
                "variant": name,
                "layer": heat.path,
                "channel": channel + 1,
                "mean_activation": float(mean),
            }
            for name, snapshot in chosen.items()
            for heat in snapshot.heat[image]
            for channel, mean in zip(heat.channels, heat.means, strict=True)
        ],
    )


def weights_figure(summary: Summary) -> Figure | None:
    """The weights that the gates gave the first of the stored images."""
    rows = [
        row for name, snapshot in _chosen(summary).items() for row in weight_rows(name, snapshot)
    ]
    if not rows:
        return None
    return Figure(
        "attention-weights",
        _("The weights that attention gives channels and places of the first of these images."),
        _(
            "What attention multiplies the first of these images by ({which}): the weight "
            "of each channel, and of each place. A channel without a bar is 0 everywhere "
            "in this image.",
            which=_which(summary),
        ),
        canvas.saved(pictures.weights(rows)),
        [
            {
                "gate": row.title,
                "channel": number,
                "weight": None if np.isnan(weight) else float(weight),
            }
            for row in rows
            if row.channel is not None
            for number, weight in enumerate(row.channel, 1)
        ],
    )


def _which(summary: Summary) -> str:
    """The run of each variant that is shown."""
    return seed_told(1, None if summary.folds == 1 else 1)
