"""`ablate report`: from the database to files that one can send."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ablate.datasets import open_dataset
from ablate.report import write_report
from ablate.store.frames import read_frames
from ablate.study import Study


def build_report(study: Study, data: Path | None, url: str, out: Path | None) -> None:
    """Write a study's report and say where it lies.

    Raises:
        DatabaseError: there is nothing of this study in the database.
        OutputError: the folder cannot be written.
    """
    dataset = open_dataset(study.dataset, data, study.image_size).label if data else None
    frames = read_frames(url, study.name, study.recipe.key, dataset, preferred=study.dataset)
    files = write_report(frames, out or Path("reports") / study.name)
    console = Console()
    for suffix in (".html", ".md"):
        for file in (file for file in files if file.suffix == suffix):
            console.print(str(file), markup=False, highlight=False, soft_wrap=True)
