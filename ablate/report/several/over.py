"""The files of a report over several contexts or studies, all of them rendered at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.page.document import Document
from ablate.page.html import html, markdown
from ablate.report.effects.contexts import InContext, compose_contexts, where_table
from ablate.report.files.export import over_csv
from ablate.report.files.latex import plain_table
from ablate.report.files.numbers import contexts_json
from ablate.report.render import figure_files, of_reports, write_files
from ablate.system.messages.language import ENGLISH, spoken


def render_contexts(contexts: Sequence[InContext]) -> dict[str, bytes]:
    """The content of every file of the report over all contexts, by its name; report.html is last."""
    with spoken(ENGLISH):
        texts = {
            "variants.csv": over_csv("context", [(each.name, each.summary) for each in contexts]),
            "report.json": numbers_over(contexts),
            "table.tex": plain_table(where_table(contexts)),
        }
    return with_pages(texts, compose_contexts(contexts))


def numbers_over(contexts: Sequence[InContext]) -> str:
    """report.json over all contexts."""
    numbers = [(dict(each.context), each.folder, each.summary) for each in contexts]
    with spoken(ENGLISH):
        return contexts_json(contexts[0].summary.study["name"], numbers)


def with_pages(texts: Mapping[str, str], document: Document) -> dict[str, bytes]:
    """A document's figures and pages, and the texts beside them."""
    pictures = {
        name: content
        for figure in document.figures
        for name, content in figure_files(figure).items()
    }
    pages = {"report.md": markdown(document), "report.html": html(document)}
    return pictures | {name: text.encode("utf-8") for name, text in {**texts, **pages}.items()}


def write_over(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write rendered files in place of an earlier report.

    Raises:
        OutputError: the folder cannot be written.
        DatabaseError: a link in the place of a folder in it.
    """
    return write_files(folder, files, of_reports(folder) - files.keys())
