"""A document as one HTML page that needs nothing else, or as GitHub Markdown with figures beside it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ablate.page.document import Document, Figure
from ablate.page.vector import Styles, inline
from ablate.system.messages.language import ENGLISH, _, closed_up, language
from ablate.system.messages.text import printable

MARKDOWN_MARKS = re.compile(r"([\\`*_{}\[\]|#~$])")
UNIT_SPACE = re.compile(r"(?<=\d) (?=%)|(?<=[≥=<]) (?=\d)|(?<=\bp) (?=[=<])")
"""Where a line must not break: 95 %, ≥ 0.5."""

LANG = {"en": "en", "zh": "zh-CN"}
"""How a page says in which language it is."""
ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def html(document: Document) -> str:
    """The page; every text is escaped by the environment, not by the template.

    Its policy allows its one style sheet and its one script by their hashes, and nothing from elsewhere.
    """
    styles = Styles()
    plots = {figure.name: _plots(figure, styles) for figure in document.figures}
    sheet = f"\n{_template('report.css')}{styles.sheet}\n"
    script = f"\n{_template('report.js')}"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(sheet)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    values = {
        "document": document, "plots": plots, "policy": policy, "words": _words(),
        "sheet": Markup(sheet),  # noqa: S704 - of this package, and rules made from its own colours
        "script": Markup(script),  # noqa: S704 - of this package
    }  # fmt: skip
    return _html_environment().get_template("report.html").render(values)


def markdown(document: Document) -> str:
    """The same content as GitHub Markdown, with figures beside it."""
    text = _markdown_environment().get_template("report.md").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _words() -> dict[str, object]:
    """What the page itself says, and its script where that is not in English."""
    script = {
        "filter": _("Filter the variants"), "name": _("Name"), "any": _("any"), "all": _("Show all"),
        "of": _("{left} of {all}"),
    }  # fmt: skip
    return {
        "lang": LANG[language()],
        "sections": _("Sections"),
        "footer": _(
            "Made by ablate. This page needs no network; its one script, its own, sorts and filters tables "
            "and prints tall figures in parts."
        ),
        "script": {} if language() == ENGLISH else script,
    }


def _plots(figure: Figure, styles: Styles) -> list[tuple[str, Markup]]:
    """The figure for each width of window, as elements of the page."""
    drawn = {"": figure.picture, "narrow": figure.narrow}
    if figure.narrow is not None:
        drawn = {"broad": figure.picture, "narrow": figure.narrow}
    # Escaped by the serializer that wrote it.
    return [
        (kind, Markup(inline(picture.for_page or picture.svg, f"{figure.name}{kind}", styles)))  # noqa: S704
        for kind, picture in drawn.items()
        if picture is not None
    ]


def _template(name: str) -> str:
    return (files("ablate.page") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _html_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ablate.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_html_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["listed"] = _listed
    environment.filters["mapped"] = _mapped
    return environment


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
    if type(value) is not str:
        return value
    # What would turn the direction of a line is shown as what it is: a character that cannot be printed.
    line = "".join(c if c in "\n\t" or c.isprintable() or c.isspace() else "\ufffd" for c in value)
    return UNIT_SPACE.sub("\u00a0", closed_up(ADDRESS.sub("", line)))


def _listed(texts: Sequence[str]) -> str:
    """Several texts as one attribute, for the page's script."""
    return json.dumps([_html_text(text) for text in texts], ensure_ascii=False)


def _mapped(texts: Mapping[str, str]) -> str:
    """Texts by name as one attribute, for the page's script."""
    return json.dumps(dict(texts), ensure_ascii=False)


def _markdown_text(value: object) -> object:
    if type(value) is not str:
        return value
    line = printable(closed_up(" ".join(ADDRESS.sub("", value).split())))
    escaped = MARKDOWN_MARKS.sub(r"\\\1", line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
