"""stdout and stderr as they may be: closed, full, read by a program that has ended, of a small alphabet."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from typing import Any, TextIO, cast

from ablate.errors import OutputError

NEAREST = "ablate.nearest"
"""The name of our way with characters that an encoding does not have."""
PLAIN = {
    "×": "x", "–": "-", "—": "-", "−": "-", "±": "+-", "≥": ">=", "≤": "<=", "→": "->", "…": "...",
    "·": ".", "‘": "'", "’": "'", "“": '"', "”": '"', "≈": "~", "Δ": "delta", "µ": "u", "μ": "u",
}  # fmt: skip


class ReaderGoneError(KeyboardInterrupt):
    """Whoever read stdout has ended, as `head` does: what only prints has nothing left to do."""


class Output:
    """A stream that is written for as long as that works.

    When it no longer does, a command that `goes_on` says so once on stderr and is written no more; any other
    ends.
    """

    def __init__(self, stream: TextIO, *, goes_on: bool = False, tells: bool = True) -> None:
        self.goes_on = goes_on
        self._stream, self._tells, self._lost = stream, tells, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As a file's.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: it cannot be written for another reason.
        """
        if not self._lost:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """As a file's; raises what `write` does."""
        if not self._lost:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self._lost = True
        # What is still in the buffer goes there too, so that Python's own last flush does not fail.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        reason = error.strerror or str(error)
        if self.goes_on and self._tells:
            sys.stderr.write(
                f"ablate: stdout can no longer be written ({reason}): the command goes on without it, "
                "`ablate status` shows how far it has come\n"
            )
        elif not self.goes_on and isinstance(error, BrokenPipeError):
            raise ReaderGoneError
        elif not self.goes_on:
            raise OutputError(f"stdout: cannot be written: {reason}: send it elsewhere")


@contextlib.contextmanager
def guarded_output() -> Any:
    """While entered, stdout and stderr can be written, whatever they are; gives stdout's `Output`."""
    _fill_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=NEAREST)
    output = Output(before[0])
    sys.stdout = cast(TextIO, output)
    sys.stderr = cast(TextIO, Output(before[1], goes_on=True, tells=False))
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before


def _fill_closed() -> None:
    """Streams that were closed lead nowhere: a file that is opened next must not take their number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    """The error handler: the nearest ASCII text for each character that cannot be written."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in PLAIN:
        return PLAIN[character]
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        return (
            {"HORIZONTAL": "-", "VERTICAL": "|"}.get(name.split()[-1], "+")
            if "AND" not in name
            else "+"
        )
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return bare or "?"


codecs.register_error(NEAREST, _nearest)
