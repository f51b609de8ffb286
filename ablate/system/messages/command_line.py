"""A command line as it may be shown: it can be typed again, and tells no password."""

from __future__ import annotations

import re
import shlex
from pathlib import Path


def command_line(arguments: list[str]) -> str:
    """The command line as it can be typed again, without the path of the program and passwords."""
    return shlex.join([Path(arguments[0]).name, *map(without_password, arguments[1:])])


def without_password(text: str) -> str:
    """A text in which the passwords of URLs are three asterisks."""
    text = re.sub(r"(://[^:/?#]*):.*@", r"\1:***@", text)
    return re.sub(
        r"(?i)([?&][\w-]*(?:password|secret|token|signature|credential)=)[^&\s]*", r"\1***", text
    )
