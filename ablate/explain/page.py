"""An explanation as files: each picture as PNG and SVG, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ablate.errors import OutputError
from ablate.explain.explanation import Explanation, GateRow
from ablate.page import canvas
from ablate.page.document import Column, Document, Figure, Note, Row, Section, Table, TableCell
from ablate.page.format import percent
from ablate.page.html import html
from ablate.page.vector import Picture, file_svg
from ablate.system.files.all_or_none import write_all
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE

PICTURE = re.compile(r"(feature-maps|attention|weights|heat-maps|gates)(-\d+)?\.(png|svg)")
"""The names of pictures, whatever was asked for."""

NOTHING = 0.01
"""Below this standard deviation over images the page says that a gate is a constant."""


def write_page(explanation: Explanation, folder: Path) -> list[Path]:
    """Write explain.html and the pictures into `folder`, all of them or none.

    Raises:
        OutputError: the folder cannot be written.
    """
    with canvas.style(), canvas.written_as(("svg", "png")):
        drawn: dict[str, Picture] = {}
        for picture in explanation.pictures:
            PULSE.count(_("writing pictures"), len(drawn), len(explanation.pictures))
            drawn[picture.name] = canvas.saved(picture.figure)
    files = {f"{name}.png": each.png for name, each in drawn.items()}
    files |= {f"{name}.svg": file_svg(each.svg) for name, each in drawn.items()}
    files["explain.html"] = html(document(explanation, drawn)).encode("utf-8")
    # Pictures of an earlier call, which no page shows any more.
    earlier = [p for p in folder.glob("*") if PICTURE.fullmatch(p.name) and os.path.isfile(p)]
    try:
        write_all({folder / name: content for name, content in files.items()}, earlier)
    except OSError as error:
        raise OutputError(
            f"the pictures cannot be written to {str(folder)!r} ({error.strerror or error}): "
            "free space or choose another folder with --out"
        ) from None
    return [folder / name for name in files]


def document(explanation: Explanation, drawn: dict[str, Picture]) -> Document:
    """The page's content; `drawn` are the pictures by name."""
    told = (_("{name} – {weights}.", name=s.title, weights=s.weights) for s in explanation.networks)
    networks = tuple(Note(text) for text in (*told, *canvas.english_words()))
    shown = tuple(
        Section(p.name, p.title, (Figure(p.name, f"{p.title}.", p.caption, drawn[p.name]),))
        for p in explanation.pictures
    )
    numbers = Section("numbers", _("What the gates do"), _numbers(explanation))
    return Document(
        title=explanation.study,
        question=_("What does attention do?"),
        facts=(
            (_("Dataset"), explanation.dataset),
            (_("Networks"), f"{len(explanation.networks)}"),
            (_("Images"), ", ".join(explanation.inputs.names)),
        ),
        banner="",
        sections=(Section("networks", _("Networks"), networks), *shown, numbers),
        eyebrow=_("Attention explained"),
    )


def _numbers(explanation: Explanation) -> tuple[Note | Table, ...]:
    unknown = _unknown(explanation)
    if not explanation.gates:
        return unknown or (Note(_("None of these networks has attention.")),)
    columns = (
        Column(_("Network"), numeric=False), Column(_("Gate"), numeric=False), Column(_("Mean")),
        Column(_("SD"), _("across channels or places")), Column(_("SD"), _("across images")),
        Column(_("Dead"), _("below 0.05")), Column(_("Saturated"), _("above 0.95")),
        Column(_("Does it look at the image?"), numeric=False),
    )  # fmt: skip
    images = explanation.gates[0].statistics.images
    caption = _(
        "Gate values over {images:,} test images. A gate whose values hardly vary "
        "between images (standard deviation below {least}) is a fixed scaling of "
        "its channels or places.",
        images=images,
        least=NOTHING,
    )
    return (Table(caption, columns, tuple(_row(gate) for gate in explanation.gates)), *unknown)


def _unknown(explanation: Explanation) -> tuple[Note, ...]:
    """Of which attention no gate can be told."""
    found = [
        f"{network.title}, {gate.path}"
        for network, seen in zip(explanation.networks, explanation.seen, strict=True)
        for gate in seen.gates
        if gate.channel is None and gate.spatial is None
    ]
    if not found:
        return ()
    said = _(
        "The gates of {names} are not known: what goes in times one weight for each channel, or for each "
        "place, is not what comes out.",
        names="; ".join(found),
    )
    return (Note(said),)


def _row(gate: GateRow) -> Row:
    numbers = gate.statistics
    texts = (
        gate.network,
        f"{gate.path}, {gate.kind}",
        f"{numbers.mean:.3f}",
        f"{numbers.sd_channels:.3f}",
        f"{numbers.sd_images:.3f}",
        percent(numbers.dead),
        percent(numbers.saturated),
        _("hardly: a constant") if numbers.sd_images < NOTHING else _("yes"),
    )
    return Row(tuple(TableCell(text) for text in texts))
