"""How numbers and other people's words look in a line of text."""

from __future__ import annotations


def plural(count: int, word: str, many: str | None = None) -> str:
    """`1 variant`, `11 variants`."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def one_line(error: BaseException) -> str:
    """`TypeError: what it said`, the first line of it."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def printable(text: str) -> str:
    """Text as a terminal may get it: whoever wrote it into a file must not move the cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
