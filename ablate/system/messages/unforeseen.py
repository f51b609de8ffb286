"""An error that nobody foresaw: one line for whoever typed the command, all of it in a file."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

from ablate.system.files.folders import user_folder
from ablate.system.messages.command_line import command_line, without_password
from ablate.system.messages.text import one_line
from ablate.system.version import VERSION


def tell_unforeseen(error: BaseException) -> str:
    """Write a file with the traceback, and return the line that names it."""
    said = without_password(one_line(error.__cause__ or error))
    where = _write(_document(error))
    return (
        f"an error that nobody foresaw: {said}. What was stored stays. "
        f"{where}: please report it with that"
    )


def _document(error: BaseException) -> str:
    told = "".join(traceback.format_exception(error))
    return (
        f"ablate {VERSION}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{command_line(sys.argv)}\n\n{without_password(told)}"
    )


def _write(text: str) -> str:
    """Where it is told: in the state folder, else among the temporary files, else on stderr."""
    name = f"error-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.txt"
    for folder in (user_folder("state") / "errors", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _new(folder / name)
            file.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return f"All of it is in {file}"
    sys.stderr.write(text)
    return "No file could be written, so all of it stands above"


def _new(path: Path) -> Path:
    """A file that was not there before: the path itself, or with a number."""
    for number in range(1000):
        file = path if not number else path.with_stem(f"{path.stem}-{number}")
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            continue
        return file
    raise OSError(f"{path}: a thousand of them")
