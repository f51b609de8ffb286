"""What a report says of runs that were trained elsewhere: from where the numbers are, and whose word stands
for what nobody here has seen.
"""

from __future__ import annotations

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.findings import LEAKED
from ablate.report.summary import Summary
from ablate.system.messages.language import N_, _

MOST_FILES = 3
SHORT = 12
"""Digits of a file's hash that stand in a sentence; the table has them all."""

UNPAIRED = N_(
    "Nobody says that runs of one seed share initialisation or batches, so seeds are not taken as blocks: "
    "intervals are wider than those of seeds that do, and hold either way."
)
PAIRED = N_(
    "Runs of one seed share initialisation and batches: so says whoever imported them, and seeds are taken "
    "as blocks. Where that is not so, the intervals may be too narrow."
)


def head(summary: Summary) -> str:
    """What must be read before any number; mostly nothing."""
    if summary.elsewhere:
        return banner(summary)
    return _(LEAKED) if summary.leaked else ""


def banner(summary: Summary) -> str:
    """Who trained the runs, and where their numbers are from."""
    return _(
        "Trained elsewhere{by}, and imported from {files}. That data, seeds and conditions were the same for "
        "all variants is the word of whoever imported them: nothing of it was seen here.",
        by=_by(summary),
        files=_files(summary),
    )


def fact(summary: Summary) -> tuple[str, str]:
    """The same in two words, beside data set and baseline."""
    return _("Trained"), _("elsewhere{by}", by=_by(summary))


def seeds_told(summary: Summary) -> str:
    """Whether seeds are taken as blocks, and on whose word."""
    return _(PAIRED) if summary.paired else _(UNPAIRED)


def steps(summary: Summary) -> Note:
    """How the same report comes about again; the runs themselves do not."""
    return Note(
        _(
            "Nothing here can train these runs again: how they were trained, only who trained them knows. "
            "`ablate import-results` with the files below, known by their SHA-256, brings the same runs into "
            "any database, and `ablate report {study}` makes this report of them.",
            study=summary.study["name"],
        )
    )


def files_table(summary: Summary) -> Table:
    """The files that the runs are from."""
    columns = (
        Column(_("File"), numeric=False),
        Column("SHA-256", numeric=False),
        Column(_("Rows")),
        Column(_("Imported"), numeric=False),
    )
    rows = tuple(
        Row(
            (
                TableCell(str(each["name"])),
                TableCell(str(each["sha256"])),
                TableCell(fmt.count(each["rows"])),
                TableCell(str(each["imported_at"])),
            )
        )
        for each in summary.elsewhere["files"]
    )
    return Table(_("The files that the runs are from."), columns, rows)


def recipe_table(summary: Summary) -> Table:
    """What was said of all runs; what was not said has no row."""
    known = {
        _("data set"): summary.study.get("dataset"),
        _("baseline"): summary.baseline,
        _("equivalence margin"): summary.margin,
        _("epochs"): _epochs(summary),
        _("trained by"): summary.elsewhere["trainer"],
    }
    columns = (Column(_("Setting"), numeric=False), Column(_("Value"), numeric=False))
    rows = tuple(
        Row((TableCell(name), TableCell(fmt.value(value))))
        for name, value in known.items()
        if value not in (None, "")
    )
    return Table(_("What was said of the runs as they were imported."), columns, rows)


def other_lengths(summary: Summary) -> tuple[Note, ...]:
    """That runs were trained for other numbers of epochs, which differences may be of."""
    epochs = summary.elsewhere["epochs"]
    if len(epochs) < 2:
        return ()
    text = _(
        "Runs were trained for {least:,} to {most:,} epochs, and a difference may be of that.",
        least=min(epochs),
        most=max(epochs),
    )
    return (Note(text, "warning"),)


def images_numbered(shown: tuple[Block, ...]) -> tuple[Block, ...]:
    """Behind what names images by their number, which number that is."""
    text = _("Images are numbered from 0 in the order of their names in the file.")
    return (*shown, Note(text)) if shown else ()


def _epochs(summary: Summary) -> str:
    epochs = summary.elsewhere["epochs"]
    return f"{epochs[0]:,}" if len(epochs) == 1 else ""


def _by(summary: Summary) -> str:
    trainer = summary.elsewhere["trainer"]
    return _(" by {trainer}", trainer=trainer) if trainer else ""


def _files(summary: Summary) -> str:
    files = summary.elsewhere["files"]
    named = [f"{each['name']} (SHA-256 {each['sha256'][:SHORT]})" for each in files[:MOST_FILES]]
    left = len(files) - len(named)
    return ", ".join(named) + (_(" and {left:,} more", left=left) if left else "")
