"""How numbers and other people's words look in a line of text."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

MOST_LINES = 6
"""Lines of a message that stand in one line, where its first one only announces them."""

_ANNOUNCES = re.compile(r":$|TorchScript interpreter|^\d+ validation errors?\b|^Traceback\b")
_CAUSE = re.compile(r"[\w.]*(Error|Exception): \S")
_MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape (?:torch\.Size\()?(.*?)\)? from checkpoint, "
    r"the shape in current model is (?:torch\.Size\()?(.*?)\)?\.?$"
)
MOST_SHAPES = 3


def plural(count: int, word: str, many: str | None = None) -> str:
    """`1 variant`, `11 variants`."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def seed_and_fold(seed: int, fold: int | None) -> str:
    """`seed 1`, or `seed 1, fold 2` of a run that is one of a seed's."""
    return f"seed {seed}" if fold is None else f"seed {seed}, fold {fold}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def one_line(error: BaseException) -> str:
    """`TypeError: what it said`: the line that says what, or several where the first only announces them.

    An error without words is quoted with the line of code that raised it.
    """
    said = [line.strip() for line in _words(error).splitlines() if line.strip()]
    what = _gist(said) if said else _raised_by(error)
    return f"{type(error).__name__}: {what}" if what else type(error).__name__


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # its class cannot even say what it is


def printable(text: str) -> str:
    """Text as a terminal may get it: whoever wrote it into a file must not move the cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _gist(said: list[str]) -> str:
    first, *rest = said
    if not rest or not _ANNOUNCES.search(first):
        return first
    causes = [line for line in rest if _CAUSE.match(line)]
    if causes:
        return causes[-1]  # of a traceback that is quoted the last error is the one
    told = [*(line for line in rest if not _MISMATCH.match(line)), *_mismatches(rest)]
    more = f"; … ({len(told)} lines in all)" if len(told) > MOST_LINES else ""
    return f"{first} {'; '.join(line.rstrip('. ') for line in told[:MOST_LINES])}{more}"


def _mismatches(lines: list[str]) -> list[str]:
    """All keys of weights that have other shapes than the network's, the first three with both shapes."""
    found = [match.groups() for line in lines if (match := _MISMATCH.match(line))]
    shapes = [f"{key} is {theirs}, not {ours}" for key, theirs, ours in found[:MOST_SHAPES]]
    keys = [f"and {', '.join(key for key, *_ in found[MOST_SHAPES:])}"] * (len(found) > MOST_SHAPES)
    return [f"other shapes in the checkpoint: {', '.join([*shapes, *keys])}"] if found else []


def _raised_by(error: BaseException) -> str:
    """`assert x.shape[1] == 3 (nets.py, line 12)`, for an error that says nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not frames[-1].line:
        return ""
    return f"{frames[-1].line} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
