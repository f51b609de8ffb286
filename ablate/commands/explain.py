"""`ablate explain`: pictures of what attention does, in files that one can send."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ablate.errors import DatabaseError
from ablate.explain.look import Question, look
from ablate.explain.page import write_page
from ablate.store.connect import database_exists, shown


def explain_targets(question: Question, out: Path | None, *, must_exist: bool = False) -> None:
    """Write the pictures of some networks, and say what they are and where they lie.

    Raises:
        AblateError: a target, layer, image, dataset, weights or folder that must be changed, or with
            `must_exist` a database that is not there.
    """
    if must_exist and not database_exists(question.url):
        raise DatabaseError(
            f"{shown(question.url)}: there is no database yet: `ablate run STUDY` makes it"
        )
    explanation = look(question)
    files = write_page(explanation, out or Path("reports") / question.study.name / "explain")
    console = Console()
    lines = [f"{subject.name}: {subject.weights}" for subject in explanation.subjects]
    lines += [f"{len(explanation.pictures)} pictures, as PNG and SVG, and {files[-1]}"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
