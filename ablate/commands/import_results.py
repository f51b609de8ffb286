"""`ablate import-results`: accuracies that were trained elsewhere become a study."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ablate.elsewhere.read import read_results, refuse_numbered_by_accuracy
from ablate.elsewhere.sheets import opened
from ablate.elsewhere.values import GivenResults
from ablate.errors import OptionError
from ablate.store.connection.engine import shown
from ablate.store.elsewhere.importing import Asked, Imported, import_results
from ablate.system.messages.command_line import without_password
from ablate.system.messages.console import say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural, printable

LONGEST = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of a file; None is what it does not say."""

    study: str
    trainer: str | None = None
    baseline: str | None = None
    dataset: str | None = None
    margin: float | None = None
    paired: bool | None = None
    percent: bool = False
    replace: bool = False


def import_file(path: Path, url: str, wanted: Wanted) -> Imported:
    """Write a file's results into the database as a study, and say what came; all of it or nothing.

    Raises:
        DataError: the file is not as it must be, or says something else than the database.
        StudyError: no baseline, another trainer, or an option that the file has no use for.
        DatabaseError: the database cannot be written, or has another study of this name.
    """
    _refuse_texts(wanted)
    PULSE.step("reading")
    with opened(path) as given:
        results = read_results(given, percent=wanted.percent)
        if wanted.paired:
            refuse_numbered_by_accuracy(results)
        asked = Asked(
            study=wanted.study,
            file=given.name,
            sha256=given.sha256,
            trainer=wanted.trainer,
            baseline=wanted.baseline,
            dataset=wanted.dataset,
            margin=wanted.margin,
            paired=wanted.paired,
            replace=wanted.replace,
        )
    PULSE.step("writing")
    found = import_results(url, results, asked)
    for note in results.notes:
        say(f"note: {note}")
    for line in _told(found, results, asked, url):
        say(line)
    return found


def _refuse_texts(wanted: Wanted) -> None:
    """Raises:
    OptionError: a text that no line can show.
    """
    for option, text in (("--trainer", wanted.trainer), ("--dataset", wanted.dataset)):
        wrong = text is not None and (printable(text) != text or len(text) > LONGEST)
        if wrong or (text is not None and not text.strip()):
            raise OptionError(f"{option}: is a text of 1 to {LONGEST} letters that can be printed")


def _told(found: Imported, results: GivenResults, asked: Asked, url: str) -> list[str]:
    changes = found.changes
    images = f", each on {plural(results.images.count, 'image')}" if results.images else ""
    lines = [
        f"{asked.file}: {plural(results.rows, 'row')}, {plural(len(results.runs), 'run')}{images}"
    ]
    failed = sum(run.failure is not None for run in results.runs)
    counts = {
        "added": changes.added,
        "replaced": changes.replaced,
        "completed": changes.completed,
        "there already as they are": changes.same,
    }
    if changes.written:
        told = ", ".join(f"{n:,} {word}" for word, n in counts.items() if n)
        lines.append(f"study {asked.study} in {shown(url)}: {told}{_of_failed(failed)}")
    else:
        when = f", imported at {found.before[:16].replace('T', ' ')}" if found.before else ""
        lines.append(f"nothing new: study {asked.study} in {shown(url)} has all of it{when}")
    if found.kept > 0:
        lines.append(f"{plural(found.kept, 'run')} of earlier files stay beside them")
    lines.append(
        f"baseline {found.baseline}, {plural(found.variants - 1, 'variant')} beside it; the report says that "
        "all of this was trained elsewhere"
    )
    lines.append(f"next: ablate report {asked.study}{_db(url)}")
    return lines


def _of_failed(failed: int) -> str:
    return f"; {plural(failed, 'run')} of the file failed" if failed else ""


def _db(url: str) -> str:
    default = "sqlite:///results/ablation.db"
    return "" if url == default else f" --db {shlex.quote(without_password(url))}"
