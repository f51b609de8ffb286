"""One tree of errors. Each is one line that names the invariant, the value received and the fix.

Every class here means "the user must change something": the command line prints the message
without a traceback and exits with code 2. What goes wrong *inside* a run is not an error but a
value, `ablate.result.Failed`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AblateError(Exception):
    """The root: the user must change something."""


class StudyError(AblateError):
    """A study file, or an option that changes one, that cannot be honoured."""


class UnknownNameError(StudyError):
    """A name that stands in no table."""


class OptionError(StudyError):
    """An option that the named thing does not have, or a value that it cannot take."""


class PlacementError(StudyError):
    """A position where attention cannot be inserted."""


class DataError(AblateError):
    """A dataset that is missing, broken or beyond the caps."""


class UnreadableImageError(DataError):
    """The bytes of one image that cannot be used; says what they are, and its catcher says where."""


class DataChangedError(DataError):
    """Images that are not those which a run was planned with, or not what was read before."""


class DecodingError(AblateError):
    """Images whose decoding did not come to its end; nothing of it is kept."""


class DatabaseError(AblateError):
    """A database that is not ours, is newer than this version or cannot be opened."""


class NotKeptError(DatabaseError):
    """Something beside the database that only shows a run could not be written: its numbers are untouched."""


class NetworkChangedError(AblateError):
    """Code of a user's that is not what a run was planned with: a network's weights, source or settings."""


class AttentionChangedError(NetworkChangedError):
    """The same of a user's attention alone: networks without it are what they were planned as."""


class CodeChangedError(AblateError):
    """A user's own trainer or metric that is not the one which a run was planned with."""


class DeviceError(AblateError):
    """A device that was asked for and is not there."""


class WeightsError(AblateError):
    """Stored weights that are missing, changed or do not fit the network."""


class OutputError(AblateError):
    """A folder that cannot be written."""


class DrawingError(AblateError):
    """A figure that was not drawn to its end."""


class MeasuringError(AblateError):
    """A measurement that did not come to its end; what was trained is untouched."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the choice that is closest to `name`, or an empty string."""
    known = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.6)
    return f" (did you mean {known[close[0]]!r}?)" if close else ""


def unknown(kind: str, name: str, choices: Iterable[str], *, limit: int = 40) -> UnknownNameError:
    """The error for `name`, which is no `kind`: names the nearest choice and lists them all."""
    known = list(choices)
    listed = ", ".join(known[:limit]) + (f", … ({len(known)} in all)" if len(known) > limit else "")
    return UnknownNameError(
        f"unknown {kind} {name!r}{nearest(name, known)}; there are: {listed or '(none)'}"
    )
