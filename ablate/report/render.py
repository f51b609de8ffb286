"""The report's files: one HTML page that needs nothing else, Markdown, CSV, LaTeX, JSON and figures."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.errors import OutputError
from ablate.page.data import csv_text
from ablate.page.document import Document, Figure
from ablate.page.html import html, markdown
from ablate.page.vector import file_svg
from ablate.report.files.export import tables_csv, variants_csv
from ablate.report.files.latex import CHOSEN, Width, latex_table, numbers_tex
from ablate.report.files.numbers import report_json
from ablate.report.files.reproduce import run_records
from ablate.report.gallery import FIGURES, draw_all
from ablate.report.story import compose
from ablate.report.summary import Summary, summarize
from ablate.system.files.all_or_none import write_all
from ablate.system.files.inside import inside
from ablate.system.messages.language import ENGLISH, language, spoken

FORMATS = ("png", "svg", "pdf", "csv")
CONTEXTS = "contexts"
"""The folder of the reports of single contexts."""
NAMES = (
    "report.html", "report.md", "report.json", "variants.csv", "runs.csv", "table.tex", "numbers.tex",
)  # fmt: skip
"""Files that lie in a report's folder itself, in that of one or another kind of report."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*")
"""How the folder of a context is called."""

if TYPE_CHECKING:
    from ablate.store.reading.frames import Frames


@dataclass(frozen=True, slots=True)
class ForPaper:
    """How wide the table for a paper is, which columns it has, and as what the figures are written."""

    width: Width = "wide"
    columns: tuple[str, ...] = CHOSEN["wide"]
    formats: tuple[str, ...] = FORMATS


WIDE = ForPaper()


def write_report(given: Frames | Summary, folder: Path, paper: ForPaper = WIDE) -> list[Path]:
    """Write report.html, report.md, report.json, figures/, tables/, variants.csv, runs.csv, table.tex and
    numbers.tex into `folder`.

    Everything is rendered before the first byte is written, and what is there afterwards is the earlier
    report or this one. The same results give the same bytes.

    Raises:
        OutputError: the folder cannot be written.
        DatabaseError: a link in the place of a folder in it.
    """
    files = render(given, paper)
    return write_files(folder, files, of_reports(folder) - files.keys())


def write_files(
    folder: Path, files: Mapping[str, bytes], without: Iterable[str] = (), what: str = "the report"
) -> list[Path]:
    """Write rendered files into a folder and remove those of `without`, all of it or nothing.

    Raises:
        OutputError: the folder cannot be written.
        DatabaseError: a link in the place of a folder in it.
    """
    stale = sorted(without)
    for parent in dict.fromkeys(Path(name).parent for name in (*files, *stale)):
        inside(folder, *parent.parts)
    try:
        write_all({folder / n: c for n, c in files.items()}, [folder / name for name in stale])
    except OSError as error:
        raise OutputError(
            f"{what} cannot be written to {str(folder)!r} ({error.strerror or error}): "
            "free space or choose another folder with --out"
        ) from None
    _remove_empty(folder, stale)
    return [folder / name for name in files]


def _remove_empty(folder: Path, removed: Iterable[str]) -> None:
    """Remove folders in it that have nothing in them any more."""
    within = {parent for name in removed for parent in Path(name).parents if parent.parts}
    for each in sorted(within, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # one that has something in it stays
            (folder / each).rmdir()


def differing_files(
    given: Frames | Summary, folder: Path, paper: ForPaper = WIDE, *, alone: bool = False
) -> list[Path]:
    """The files of a report in `folder` that `write_report` would write, change or remove; with `alone`
    also those that are no report's, but for those of `ablate explain` and of single figures.

    Raises:
        OutputError: what is there cannot be read.
    """
    return differing_in(folder, render(given, paper), alone=alone)


def differing_in(folder: Path, files: Mapping[str, bytes], *, alone: bool = False) -> list[Path]:
    """The files of a folder that are not what was rendered, or of a report and not rendered; `alone` as in
    `differing_files`.

    Raises:
        OutputError: what is there cannot be read.
    """
    try:
        others = of_reports(folder)
        if alone:
            there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
            others |= {name for name in there if not name.startswith(("explain/", "paper/"))}
        differing = [name for name in files if content_of(folder / name) != files[name]]
        return [folder / name for name in differing + sorted(others - files.keys())]
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror or error}") from None


def of_reports(folder: Path) -> set[str]:
    """The files that lie where a report of any kind has some, by their path inside its folder: in reports of
    contexts too.
    """
    figures = {f"figures/{name}.{kind}" for name in FIGURES for kind in FORMATS}
    tables = {f"tables/{path.name}" for path in (folder / "tables").glob("*.csv")}
    own = {name for name in {*NAMES, *figures, *tables} if os.path.isfile(folder / name)}
    within = {f"{CONTEXTS}/{each.name}/{n}" for each in _contexts(folder) for n in of_reports(each)}
    return own | within


def _contexts(folder: Path) -> list[Path]:
    """The folders in which the report of a context lies. A link is not followed."""
    there = folder / CONTEXTS
    found = [] if there.is_symlink() else sorted(there.glob("*"))
    return [
        each
        for each in found
        if _PLAIN.fullmatch(each.name)
        and not each.is_symlink()
        and os.path.isfile(each / "report.json")
    ]


def content_of(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none."""
    return path.read_bytes() if path.exists() else None


def render(given: Frames | Summary, paper: ForPaper = WIDE) -> dict[str, bytes]:
    """The content of every file by its path inside the report's folder; report.html is last."""
    summary = given if isinstance(given, Summary) else summarize(given)
    drawn = draw_all(summary, paper.formats)
    document = compose(summary, drawn)
    read = {"report.md": markdown(document), "report.html": html(document)}
    with spoken(ENGLISH):
        texts = {
            "variants.csv": variants_csv(summary),
            "runs.csv": csv_text(run_records(summary)),
            "report.json": report_json(summary),
            "table.tex": latex_table(summary, paper.width, paper.columns),
            "numbers.tex": numbers_tex(summary),
            **read,
        }
    pictures = {
        name: content
        for figure in document.figures
        for name, content in figure_files(figure, formats=paper.formats).items()
    }
    encoded = {name: text.encode("utf-8") for name, text in texts.items()}
    return pictures | tables_csv(_in_english(document, summary, drawn)) | encoded


def _in_english(document: Document, summary: Summary, drawn: Mapping[str, Figure]) -> Document:
    """The same document for programs, which read its tables alone."""
    if language() == ENGLISH:
        return document
    with spoken(ENGLISH):
        return compose(summary, drawn)


def figure_files(
    figure: Figure, folder: str = "figures/", formats: tuple[str, ...] = FORMATS
) -> dict[str, bytes]:
    """A figure in these formats, and the numbers in it, by the path inside the report's folder."""
    picture = figure.picture
    contents = (
        picture.png,
        file_svg(picture.svg),
        picture.pdf,
        csv_text(figure.data).encode("utf-8"),
    )
    named = zip(FORMATS, contents, strict=True)
    return {
        f"{folder}{figure.name}.{kind}": content
        for kind, content in named
        if content and kind in formats
    }


def write_figure(figure: Figure, folder: Path) -> list[Path]:
    """Write one figure in every format, with its data.

    Raises:
        OutputError: the folder cannot be written.
    """
    return write_files(folder, figure_files(figure, ""), what="the figure")
