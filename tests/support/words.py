"""What tests of the words share: English prose in a text that should be of another language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

PROSE = re.compile(r"[A-Za-z]{2,}(?:,? [A-Za-z]{2,}){2,}")
"""Three English words, one behind the other."""
TYPED = re.compile(r"`[^`]*`|ablate [a-z]+.*|--[a-z-]+( [a-zA-Z/.]+)?")
"""What is typed is no prose."""


class Texts(HTMLParser):
    """The texts of a page: between its tags, and what its pictures and tables are called."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script", "svg")
        self.found += [value for name, value in attrs if name == "aria-label" and value]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script", "svg")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.found.append(data.strip())


def english_in(texts: Iterable[str], data: Iterable[str] = ()) -> list[str]:
    """The texts with English prose in them; `data` is what somebody wrote, in whichever language."""
    known = sorted(data, key=len, reverse=True)
    return [text for text in texts if PROSE.search(TYPED.sub("", _without(text, known)))]


def _without(text: str, known: list[str]) -> str:
    for each in known:
        text = text.replace(each, "")
    return text
