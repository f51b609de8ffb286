"""In which language people are told something: English, or one that `ablate/locale` has a catalogue of.

What a program reads is not told: JSON, columns of CSV, macros of LaTeX and the database are English always.
Nothing is imported for English, so that a command starts as fast as without this.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from ablate.errors import OptionError
from ablate.system.messages.text import plural

if TYPE_CHECKING:
    from gettext import GNUTranslations

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh")
VARIABLE = "ABLATE_LANGUAGE"
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first of them that is set says the language, as everywhere else."""
DOMAIN = "ablate"
LETTER = {"zh": "\u8bad"}
"""One that every encoding of a language has."""
_WIDE_STOP = re.compile(r"([。；，：？]) +(?=\S)")


class _Spoken:
    """The language of this process; its threads tell how far something is in the same one."""

    language = ENGLISH


def speak(language: str) -> None:
    """Tell everything in this language from now on.

    Raises:
        OptionError: there is no such language.
    """
    if language not in LANGUAGES:
        raise OptionError(f"--language {language}: there are: {', '.join(LANGUAGES)}")
    _Spoken.language = language


def language() -> str:
    """The language that is spoken now."""
    return _Spoken.language


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Another language meanwhile: English for what programs read."""
    before = _Spoken.language
    speak(language)
    try:
        yield
    finally:
        _Spoken.language = before


def language_of(environment: Mapping[str, str] = os.environ) -> str:
    """What the environment asks for: ABLATE_LANGUAGE, else the locale; English where it has no catalogue.

    Raises:
        OptionError: ABLATE_LANGUAGE names no language that there is.
    """
    if asked := environment.get(VARIABLE):
        if asked not in LANGUAGES:
            raise OptionError(f"{VARIABLE}={asked}: there are: {', '.join(LANGUAGES)}")
        return asked
    locale = next((environment[name] for name in LOCALE if environment.get(name)), "")
    found = locale.partition(".")[0].partition("_")[0].lower()
    return found if found in LANGUAGES else ENGLISH


def written_in(asked: str | None, usual: str, encoding: str | None) -> str:
    """The language that is asked for, else the usual one where an output of this encoding has its letters.

    Raises:
        OptionError: the one that is asked for cannot be written.
    """
    wanted = asked or usual
    try:
        LETTER.get(wanted, "").encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        if asked is None:
            return ENGLISH
        raise OptionError(
            f"--language {asked}: stdout is {encoding}, which has no letter of it: set PYTHONUTF8=1"
        ) from None
    return wanted


def N_(message: str) -> str:  # noqa: N802 - as it is called everywhere
    """The message itself, for the catalogue; `_` tells it later."""
    return message


def NOUN_(message: str) -> str:  # noqa: N802 - as `N_`
    """The message itself, for the catalogue; `noun` tells it later."""
    return message


def _(message: str, /, **values: object) -> str:
    """A message in the language that is spoken, with its values; every `{name}` in it is one of them."""
    told = message if _Spoken.language == ENGLISH else _catalogue(_Spoken.language).gettext(message)
    return told.format(**values) if values else told


def noun(message: str) -> str:
    """A word by itself, as in the head of a column, where a sentence may word it otherwise."""
    if _Spoken.language == ENGLISH:
        return message
    return _catalogue(_Spoken.language).pgettext("noun", message)


def amount(count: int, word: str, many: str | None = None) -> str:
    """`1 variant`, `11 variants`; a catalogue has `{n} …` for the single word."""
    if _Spoken.language == ENGLISH:
        return plural(count, word, many)
    return _catalogue(_Spoken.language).pgettext("counted", word).replace("{n}", f"{count:,}")


def seed_told(seed: int, fold: int | None) -> str:
    """`seed 1`, or `seed 1, fold 2` of a run that is one of a seed's."""
    if fold is None:
        return _("seed {seed}", seed=seed)
    return _("seed {seed}, fold {fold}", seed=seed, fold=fold)


def closed_up(text: str) -> str:
    """Sentences that stand one behind the other: after a full stop of Chinese there is no space."""
    return text if _Spoken.language == ENGLISH else _WIDE_STOP.sub(r"\1", text)


class Said(str):
    """A message with its values: English to programs, which `retold` says in the language of its moment."""

    message: str
    values: Mapping[str, object]

    def __new__(cls, message: str, **values: object) -> Said:
        """As `_` is called; a value may be such a message too."""
        self = super().__new__(cls, message.format(**values))
        self.message, self.values = message, values
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), self.message, **self.values), ()


class SaidAmount(str):
    """The same of a number of things."""

    number: int
    words: tuple[str, str | None]

    def __new__(cls, number: int, word: str, many: str | None = None) -> SaidAmount:
        """As `amount` is called."""
        self = super().__new__(cls, plural(number, word, many))
        self.number, self.words = number, (word, many)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.number, *self.words)


def retold(text: str) -> str:
    """A text in the language that is spoken, as far as it is a message; any other is as it is."""
    if isinstance(text, SaidAmount):
        return amount(text.number, *text.words)
    if not isinstance(text, Said):
        return text
    values = {k: retold(v) if isinstance(v, str) else v for k, v in text.values.items()}
    return _(text.message, **values)


@cache
def _catalogue(language: str) -> GNUTranslations:
    # Here, for whoever speaks another language.
    from gettext import GNUTranslations  # noqa: PLC0415
    from importlib.resources import files  # noqa: PLC0415

    place = files("ablate") / "locale" / language / "LC_MESSAGES" / f"{DOMAIN}.mo"
    with place.open("rb") as file:
        return GNUTranslations(file)
