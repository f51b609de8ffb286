"""What attention does, in pictures: the baseline, the best and the median variant, seed 1."""

from __future__ import annotations

import pandas as pd

from ablate.explain import pictures
from ablate.explain.arrays import spread
from ablate.explain.pictures import Heat, WeightRow
from ablate.explain.snapshot import Snapshot, unpack
from ablate.report import canvas
from ablate.report.document import Figure
from ablate.report.summary import Summary

MAX_ROWS = 6


def attention_figures(summary: Summary) -> tuple[Figure, ...]:
    """Heat maps of each stored image and the weights of the gates; none where nothing is stored."""
    chosen = {name: unpack(content) for name, content in _chosen(summary).items()}
    if not chosen:
        return ()
    count = min(len(snapshot.images) for snapshot in chosen.values())
    figures = [_heat_figure(chosen, i) for i in range(count)]
    rows = [row for name, snapshot in chosen.items() for row in weight_rows(name, snapshot)]
    return tuple(figures) + ((_weights_figure(rows),) if rows else ())


def telling_variants(summary: Summary) -> tuple[str, ...]:
    """The baseline, the best and the median variant by validation accuracy, without repeats.

    In the tutorial's split, which has no validation, by test accuracy.
    """
    runs = summary.runs[summary.runs["status"] == "finished"]
    column = "test_accuracy" if summary.leaked else "val_accuracy"
    means = runs.groupby("variant")[column].mean().dropna().drop(summary.baseline, errors="ignore")
    ranked: pd.Series = means.sort_values(ascending=False, kind="stable")
    names = list(ranked.index)
    ends = [names[0], names[len(names) // 2]] if names else []
    return tuple(dict.fromkeys([summary.baseline, *ends]))


def _chosen(summary: Summary) -> dict[str, bytes]:
    """The packed snapshots of these variants, for as many as have one."""
    stored = {
        variant: summary.explanations[key]
        for key, variant in zip(summary.runs["run_key"], summary.runs["variant"], strict=True)
        if key in summary.explanations
    }
    return {name: stored[name] for name in telling_variants(summary) if name in stored}


def _heat_figure(chosen: dict[str, Snapshot], i: int) -> Figure:
    columns = [
        Heat(canvas.label(name), canvas.label(said(s, i)), s.images[i], s.heat[i])
        for name, s in chosen.items()
    ]
    return Figure(
        f"attention-image-{i + 1}",
        f"Heat maps of a test image for {', '.join(chosen)}.",
        "A test image as the baseline, the best and the median variant see it (seed 1): for each "
        "layer the three channels with the highest mean activation, each from its lowest value "
        "(blue) to its highest (red), laid over the image.",
        canvas.png(pictures.heat_maps(columns)),
    )


def said(snapshot: Snapshot, i: int) -> str:
    """What an image is, and what the network took it for."""
    predicted = snapshot.predicted[i]
    return f"true {snapshot.true[i]}" + ("" if predicted is None else f", predicted {predicted}")


def weight_rows(name: str, snapshot: Snapshot) -> list[WeightRow]:
    """The weights that the gates of one network gave the first image."""
    return [
        WeightRow(
            canvas.label(f"{name}, {gate.path}", 80),
            None if gate.channel is None else gate.channel[0],
            None if gate.spatial is None else gate.spatial[0],
        )
        for gate in spread(snapshot.gates, MAX_ROWS // 2)
    ]


def _weights_figure(rows: list[WeightRow]) -> Figure:
    return Figure(
        "attention-weights",
        "The weights that attention gives channels and places of the first of these images.",
        "What attention multiplies the first of these images by (seed 1): the weight of each "
        "channel, and of each place. A channel without a bar is 0 everywhere in this image.",
        canvas.png(pictures.weights(rows)),
    )
