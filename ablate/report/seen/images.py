"""What the images of a study are: how many, of which classes, and what makes results on them mean less."""

from __future__ import annotations

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.summary import Summary
from ablate.result.dataset import DatasetSummary, compared_by, in_folds, told, warnings
from ablate.study.metrics import ACCURACY
from ablate.system.messages.language import _


def image_blocks(summary: Summary) -> tuple[Block, ...]:
    """The table of the images, and what was done to their files; none where they were not counted."""
    if summary.data is None:
        return ()
    notes = (Note(f"{text[0].upper()}{text[1:]}.") for text in told(summary.data))
    return (_table(summary.data), *notes)


def doubts(summary: Summary) -> tuple[Note, ...]:
    """What of the images a reader of any number must know."""
    if summary.data is None:
        return ()
    said = [*warnings(summary.data), *_no_better(summary, summary.data)]
    return tuple(Note(_("{told}.", told=text[0].upper() + text[1:]), "warning") for text in said)


def _no_better(summary: Summary, data: DatasetSummary) -> list[str]:
    """Where no network is better than one that never looks at an image."""
    if summary.metric != ACCURACY:
        return []
    means = [v.accuracy.mean for v in summary.finished if v.accuracy]
    if not means or max(means) > data.majority_share:
        return []
    return [
        _(
            "no variant is right more often than always saying {majority_class}",
            majority_class=data.majority_class,
        )
    ]


def _table(data: DatasetSummary) -> Table:
    drawn = (
        ""
        if data.drawn_images is None
        else _("each seed draws {drawn_images}", drawn_images=fmt.count(data.drawn_images))
    )
    first = "" if data.folds is None else _("in the first fold")
    rows = (
        (_("Classes"), fmt.count(data.classes), ""),
        *(() if data.folds is None else ((_("Folds"), fmt.count(data.folds), in_folds(data)),)),
        (
            _("To train on"),
            fmt.count(data.train_images),
            _(", ").join(filter(None, (first, drawn))),
        ),
        (_("To validate"), fmt.count(data.validation_images), first),
        (_("To test"), fmt.count(data.test_images), first and _("each in one fold")),
        (_("Smallest class"), fmt.count(data.smallest_class_images), data.smallest_class),
        (_("Largest class"), fmt.count(data.largest_class_images), data.largest_class),
        *_compared(data),
    )
    whose = _("the images that are not tested") if data.folds is None else _("all images")
    return Table(
        _("The images of this study. Sizes of classes are those of {whose}.", whose=whose),
        (Column(_("What"), numeric=False), Column(_("Images"))),
        tuple(Row((TableCell(what), TableCell(number, note))) for what, number, note in rows),
    )


def _compared(data: DatasetSummary) -> list[tuple[str, str, str]]:
    if data.compared is None:
        return []
    by = _("by their {compared}", compared=compared_by(data))
    return [
        (_("Tested and trained on"), fmt.count(data.tested_in_training), by),
        (_("In two classes"), fmt.count(data.in_two_classes), by),
    ]
