"""The report's files: one HTML page that needs nothing else, Markdown, CSV, LaTeX and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.errors import OutputError
from ablate.page.html import html, markdown
from ablate.report.export import latex_table, variants_csv
from ablate.report.gallery import FIGURES
from ablate.report.numbers import report_json
from ablate.report.results import results_table
from ablate.report.story import compose
from ablate.report.summary import summarize
from ablate.system.files import write_whole
from ablate.system.inside import inside

if TYPE_CHECKING:
    from ablate.store.frames import Frames


def write_report(frames: Frames, folder: Path) -> list[Path]:
    """Write report.html, report.md, report.json, figures/, variants.csv and table.tex into `folder`.

    Everything is rendered before the first byte is written, and each file appears whole or not
    at all. The same frames give the same bytes.

    Raises:
        OutputError: the folder cannot be written.
        DatabaseError: a link in the place of the folder of figures.
    """
    files = render(frames)
    try:
        inside(folder, "figures").mkdir(parents=True, exist_ok=True)
        written = write_files(folder, files)
        for name in FIGURES:  # a figure of an earlier report that this one no longer has
            if f"figures/{name}.png" not in files:
                (folder / "figures" / f"{name}.png").unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return written


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write rendered files into a folder, each whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return [folder / name for name in files]


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the report cannot be written to {str(folder)!r} ({error.strerror or error}): "
        "free space or choose another folder with --out"
    )


def differing_files(frames: Frames, folder: Path, *, alone: bool = False) -> list[Path]:
    """The files of a report in `folder` that `write_report` would write, change or remove; with `alone`
    also those that are no report's, but for the pictures of `ablate explain`.

    Raises:
        OutputError: what is there cannot be read.
    """
    files = render(frames)
    names = {f"figures/{name}.png" for name in FIGURES}
    try:
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        others = {n for n in there if n in names or (alone and not n.startswith("explain/"))}
        differing = [name for name in files if content_of(folder / name) != files[name]]
        return [folder / name for name in differing + sorted(others - files.keys())]
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror or error}") from None


def content_of(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none."""
    return path.read_bytes() if path.exists() else None


def render(frames: Frames) -> dict[str, bytes]:
    """The content of every file by its path inside the report's folder; report.html is last."""
    summary = summarize(frames)
    document = compose(summary)
    texts = {
        "variants.csv": variants_csv(summary),
        "report.json": report_json(summary),
        "table.tex": latex_table(results_table(summary)),
        "report.md": markdown(document),
        "report.html": html(document),
    }
    pictures = {f"figures/{figure.name}.png": figure.png for figure in document.figures}
    return pictures | {name: text.encode("utf-8") for name, text in texts.items()}
