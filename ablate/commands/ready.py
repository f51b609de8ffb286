"""`ablate init --study`: a study that comes with the program, as a file of one's own. No torch needed."""

from __future__ import annotations

import shlex
from importlib.resources.abc import Traversable
from pathlib import Path

from ablate.errors import OutputError, unknown
from ablate.study.ready import ready_files, ready_folder

TRAINED = ("plan {file}", "run {file}", "report {file}")
STEPS = {
    "reduction": ("plan {file}", "search {file}", "report {file}"),
    "se_maps": ("plan {file}", "explain none --study {file}"),  # has no classifier to train
}
"""What to type next, where it is not what trains a grid."""


def ready_studies() -> dict[str, Traversable]:
    """The study files that come with the program, by their names."""
    return ready_files(ready_folder())


def copy_study(name: str, out: Path | None) -> Path:
    """Write a ready study into a file that can be changed, and return its path.

    Raises:
        UnknownNameError: no study of that name comes with the program.
        OutputError: there is such a file already, or it cannot be written.
    """
    ready = ready_studies()
    if name not in ready:
        raise unknown("study", name, ready)
    file = out or Path(f"{name}.toml")
    write_new(file, ready[name].read_bytes())
    return file


def next_steps(name: str, file: Path) -> str:
    """The commands that this study is for, joined by commas."""
    quoted = shlex.quote(str(file))
    return ", ".join(f"ablate {step.format(file=quoted)}" for step in STEPS.get(name, TRAINED))


def write_new(file: Path, content: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        OutputError: it is, or it cannot be written.
    """
    made = False
    try:
        with file.open("xb") as stream:
            made = True
            stream.write(content)
    except FileExistsError:
        raise OutputError(f"{file} is there already; name another file with --out") from None
    except OSError as error:
        if made:
            file.unlink(
                missing_ok=True
            )  # half of a study would stand in the way of the next `init`
        raise OutputError(f"{file} cannot be written: {error.strerror}") from None
