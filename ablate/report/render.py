"""The report's files: one HTML page that needs nothing else, Markdown, CSV, LaTeX and figures."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablate.errors import OutputError
from ablate.files import write_whole
from ablate.report.document import Document
from ablate.report.export import latex_table, variants_csv
from ablate.report.results import results_table
from ablate.report.story import compose
from ablate.report.summary import summarize

if TYPE_CHECKING:
    from ablate.store.frames import Frames

FIGURE_NAMES = (
    *("accuracy", "heat-map", "cost", "loss", "learning", "profile", "families"),
    *("attention-image-1", "attention-image-2", "attention-weights"),
    *("search-history", "search-front", "search-slices", "search-budget"),
)

MARKDOWN_MARKS = re.compile(r"([\\`*_{}\[\]|#~$])")
UNIT_SPACE = re.compile(r"(?<=\d) (?=%)|(?<=[≥=<]) (?=\d)|(?<=\bp) (?=[=<])")
"""Where a line must not break: 95 %, ≥ 0.5."""

ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def write_report(frames: Frames, folder: Path) -> list[Path]:
    """Write report.html, report.md, figures/, variants.csv and table.tex into `folder`.

    Everything is rendered before the first byte is written, and each file appears whole or not
    at all. The same frames give the same bytes.

    Raises:
        OutputError: the folder cannot be written.
    """
    files = render(frames)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
        for name in FIGURE_NAMES:  # a figure of an earlier report that this one no longer has
            if f"figures/{name}.png" not in files:
                (folder / "figures" / f"{name}.png").unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the report cannot be written to {str(folder)!r} ({reason}): "
            "free space or choose another folder with --out"
        ) from None
    return [folder / name for name in files]


def differing_files(frames: Frames, folder: Path, *, alone: bool = False) -> list[Path]:
    """The files of a report in `folder` that `write_report` would write, change or remove; with `alone`
    also those that are no report's, but for the pictures of `ablate explain`.

    Raises:
        OutputError: what is there cannot be read.
    """
    files = render(frames)
    names = {f"figures/{name}.png" for name in FIGURE_NAMES}
    try:
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        others = {n for n in there if n in names or (alone and not n.startswith("explain/"))}
        differing = [name for name in files if _content(folder / name) != files[name]]
        return [folder / name for name in differing + sorted(others - files.keys())]
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror or error}") from None


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def render(frames: Frames) -> dict[str, bytes]:
    """The content of every file by its path inside the report's folder; report.html is last."""
    summary = summarize(frames)
    document = compose(summary)
    texts = {
        "variants.csv": variants_csv(summary),
        "table.tex": latex_table(results_table(summary)),
        "report.md": markdown(document),
        "report.html": html(document),
    }
    pictures = {f"figures/{figure.name}.png": figure.png for figure in document.figures}
    return pictures | {name: text.encode("utf-8") for name, text in texts.items()}


def html(document: Document) -> str:
    """The page; every text is escaped by the environment, not by the template."""
    return _html_environment().get_template("report.html").render(document=document)


def markdown(document: Document) -> str:
    """The same content as GitHub Markdown, with figures beside it."""
    text = _markdown_environment().get_template("report.md").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _html_environment() -> Environment:
    return Environment(
        loader=PackageLoader("ablate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_html_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _markdown_environment() -> Environment:
    # Markdown is not HTML: `finalize` escapes every expression instead.
    return Environment(
        loader=PackageLoader("ablate.report"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        finalize=_markdown_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _html_text(value: object) -> object:
    """Text without the scheme of an address: an error often quotes one, and a page that goes to
    colleagues should neither link nor look as if it loaded something from elsewhere."""
    if type(value) is not str or value.startswith("data:image/png;base64,"):
        return value
    return UNIT_SPACE.sub("\u00a0", ADDRESS.sub("", value))


def _markdown_text(value: object) -> object:
    if type(value) is not str:
        return value
    line = " ".join(ADDRESS.sub("", value).split())
    escaped = MARKDOWN_MARKS.sub(r"\\\1", line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
