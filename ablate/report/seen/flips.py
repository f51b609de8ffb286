"""The test images that the best and the worst variant change most: numbers, pictures, who says what."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from ablate.page import canvas
from ablate.page.board import SIDE_INCHES, Line, Tile, Words, board, letters
from ablate.page.document import Block, Column, Figure, Note, Records, Row, Table, TableCell
from ablate.report.summary import Summary
from ablate.result import RunStatus
from ablate.result.flips import SHOWN, Flip, Flips, best_and_worst
from ablate.stats.sample import PackedBits
from ablate.stats.words import points
from ablate.system.messages.language import N_, _, amount

NAMES = ("images-best", "images-worst")
TILE_INCHES, WORDS = 1.35, Words(above=7, below=6)
NOT_STORED = N_("no picture\nstored")
Kind = Literal["fixed", "broken"]
KINDS = (N_("fixed"), N_("broken"))


def chosen(summary: Summary) -> tuple[Flips, ...]:
    """The flips of the best and of the worst variant; of the only one if there are no more."""
    return summary.once("flips", lambda: _chosen(summary))


def _chosen(summary: Summary) -> tuple[Flips, ...]:
    correct = summary.images.correct
    judged = {name: each.seeds for name, each in summary.samples.items() if not each.picked_by}
    by_variant: dict[str, dict[int, bytes]] = {}
    for (variant, seed), key in _keys(summary).items():
        # The baseline is compared over whichever seeds a variant is judged by.
        if key in correct and (variant == summary.baseline or seed in judged.get(variant, ())):
            by_variant.setdefault(variant, {})[seed] = correct.packed(key)
    bits = {name: PackedBits(packed, correct.images) for name, packed in by_variant.items()}
    return best_and_worst(summary.baseline, bits)


def blocks(summary: Summary, drawn: Mapping[str, Figure]) -> tuple[Block, ...]:
    """The section: for each of the two variants what it changes in words, as pictures and as a table."""
    notes = tuple(Note(text, "warning") for text in summary.images.notes)
    found: list[Block] = []
    for name, flips in zip(NAMES, chosen(summary), strict=False):
        found.append(Note(in_words(flips, summary.baseline)))
        found += [drawn[name]] if name in drawn else []
        found += [_table(flips, summary)] if flips.fixed or flips.broken else []
    return (*found, *notes)


def in_words(flips: Flips, baseline: str) -> str:
    """How many images always change, beside how many would if the variant did nothing."""
    seeds = amount(len(flips.seeds), "seed")
    return _(
        "{variant} ({difference} points to {baseline} over {seeds}): of {images:,} "
        "test images {always_fixed:,} are wrong in every run of {baseline} and right "
        "in every run of {variant}, {always_broken:,} the reverse. If it were drawn "
        "by lot, for each image and seed, which of the two runs was whose, "
        "{by_chance:.1f} of each would be so.",
        variant=flips.variant,
        difference=points(flips.difference),
        baseline=baseline,
        seeds=seeds,
        images=flips.images,
        always_fixed=flips.always_fixed,
        always_broken=flips.always_broken,
        by_chance=flips.by_chance,
    )


def flips_figure(summary: Summary, place: int) -> Figure | None:
    """The pictures of one of the two variants: what it fixes above, what it breaks below."""
    found = chosen(summary)
    if place >= len(found) or not summary.images.pictures:
        return None
    flips = found[place]
    rows: dict[Kind, Sequence[Flip]] = {"fixed": flips.fixed, "broken": flips.broken}
    shown = {kind: row for kind, row in rows.items() if row}
    if not shown:
        return None
    across = SHOWN // 2 if canvas.is_narrow() else SHOWN
    lines = [
        (kind, row[i : i + across])
        for kind, row in shown.items()
        for i in range(0, len(row), across)
    ]
    figure = board(
        [
            Line([_tile(flip, flips, summary, across) for flip in row], WORDS, _(kind), across)
            for kind, row in lines
        ],
        canvas.PIXELS_PER_INCH,
        TILE_INCHES,
    )
    return Figure(
        NAMES[place],
        _("Test images that {variant} fixes and breaks.", variant=flips.variant),
        _(
            "Test images that {variant} gets right more often than {baseline} (fixed) and less often "
            "(broken), over {seeds}. Above each its number and its class, below how many runs got it right, "
            "and what most of the others took it for.",
            variant=flips.variant, baseline=summary.baseline, seeds=amount(len(flips.seeds), "seed"),
        ),
        canvas.saved(figure),
        _records(flips, shown, summary),
    )  # fmt: skip


def _records(flips: Flips, shown: Mapping[Kind, Sequence[Flip]], summary: Summary) -> Records:
    """What is in the figure, for programs."""
    return [
        {
            "kind": kind,
            "image": flip.image,
            "class": _label(flip, summary),
            summary.baseline: _right(flip, summary.baseline, flips, summary),
            flips.variant: _right(flip, flips.variant, flips, summary),
        }
        for kind, row in shown.items()
        for flip in row
    ]


def _tile(flip: Flip, flips: Flips, summary: Summary, across: int) -> Tile:
    """An image with its words, in lines that fit beside those of the next one."""
    png = summary.images.pictures.get(flip.image)
    image = None if png is None else np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    most = letters(across, WORDS.below, margin=SIDE_INCHES)
    lines = []
    for name in (summary.baseline, flips.variant):
        called, right = canvas.label(name, 18), _right(flip, name, flips, summary)
        one = f"{called}: {right}"
        lines += [one] if len(one) <= most else [f"{called}:", canvas.label(right, most)]
    above = min(26, letters(across, WORDS.above, bold=True, margin=SIDE_INCHES))
    title = canvas.label(f"{flip.image}: {_label(flip, summary)}", above)
    return Tile(image, title, "\n".join(lines), instead=_(NOT_STORED))


def _table(flips: Flips, summary: Summary) -> Table:
    columns = (
        Column(_("Image"), _("number, from 0")),
        Column(_("Class"), numeric=False),
        Column(summary.baseline, _("runs that are right, and what they say"), numeric=False),
        Column(flips.variant, _("runs that are right, and what they say"), numeric=False),
    )
    rows = [
        _row(kind, flip, flips, summary)
        for kind, listed in (("fixed", flips.fixed), ("broken", flips.broken))
        for flip in listed
    ]
    caption = _(
        "The images that {variant} changes most, at most {shown} of each kind: those "
        "that change with every seed, or where there are none those that change with "
        "most.",
        variant=flips.variant,
        shown=SHOWN,
    )
    return Table(
        caption,
        columns,
        tuple(rows),
        folded=_("Images that {variant} changes", variant=flips.variant),
    )


def _row(kind: str, flip: Flip, flips: Flips, summary: Summary) -> Row:
    n = len(flips.seeds)
    counts = {summary.baseline: flip.baseline_right, flips.variant: flip.variant_right}
    cells = (
        TableCell(_("{right} of {n}", right=right, n=n), _said(flip.image, name, flips, summary))
        for name, right in counts.items()
    )
    return Row((TableCell(f"{flip.image:,}", _(kind)), TableCell(_label(flip, summary)), *cells))


def _label(flip: Flip, summary: Summary) -> str:
    """The class of an image in words, as far as it is known."""
    labels = summary.images.labels
    return _("class not stored") if labels is None else _class(int(labels[flip.image]), summary)


def _class(number: int, summary: Summary) -> str:
    classes = summary.images.classes
    return classes[number] if number < len(classes) else str(number)


def _predicted(image: int, variant: str, flips: Flips, summary: Summary) -> Counter[int]:
    """How many of a variant's runs took an image for each class, the most frequent first."""
    keys = _keys(summary)
    said = summary.images.said
    mine = [keys[variant, seed] for seed in flips.seeds if keys[variant, seed] in said]
    return Counter(int(said[key].predicted[image]) for key in mine)


def _said(image: int, variant: str, flips: Flips, summary: Summary) -> str:
    found = _predicted(image, variant, flips, summary).most_common()
    return ", ".join(f"{_class(number, summary)} × {times}" for number, times in found)


def _right(flip: Flip, variant: str, flips: Flips, summary: Summary) -> str:
    """How many runs were right, and what the others mostly said."""
    right = flip.variant_right if variant == flips.variant else flip.baseline_right
    text = _("{right} of {n}", right=right, n=len(flips.seeds))
    labels = summary.images.labels
    found = _predicted(flip.image, variant, flips, summary)
    if labels is None or right == len(flips.seeds) or not found:
        return text
    wrong = [number for number, _times in found.most_common() if number != labels[flip.image]]
    if not wrong:
        return text
    return _("{text}, else {name}", text=text, name=canvas.label(_class(wrong[0], summary), 12))


def _keys(summary: Summary) -> dict[tuple[str, int], str]:
    """The run keys of finished runs by variant and seed, in the study's order."""
    done = summary.runs[summary.runs["status"] == RunStatus.FINISHED]
    columns = (done["variant"], done["seed"], done["run_key"])
    return {(str(v), int(s)): str(key) for v, s, key in zip(*columns, strict=True)}
