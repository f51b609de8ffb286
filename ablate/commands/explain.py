"""`ablate explain`: pictures of what attention does, in files that one can send."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import DatabaseError
from ablate.explain.explanation import Request, explain_networks
from ablate.explain.page import write_page
from ablate.store.connection.engine import database_exists, shown
from ablate.system.files.inside import inside
from ablate.system.messages.console import files_told, say
from ablate.system.messages.language import _


def explain_targets(request: Request, out: Path | None, *, must_exist: bool = False) -> None:
    """Write the pictures of some networks, and say what they are and where they lie.

    Raises:
        AblateError: a target, layer, image, dataset, weights or folder that must be changed, or with
            `must_exist` a database that is not there.
    """
    if must_exist and not database_exists(request.url):
        raise DatabaseError(
            f"{shown(request.url)}: there is no database yet: `ablate run STUDY` makes it"
        )
    explanation = explain_networks(request)
    files = write_page(explanation, out or inside(Path("reports"), request.study.name, "explain"))
    lines = [f"{network.title}: {network.weights}" for network in explanation.networks]
    lines += [
        _("{n} pictures, as PNG and SVG", n=len(explanation.pictures)),
        *files_told(files),
        _("next: open {file}", file=files[-1]),
    ]
    for line in lines:
        say(line)
