"""What the baseline and the best variant find of each class, and what they take it for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ablate.page import canvas
from ablate.page import format as fmt
from ablate.page.document import Block, Column, Figure, Row, Table, TableCell, Value
from ablate.report.effects.heat import NEAR_WHITE
from ablate.report.seen.attention import telling_variants
from ablate.report.summary import Summary
from ablate.result import RunStatus
from ablate.stats.metrics import confusion
from ablate.stats.words import points
from ablate.system.messages.language import _, amount

MOST_CLASSES = 25
"""More have no matrix that can be read, and of their recalls the table has those that differ most."""
MOST_NUMBERS = 12
"""More classes than this are squares without numbers in them."""


@dataclass(frozen=True)
class Answers:
    """How often each class (rows) was said to be each (columns), all seeds of a variant together."""

    variant: str
    runs: int
    matrix: NDArray[np.int64]

    @property
    def recall(self) -> NDArray[np.float64]:
        """Shape: (classes,); NaN of a class without images."""
        of_class = self.matrix.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.diag(self.matrix) / of_class)


def answers(summary: Summary) -> tuple[Answers, ...]:
    """Those of the baseline and of the best variant by validation, as far as they are stored."""
    images = summary.images
    if images.labels is None:
        return ()
    done = summary.runs[summary.runs["status"] == RunStatus.FINISHED]
    found = []
    for name in telling_variants(summary)[:2]:
        keys = [k for k in done.loc[done["variant"] == name, "run_key"] if k in images.said]
        if keys:
            each = [
                confusion(images.labels, images.said[key].predicted, len(images.classes))
                for key in keys
            ]
            found.append(Answers(name, len(keys), np.sum(each, axis=0)))
    return tuple(found)


def class_blocks(summary: Summary, drawn: Mapping[str, Figure]) -> tuple[Block, ...]:
    """The matrices, and the table of recalls."""
    found = answers(summary)
    return (*drawn.values(), recall_table(found, summary.images.classes)) if found else ()


def confusion_figure(summary: Summary) -> Figure | None:
    """A matrix for each of the two, in percent of the images of a class."""
    found, classes = answers(summary), summary.images.classes
    if not found or len(classes) > MOST_CLASSES:
        return None
    figure, boxes = canvas.axes(1.6 + 0.28 * max(5, len(classes)), len(found))
    for ax, each in zip(boxes, found, strict=True):
        _matrix(ax, each, classes)
    for ax in boxes if canvas.is_narrow() else boxes[:1]:
        ax.set_ylabel(_("Class"))
    return Figure(
        "confusion",
        _(
            "What {variants} take the images of each class for.",
            variants=_(" and ").join(each.variant for each in found),
        ),
        _(
            "In percent of the test images of a class (row), all seeds together; the "
            "diagonal is the recall of the table."
        ),
        canvas.saved(figure),
        [record for each in found for record in _records(each, classes)],
    )


def _records(each: Answers, classes: tuple[str, ...]) -> list[dict[str, Value]]:
    return [
        {
            "variant": each.variant,
            "class": classes[i],
            "said": classes[j],
            "images": int(each.matrix[i, j]),
        }
        for i in range(len(classes))
        for j in range(len(classes))
    ]


def _matrix(ax: Axes, each: Answers, classes: tuple[str, ...]) -> None:
    names = [canvas.label(name, 14) for name in classes]
    with np.errstate(invalid="ignore"):
        shares = 100 * each.matrix / each.matrix.sum(axis=1, keepdims=True)
    canvas.seaborn().heatmap(
        shares, annot=len(classes) <= MOST_NUMBERS, fmt=".0f", cmap="Blues", vmin=0, vmax=100,
        cbar=False, linewidths=0.5, linecolor=NEAR_WHITE, xticklabels=names, yticklabels=names, ax=ax,
        annot_kws={"fontsize": 7},
    )  # fmt: skip
    for text in ax.texts:
        text.set_color(NEAR_WHITE if text.get_color() in ("w", "white") else "#262626")
    ax.set_title(canvas.two_lines(each.variant, 32))
    ax.set_xlabel(_("Said to be"))
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelrotation=90)
    ax.tick_params(axis="y", labelrotation=0)
    ax.grid(visible=False)


def recall_table(found: tuple[Answers, ...], classes: tuple[str, ...]) -> Table:
    """The recall of each class, and what the best variant changes."""
    images = found[0].matrix.sum(axis=1) // found[0].runs
    both = found[-1].recall - found[0].recall
    shown = _shown(both, images)
    columns = (
        Column(_("Class"), numeric=False),
        Column(_("Test images")),
        *(
            Column(each.variant, _("recall, %, {runs}", runs=amount(each.runs, "run")))
            for each in found
        ),
        *((Column(_("Difference"), _("points")),) if len(found) > 1 else ()),
    )
    rows = tuple(
        Row(
            (
                TableCell(classes[i]),
                TableCell(fmt.count(int(images[i]))),
                *(TableCell(f"{100 * each.recall[i]:.2f}") for each in found),
                *((TableCell(points(float(both[i]))),) if len(found) > 1 else ()),
            )
        )
        for i in shown
    )
    left = int((images > 0).sum()) - len(rows)
    caption = _("Recall of each class: the share of its test images that is found, mean over runs.")
    if left:
        caption += _(" The classes that differ most; {left:,} more are left out.", left=left)
    return Table(caption, columns, rows)


def _shown(difference: NDArray[np.float64], images: NDArray[np.int64]) -> list[int]:
    """The classes with images, in their order; of many those that differ most."""
    there = np.flatnonzero(images)
    if len(there) <= MOST_CLASSES:
        return [int(i) for i in there]
    most = np.argsort(-np.abs(difference[there]), kind="stable")[:MOST_CLASSES]
    return sorted(int(i) for i in there[most])
