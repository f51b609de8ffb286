"""Frames of a grid of any size: kinds × places × r × k, every run finished, as a real study has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from support.report_frames import make_frames

from ablate.store.reading.frames import Frames

PLACES = ["pool1", "pool2", "pool3", "pool1+pool2", "pool1+pool3", "pool2+pool3", "pool*"]


def grid_of(size: int) -> dict[str, tuple[str, str | None, int | None, int | None]]:
    """So many variants by name, the first without attention: (kind, place, r, k)."""
    cells: list[tuple[str, str | None, int | None, int | None]] = []
    kinds: list[tuple[str, int | None, int | None]] = [
        ("se", 4, None), ("se", 16, None), ("eca", None, 3), ("cbam", 4, 3), ("cbam", 4, 7), ("cbam", 16, 3),
        ("cbam", 16, 7), ("coordinate_attention_with_a_long_name", 8, None), ("se", 8, None), ("se", 2, None),
        ("coordinate_attention_with_a_long_name", 16, None), ("eca", None, 5), ("eca", None, 7),
        ("cbam_spatial", None, 3), ("cbam_spatial", None, 7), ("triplet", None, 7), ("simam", None, None),
        ("bam", 8, None), ("bam", 16, None), ("gct", None, None), ("se", 32, None), ("se", 64, None),
    ]  # fmt: skip
    for kind, r, k in kinds:
        cells += [(kind, place, r, k) for place in PLACES]
    chosen = cells[: size - 1]
    return {"none": ("none", None, None, None)} | {_name(*cell): cell for cell in chosen}


def _name(kind: str, place: str | None, r: int | None, k: int | None) -> str:
    options = [str(place), *([f"r={r}"] if r else []), *([f"k={k}"] if k else [])]
    return f"{kind}({', '.join(options)})"


def grid_frames(size: int, *, seeds: int = 10, epochs: int = 50, **study: Any) -> Frames:
    """The frames of a grid of that size; about a third of its variants differ from the baseline."""
    cells = grid_of(size)
    rng = np.random.default_rng(5)
    means = {name: 0.83 + float(rng.choice([0, 0, 0.004, 0.012, -0.009])) for name in cells}
    means["none"] = 0.83
    frames = make_frames(means, seeds=seeds, epochs=epochs, steps=40, **study)
    columns = ("attention", "position", "reduction", "kernel_size")
    known = {
        column: {name: cell[i] for name, cell in cells.items()} for i, column in enumerate(columns)
    }
    runs = frames.runs.assign(**{c: frames.runs["variant"].map(m) for c, m in known.items()})
    runs["options"] = "{}"
    layers = pd.DataFrame(
        [
            {"variant": name, "path": f"{place}.attention", "kind": cell[0], "parameter": "weight",
             "count": 100, "attention": True}
            for name, cell in cells.items()
            if cell[1] is not None
            for place in _places(cell[1])
        ]
    )  # fmt: skip
    plain = frames.layers[~frames.layers["attention"].astype(bool)]
    return replace(frames, runs=runs, layers=pd.concat([plain, layers], ignore_index=True))


def _places(written: str) -> list[str]:
    return ["pool1", "pool2", "pool3"] if written == "pool*" else written.split("+")
