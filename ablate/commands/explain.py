"""`ablate explain`: pictures of what attention does, in files that one can send."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ablate.explain.look import Question, look
from ablate.explain.page import write_page


def explain_targets(question: Question, out: Path | None) -> None:
    """Write the pictures of some networks, and say what they are and where they lie.

    Raises:
        AblateError: a target, layer, image, dataset, weights or folder that must be changed.
    """
    explanation = look(question)
    files = write_page(explanation, out or Path("reports") / question.study.name / "explain")
    console = Console()
    lines = [f"{subject.name}: {subject.weights}" for subject in explanation.subjects]
    lines += [f"{len(explanation.pictures)} pictures, as PNG and SVG, and {files[-1]}"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
