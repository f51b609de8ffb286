"""TOML as it is read everywhere: a file of a study, one value of `--set`, an option in brackets."""

from __future__ import annotations

import tomllib
from typing import Any

from ablate.errors import OptionError


def parse_toml(text: str) -> dict[str, Any]:
    """The document that a text is.

    Raises:
        TOMLDecodeError: it is no TOML.
        OptionError: it is, with a whole number of more digits than Python reads.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise OptionError(
            "a whole number of more than 4,300 digits stands there, and no value is so large: write another"
        ) from None
