"""Numbers in the squares of a table, each in its colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy.typing import NDArray

NEAR_WHITE = "#fdfdfd"
"""The colour of what stands between squares and on dark ones; a dark page leaves it as it is."""
NEAR_BLACK = "#262626"
LIGHT = 0.408
"""The relative luminance from which on letters are dark."""
LUMINANCE = 0.2126, 0.7152, 0.0722
"""Of red, green and blue (WCAG 2)."""


def squares(
    ax: Axes, values: NDArray[np.float64], texts: Sequence[Sequence[str]], *,
    colors: str, limits: tuple[float, float], gap_points: float, points: float,
) -> QuadMesh:  # fmt: skip
    """Draw a table, its first row above; NaN leaves a square empty. Returns what a scale of colours is of.

    Shape: values and texts (rows, columns).
    """
    rows, columns = values.shape
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values), cmap=colors, vmin=limits[0], vmax=limits[1],
        linewidths=gap_points, edgecolors=NEAR_WHITE,
    )  # fmt: skip
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    ax.set(xticks=np.arange(columns) + 0.5, yticks=np.arange(rows) + 0.5)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    shades = np.asarray(mesh.cmap(mesh.norm(values)))
    for (row, column), value in np.ndenumerate(values):
        if texts and not np.isnan(value):
            ax.text(
                column + 0.5, row + 0.5, texts[int(row)][int(column)],
                color=_letters_on(shades[row, column]), fontsize=points,
                ha="center", va="center", in_layout=False,
            )  # fmt: skip
    return mesh


def _letters_on(color: NDArray[np.float64]) -> str:
    """The colour of letters on this one."""
    linear = np.where(color <= 0.03928, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return NEAR_BLACK if float(linear[:3] @ np.array(LUMINANCE)) > LIGHT else NEAR_WHITE
