"""The pictures, drawn on matplotlib figures without pyplot. No torch: the report draws them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from ablate.page import canvas
from ablate.page.board import Line, Tile, Words, board, letters
from ablate.result.maps import Array, GateStatistics, HeatMaps, spread, unit
from ablate.result.snapshot import Snapshot
from ablate.system.messages.language import _

CHANNELS = 16
COLUMNS = 8
STRONGEST = 3
GATES_SHOWN = 3
"""Of one stored network; of more, so many are chosen evenly over the depth."""
OPACITY = 0.5
GAP = 1
"""Pixels between the tiles of a mosaic."""

DOTS_PER_INCH = 200
OVERLAY_PIXELS = 96
"""The sides of an image under a map. Image and map become one opaque picture of that size, so that every
format shows the same: a half transparent picture is blended twice by some."""


@dataclass(frozen=True)
class Heat:
    """One image as one network saw it: what a column of `heat_maps` shows.

    Shape: image (H, W, 3) uint8. `caption` says what it is and what it was taken for.
    """

    title: str
    caption: str
    image: Array
    layers: tuple[HeatMaps, ...]


@dataclass(frozen=True)
class WeightRow:
    """What one attention module multiplied one image by: channel (C,), spatial (H, W)."""

    title: str
    channel: Array | None
    spatial: Array | None


@dataclass(frozen=True)
class ChangeRow:
    """What one attention module did to one image: before and after (C, H, W)."""

    title: str
    before: Array
    after: Array


@dataclass(frozen=True)
class Distribution:
    """The values of one gate over many images, with their statistics."""

    title: str
    values: Array
    statistics: GateStatistics


@canvas.worded
def feature_maps(columns: Sequence[tuple[str, Mapping[str, Array]]]) -> Figure:
    """The first 16 channels of each layer, 8 in a row: a row for each layer, a column for each network.

    Shape: `columns` are titles with layers (C, H, W) by path.
    """
    paths = list(dict.fromkeys(path for _title, layers in columns for path in layers))
    figure, boxes = _grid(len(paths), len(columns), 0.4 + canvas.width_inches() / len(columns) / 4)
    for row, path in zip(boxes, paths, strict=True):
        for ax, (title, layers) in zip(row, columns, strict=True):
            ax.set_axis_off()
            if path in layers:
                count, height, width = layers[path].shape
                ax.imshow(mosaic([unit(m) for m in layers[path][:CHANNELS]]), cmap="viridis")
                shown = _(
                    "channels 1 to {shown} of {count}, row by row",
                    shown=min(count, CHANNELS),
                    count=count,
                )
                ax.set_title(f"{title}\n{path}, {height} × {width}: {shown}", fontsize=7)
    return figure


@canvas.worded
def before_and_after(rows: Sequence[ChangeRow]) -> Figure:
    """The first 16 channels just before and just after each attention module, and the difference.

    Before and after share one scale for each channel, so that a weak gate looks weak.
    """
    figure, boxes = _grid(len(rows), 3, 1.05)
    for (left, middle, right), row in zip(boxes, rows, strict=True):
        before, after = row.before[:CHANNELS], row.after[:CHANNELS]
        both = [unit(np.concatenate(pair)) for pair in zip(before, after, strict=True)]
        pairs = [np.split(pair, 2) for pair in both]
        left.imshow(mosaic([b for b, _ in pairs]), cmap="viridis", vmin=0, vmax=1)
        middle.imshow(mosaic([a for _, a in pairs]), cmap="viridis", vmin=0, vmax=1)
        difference = mosaic(list(after - before))
        most = float(np.nanmax(np.abs(difference))) or 1.0
        shown = right.imshow(difference, cmap="coolwarm", vmin=-most, vmax=most)
        figure.colorbar(shown, ax=right, fraction=0.05, pad=0.02).ax.tick_params(labelsize=6)
        for ax, title in ((left, _("before")), (middle, _("after")), (right, _("after − before"))):
            ax.set_axis_off()
            which = _(
                "{name}: {title}, channels 1 to {n}", name=row.title, title=title, n=len(before)
            )
            ax.set_title(which if ax is left else title, fontsize=7)
    return figure


@canvas.worded
def weights(rows: Sequence[WeightRow]) -> Figure:
    """The channel weights of each attention module as bars; beside them, where any module has some, its
    spatial weights as a map.
    """
    places = any(row.spatial is not None for row in rows)
    figure, boxes = _grid(len(rows), 1 + places, 1.55, width_ratios=(3, 1)[: 1 + places])
    for line, row in zip(boxes, rows, strict=True):
        line[0].set_title(row.title, fontsize=7)
        _channel_bars(line[0], row.channel, known=row.spatial is not None)
        if places:
            _places(figure, line[1], row.spatial)
    return figure


def _places(figure: Figure, ax: Axes, spatial: Array | None) -> None:
    ax.set_axis_off()
    if spatial is None:
        return
    shown = ax.imshow(spatial, cmap="viridis")
    ax.set_title(_("weight of each place"), fontsize=7, loc="center")
    figure.colorbar(shown, ax=ax, fraction=0.05, pad=0.02).ax.tick_params(labelsize=6)


@canvas.worded
def heat_maps(columns: Sequence[Heat]) -> Figure:
    """The image, then a row for each layer: its three most active channels laid over the image.

    Each map is brought to 0 to 1 and enlarged to the image; its title is the channel, counted from 1, and
    its mean activation. Networks stand side by side; one below the other where it is narrow.
    """
    paths = list(dict.fromkeys(heat.path for column in columns for heat in column.layers))
    blocks = [[column] for column in columns] if canvas.is_narrow() else [columns]
    lines = [line for block in blocks for line in _heat_lines(block, paths)]
    return board(lines, DOTS_PER_INCH, most_inches=1.5)


def _heat_lines(columns: Sequence[Heat], paths: Sequence[str]) -> list[Line]:
    """Networks side by side: the image as each was shown it, then a row for each layer."""
    images: list[Tile | None] = []
    for column in columns:
        place = STRONGEST // 2
        shown = Tile(column.image, f"{column.title}\n{column.caption}")
        images += [*[None] * place, shown, *[None] * (STRONGEST - 1 - place)]
    layers = [{heat.path: heat for heat in column.layers} for column in columns]
    words = Words(7 if canvas.is_narrow() else 5.8)
    most = min(22, letters(STRONGEST * len(columns), words.above, bold=True))
    tiles = [
        [
            tile
            for column, own in zip(columns, layers, strict=True)
            for tile in _overlays(column.image, own.get(path), most)
        ]
        for path in paths
    ]
    return [Line(images, Words(6.5)), *(Line(row, words) for row in tiles)]


@canvas.worded
def distributions(rows: Sequence[Distribution]) -> Figure:
    """A histogram of each gate's values, from 0 to 1 or as far as they go, beside its numbers."""
    figure, boxes = _grid(len(rows), 2, 1.3, width_ratios=(2, 1))
    for (left, right), row in zip(boxes, rows, strict=True):
        known = row.values[np.isfinite(row.values)].astype(float)
        low, high = min(0.0, float(known.min())), max(1.0, float(known.max()))
        left.hist(known, bins=40, range=(low, high), color=canvas.PURPLE)
        left.set_title(row.title, fontsize=7)
        left.tick_params(labelsize=6)
        left.set_yticks([])
        right.set_axis_off()
        numbers = row.statistics
        text = _(
            "mean {mean:.3f}\nsd across channels {sd_channels:.3f}\nsd across images "
            "{sd_images:.3f}\ndead {dead:.1f} %, saturated {saturated:.1f} %",
            mean=numbers.mean,
            sd_channels=numbers.sd_channels,
            sd_images=numbers.sd_images,
            dead=100 * numbers.dead,
            saturated=100 * numbers.saturated,
        )
        right.text(0, 0.5, text, va="center", fontsize=7, transform=right.transAxes)
    return figure


def mosaic(tiles: Sequence[Array]) -> Array:
    """Tiles (H, W) in rows of eight with a gap between them, which is NaN."""
    height, width = tiles[0].shape
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        whole[top : top + height, left : left + width] = tile
    return whole


def _grid(
    rows: int, columns: int, row_inches: float, width_ratios: Sequence[float] | None = None
) -> tuple[Figure, list[list[Axes]]]:
    size = (canvas.width_inches(), 0.2 + row_inches * rows)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH)
    figure.set_layout_engine("constrained")
    boxes = figure.subplots(rows, columns, squeeze=False, width_ratios=width_ratios)
    for ax in boxes.flat:
        ax.grid(visible=False)
    return figure, [list(row) for row in boxes]


def _channel_bars(ax: Axes, channel: Array | None, *, known: bool) -> None:
    """The weights of channels; where there are none, of places they may be known."""
    if channel is None:
        ax.set_axis_off()
        same = _("every channel has the same weight")
        text = same if known else _("not known: no weight for each channel or place explains it")
        ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, transform=ax.transAxes)
        return
    values = channel.astype(float)
    heights = np.nan_to_num(values)
    bars = [
        ((i - 0.45, 0), (i - 0.45, high), (i + 0.45, high), (i + 0.45, 0))
        for i, high in enumerate(heights, 1)
    ]
    ax.add_collection(  # one of all of them: an artist for each takes longer than all the rest
        PolyCollection(bars, facecolors=canvas.PURPLE, edgecolors="none", in_layout=False),
        autolim=False,
    )
    ax.set_ylim(0, max(1.0, float(heights.max(initial=0.0))))
    ax.set_xlim(0.4, len(values) + 0.6)
    ax.set_xlabel(_("channel"), fontsize=6.5)
    ax.set_ylabel(_("weight"), fontsize=6.5)
    ax.tick_params(labelsize=6)


def _overlays(image: Array, heat: HeatMaps | None, most: int) -> list[Tile | None]:
    """The image under each of a layer's maps; nothing where a network has no such layer. Of its path at
    most so many letters are shown.
    """
    if heat is None:
        return [None] * STRONGEST
    shown = zip(heat.channels, heat.means, heat.maps, strict=True)
    tiles = [
        Tile(
            overlaid(image, values),
            _(
                "{path}\nchannel {channel}\nmean {mean:.2f}",
                path=canvas.label(heat.path, most),
                channel=channel + 1,
                mean=mean,
            ),
        )
        for channel, mean, values in shown
    ]
    return [tiles[i] if i < len(tiles) else None for i in range(STRONGEST)]


def overlaid(image: Array, values: Array) -> Array:
    """The image under a map from 0 (blue) to 1 (red), half and half.

    Shape: image (H, W, 3) uint8, values (h, w) from 0 to 1; the result (96, 96, 3) uint8.
    """
    size = (OVERLAY_PIXELS, OVERLAY_PIXELS)
    below = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST), dtype=float)
    known = np.nan_to_num(np.asarray(values, dtype=np.float32))
    spread_out = Image.fromarray(known).resize(size, Image.Resampling.BILINEAR)
    above = 255 * colormaps["jet"](np.clip(np.asarray(spread_out), 0, 1))[..., :3]
    return np.asarray(OPACITY * above + (1 - OPACITY) * below + 0.5).astype(np.uint8)


@canvas.worded
def described(snapshot: Snapshot, i: int) -> str:
    """What an image is, and what the network took it for."""
    predicted = snapshot.predicted[i]
    true = _("true {true}", true=snapshot.true[i])
    if predicted is None:
        return true
    return f"{true}, {_('predicted {predicted}', predicted=predicted)}"


def weight_rows(name: str, snapshot: Snapshot) -> list[WeightRow]:
    """The weights that the gates of one network gave the first image."""
    return [
        WeightRow(
            canvas.label(f"{name}, {gate.path}", 80),
            None if gate.channel is None else gate.channel[0],
            None if gate.spatial is None else gate.spatial[0],
        )
        for gate in spread(snapshot.gates, GATES_SHOWN)
    ]
