"""A document as one HTML page that needs nothing else, or as GitHub Markdown with figures beside it."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablate.page.document import Document
from ablate.system.text import printable

MARKDOWN_MARKS = re.compile(r"([\\`*_{}\[\]|#~$])")
UNIT_SPACE = re.compile(r"(?<=\d) (?=%)|(?<=[≥=<]) (?=\d)|(?<=\bp) (?=[=<])")
"""Where a line must not break: 95 %, ≥ 0.5."""

ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)


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
        loader=PackageLoader("ablate.page"),
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
        loader=PackageLoader("ablate.page"),
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
    line = printable(" ".join(ADDRESS.sub("", value).split()))
    escaped = MARKDOWN_MARKS.sub(r"\\\1", line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
