"""What a report consists of: sections of notices, lists, tables and figures. Text, no markup.

HTML and Markdown are rendered from the same document, so they say the same. Escaping is the
templates' business; a text here is what a person should read.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal

from ablate.stats import Verdict

Tone = Literal["", "lead", "warning"] | Verdict


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table: the value, and a note that is set smaller below it."""

    text: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column; numbers are set flush right."""

    title: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One row; its first cell is its head. `marked` is the baseline's."""

    cells: tuple[TableCell, ...]
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; with `folded`, a summary behind which HTML hides it until it is opened."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    folded: str = ""
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture as PNG bytes; `name` is its file's, `alt` says what it shows."""

    name: str
    alt: str
    caption: str
    png: bytes
    kind: str = field(default="figure", init=False)

    @property
    def data_uri(self) -> str:
        """The picture inside an address, so that the page needs no second file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


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
    """A list of findings."""

    items: tuple[Finding, ...]
    kind: str = field(default="findings", init=False)


@dataclass(frozen=True, slots=True)
class BarPart:
    """One part of a whole, for a bar."""

    label: str
    number: int
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
    eyebrow: str = "Ablation report"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in order."""
        blocks = (block for section in self.sections for block in section.blocks)
        return tuple(block for block in blocks if isinstance(block, Figure))
