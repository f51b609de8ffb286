"""A figure as SVG inside the page: in the page's own colours and fonts, with values where a pointer rests."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree import ElementTree

from PIL import Image

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
TIP = "tip: "
THEME = {
    "#1f2328": "ink", "#8a929b": "grey", "#b9c0c8": "faint", "#e6e8eb": "grid", "#ffffff": "card",
    "#1f6fb2": "blue", "#c4511d": "orange", "#13856b": "green", "#56b4e9": "sky", "#8250a8": "purple",
    "#9a6b00": "ochre",
}  # fmt: skip
"""The colours of `canvas` that a dark page shows otherwise: `--plot-ink` and so on in its style sheet."""
QUALITY = 90
"""Of photographs inside the page; the files beside it have every bit."""

_COLOR = re.compile("|".join(THEME), re.IGNORECASE)
_INNER = re.compile(r"url\(#([^)]+)\)")
_AXES = re.compile(r"axes_\d+")
_PHOTOGRAPH = re.compile(rb"data:image/png;base64,([^\"]+)")
_FONT = re.compile(r"font: ([^;]*?)([\d.]+)px [^;]*")


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as it was drawn; `png` and `pdf` are empty where nobody wants them. `for_page` is the SVG with
    photographs in fewer bytes.
    """

    svg: bytes
    png: bytes = b""
    pdf: bytes = b""
    for_page: bytes = b""


def titled(text: str) -> str:
    """The mark of an artist that `inline` and `file_svg` turn into a title."""
    return TIP + text


@dataclass
class Styles:
    """The style rules of all figures of a page, so that no element needs one of its own: the page's policy
    allows its one style sheet and nothing else.
    """

    names: dict[str, str] = field(default_factory=dict)

    def name(self, style: str) -> str:
        """The class that stands for a style."""
        told = _COLOR.sub(lambda m: f"var(--plot-{THEME[m[0].lower()]})", style)
        told = _FONT.sub(r"font: \1\2px var(--plot-font)", told).strip("; ")
        return self.names.setdefault(told, f"p{len(self.names)}")

    @property
    def sheet(self) -> str:
        """The rules, in the order in which they were met."""
        return "\n".join(f".{name} {{ {rule} }}" for rule, name in self.names.items())


def inline(svg: bytes, prefix: str, styles: Styles) -> str:
    """The figure as an element of the page; `prefix` keeps its names apart from those of other figures."""
    root = _with_titles(svg, panels=True)
    for defs in root.findall(f"{SVG}defs"):
        for sheet in defs.findall(f"{SVG}style"):  # the page has it for every figure
            defs.remove(sheet)
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "plot", "aria-hidden": "true"}
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.attrib = {
            key.removeprefix(LINK): _inner(value, prefix) for key, value in element.attrib.items()
        }
        if "id" in element.attrib:
            element.attrib["id"] = f"{prefix}-{element.attrib['id']}"
        if element.attrib.get("href", "").startswith("#"):
            element.attrib["href"] = f"#{prefix}-{element.attrib['href'][1:]}"
        if "style" in element.attrib:
            element.attrib["class"] = styles.name(element.attrib.pop("style"))
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def file_svg(svg: bytes) -> bytes:
    """The figure as a file of its own."""
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", LINK[1:-1])
    text: bytes = ElementTree.tostring(_with_titles(svg), encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _with_titles(svg: bytes, *, panels: bool = False) -> ElementTree.Element:
    """Without metadata, and with a title where an artist has one; `panels` are marked as such, so that a page
    that is printed can end between two.
    """
    root = ElementTree.fromstring(svg)  # noqa: S314 - written by matplotlib a moment ago
    used = _used(root)
    for metadata in root.findall(f"{SVG}metadata"):
        root.remove(metadata)
    for element in list(root.iter()):
        given = element.attrib.get("id", "")
        if given.startswith(TIP):
            title = ElementTree.Element(f"{SVG}title")
            title.text = given.removeprefix(TIP)
            element.insert(0, title)
        if panels and _AXES.fullmatch(given):
            element.attrib["class"] = "panel"
        if given and given not in used:
            del element.attrib["id"]
    return root


def _used(root: ElementTree.Element) -> set[str]:
    """The names that something in the figure points to."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    return {v[1:] for v in values if v.startswith("#")} | {
        m for v in values for m in _INNER.findall(v)
    }


def _inner(value: str, prefix: str) -> str:
    return _INNER.sub(rf"url(#{prefix}-\1)", value)


def with_small_photographs(svg: bytes) -> bytes:
    """A figure with each photograph in it as WebP where that has fewer bytes."""
    return _PHOTOGRAPH.sub(lambda found: _smaller(found[1]), svg)


@lru_cache(maxsize=256)
def _smaller(data: bytes) -> bytes:
    """The address of a photograph; remembered, as a narrow figure has those of the broad one."""
    raw, packed = base64.b64decode(data), io.BytesIO()
    Image.open(io.BytesIO(raw)).convert("RGBA").save(packed, format="WEBP", quality=QUALITY)
    if len(packed.getvalue()) >= len(raw):
        return b"data:image/png;base64," + b"".join(data.split())
    return b"data:image/webp;base64," + base64.b64encode(packed.getvalue())
