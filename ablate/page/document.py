"""What a report consists of: sections of notices, lists, tables and figures. Text, no markup.

HTML and Markdown are rendered from the same document, so they say the same. Escaping is the
templates' business; a text here is what a person should read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ablate.page.vector import Picture
from ablate.stats import Verdict
from ablate.system.messages.language import _

Value = str | float | int | None
Records = Sequence[Mapping[str, Value]]
"""Rows for programs: the same keys in each, a missing value is None."""

Tone = Literal["", "lead", "warning"] | Verdict


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table: the value, and a note that is set smaller below it. `value` is what a page sorts
    by where the text does not say it, `more` what it shows on demand, its heading first.
    """

    text: str
    note: str = ""
    tone: Tone = ""
    value: float | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column; numbers are set flush right."""

    title: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One row; its first cell is its head. `marked` is the baseline's, `tags` what it is filtered by."""

    cells: tuple[TableCell, ...]
    marked: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table; with `folded`, a summary behind which HTML hides it until it is opened. `filters` are the
    names of its rows' tags, by which a page may filter it. Where `rows` are a part that can be read, `every`
    has them all.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    folded: str = ""
    filters: tuple[str, ...] = ()
    every: tuple[Row, ...] = ()
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure; `name` is its files', `alt` says what it shows, `data` are the numbers in it. `narrow` is the
    same for a phone, where it was drawn.
    """

    name: str
    alt: str
    caption: str
    picture: Picture
    data: Records = ()
    narrow: Picture | None = None
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph; with a tone it stands out."""

    text: str
    tone: Tone = ""
    kind: str = field(default="note", init=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the claim in a few words, then what it rests on."""

    claim: str
    evidence: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """A list of findings; with `folded`, hidden as a table is."""

    items: tuple[Finding, ...]
    folded: str = ""
    kind: str = field(default="findings", init=False)


@dataclass(frozen=True, slots=True)
class BarPart:
    """One part of a whole, for a bar."""

    label: str
    number: int
    from_percent: float
    share_percent: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A whole and its parts: how complete the study is."""

    text: str
    parts: tuple[BarPart, ...]
    kind: str = field(default="bar", init=False)


Block = Table | Figure | Note | Findings | Bar


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; a section without blocks is left out."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    question: str
    facts: tuple[tuple[str, str], ...]
    banner: str
    sections: tuple[Section, ...]
    eyebrow: str = field(default_factory=lambda: _("Ablation report"))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in order."""
        blocks = (block for section in self.sections for block in section.blocks)
        return tuple(block for block in blocks if isinstance(block, Figure))
