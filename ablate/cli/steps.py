"""What commands do before their rooms are loaded, and at their end."""

from __future__ import annotations

import gc
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.options import DEFAULT_DB
from ablate.errors import StudyError
from ablate.system.messages.language import _, amount
from ablate.system.messages.pulse import PULSE
from ablate.system.process.signals import raise_interrupts

if TYPE_CHECKING:
    from ablate.study import Study


VERDICTS = ("better", "worse", "equivalent", "identical", "undecided")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
UNITS = {"cm": 2.54, "mm": 25.4, "in": 1.0, "pt": 72.27}
LEAST_INCHES, MOST_INCHES = 2.0, 20.0


def load(
    path: Path,
    assignments: list[str] | None,
    seeds: int | None = None,
    baseline_seeds: int | None = None,
) -> Study:
    from ablate.study.file import load_study

    given = {"seeds": seeds, "baseline_seeds": baseline_seeds}
    numbers = [f"{key}={value}" for key, value in given.items() if value is not None]
    return load_study(path, [*(assignments or []), *numbers])


def load_all(
    path: Path,
    assignments: list[str] | None,
    seeds: int | None = None,
    baseline_seeds: int | None = None,
) -> list[Study]:
    """A study in each of its contexts."""
    from ablate.study.file import load_studies

    given = {"seeds": seeds, "baseline_seeds": baseline_seeds}
    numbers = [f"{key}={value}" for key, value in given.items() if value is not None]
    return load_studies(path, [*(assignments or []), *numbers])


def from_elsewhere(
    command: str, study: Path, db: str, data: Path | None = None, set: list[str] | None = None
) -> str | None:
    """The name of a study whose runs were trained elsewhere, where that is what is named; None of a file.

    Raises:
        OptionError: --data or --set, which change nothing that was trained elsewhere.
    """
    if is_file(study):
        return None
    begin(command, about=str(study))
    from ablate.errors import OptionError
    from ablate.store.reading.elsewhere import elsewhere_of

    if elsewhere_of(db, str(study)) is None:
        return None
    useless = [option for option, value in (("--data", data), ("--set", set)) if value]
    if useless:
        raise OptionError(
            f"{' and '.join(useless)}: for study files alone, and {study} was trained elsewhere: leave "
            f"{'them' if len(useless) > 1 else 'it'} out"
        )
    return str(study)


def refuse_elsewhere(command: str, study: Path | None, db: str) -> None:
    """Raises:
    StudyError: the command needs networks, and those of this study are elsewhere.
    """
    if study is not None and from_elsewhere(command, study, db) is not None:
        raise StudyError(
            f"{command}: needs the networks of study {study}, and these were trained elsewhere: "
            f"`ablate report {study}` and `ablate compare A B --study {study}` say what is known of them"
        )


def inches(length: str) -> float:
    """A length as a paper's author writes it: `8.4cm`, `84mm`, `3.3in`, `240pt`.

    Raises:
        OptionError: no such length, or one that no figure has.
    """
    from ablate.errors import OptionError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(cm|mm|in|pt)", length.strip())
    size = float(found[1]) / UNITS[found[2]] if found else 0.0
    if not LEAST_INCHES <= size <= MOST_INCHES:
        raise OptionError(
            f"--width {length}: a length from {LEAST_INCHES:g} to {MOST_INCHES:g} inches with its unit "
            "(cm, mm, in or pt): 8.4cm"
        )
    return size


def known_verdicts(given: list[str] | None) -> list[str]:
    """The verdicts of `--fail-on`.

    Raises:
        OptionError: no such verdict.
    """
    from ablate.errors import OptionError, nearest

    for verdict in given or []:
        if verdict not in VERDICTS:
            raise OptionError(
                f"--fail-on {verdict}: no such verdict{nearest(verdict, VERDICTS)}; there are: "
                f"{', '.join(VERDICTS)}"
            )
    return given or []


def check(*studies: Study) -> None:
    """Refuse names that nothing has while that is quick."""
    from ablate.study.names import check_names
    from ablate.system.messages.context import context_name

    for study in studies:
        try:
            check_names(study)
        except StudyError as error:
            if not study.context:
                raise
            raise StudyError(f"context {context_name(study.context)}: {error}") from None


def begin(command: str, study: Study | None = None, about: str = "", contexts: int = 1) -> None:
    """The first word of a command, before anything that takes time is loaded."""
    if study is None:
        PULSE.begin(command, about)
        return
    variants, most = len(study.variants()), max(study.seeds, study.baseline_seeds or 0)
    where = study.backbone if contexts == 1 else amount(contexts, "context")
    detail = f"{amount(variants, 'variant')}, {amount(most, 'seed')}, {where}"
    PULSE.begin(command, about or study.name, detail)


def rehash(asked: bool) -> None:
    """Have what is remembered of images passed over, in this process and those that it starts."""
    from ablate.system.files.state import REHASH

    if asked:
        os.environ[REHASH] = "1"


def keep_files(place: str | None) -> None:
    """Let this command keep checkpoints and weights there."""
    if place is not None:
        os.environ["ABLATE_FILES"] = place


def allow(packages: list[str] | None, study: Path | None) -> None:
    """Let a study import packages: those given now, and those that were given for this file before."""
    from ablate.system.software.imports import allow_imports, note_changed

    given = packages or []
    allow_imports(given)
    if study is None:
        return
    from ablate.system.software.allowed import allowed_before, allowed_for, remember_allowed

    if given:
        try:
            remember_allowed(study, given)
        except OSError as error:
            print(f"ablate: --allow-import is not remembered: {error}", file=sys.stderr)
    allow_imports(dict.fromkeys([*given, *allowed_for(study)]))
    note_changed(allowed_before(study), study.name)


def tell_next(
    command: str,
    study: Path,
    *,
    db: str = DEFAULT_DB,
    data: Path | None = None,
    set: list[str] | None = None,
    names: tuple[str, ...] = (),
    note: str = "",
) -> None:
    """Say what to type next, with the options that this command was given; `names` are of variants, `note` is
    said behind it.
    """
    from ablate.system.messages.command_line import without_password
    from ablate.system.messages.console import say

    words = [command, *names, "--study", str(study)] if names else [command, str(study)]
    words += ["--data", str(data)] if data is not None else []
    words += ["--db", without_password(db)] if db != DEFAULT_DB else []
    words += [word for assignment in set or () for word in ("--set", assignment)]
    command = f"ablate {shlex.join(words)}{note}"
    say(_("next: {command}", command=command))


def study_name(given: str | None) -> str | None:
    """The name of a study that is given by its file or by its name."""
    if given is None or not (given.endswith(".toml") or Path(given).is_file()):
        return given
    return load_all(Path(given), None)[0].name


def known_name(name: str | None) -> str:
    """A name that a study can have: folders are called so.

    Raises:
        OptionError: it has none such.
    """
    from ablate.errors import OptionError

    if name is None or not NAME.fullmatch(name):
        raise OptionError(
            f"{name!r}: is no name of a study: write small letters, digits, - and _, at most 64 of them, "
            "beginning with a letter or digit"
        )
    return name


def refuse_margin(margin: float | None) -> None:
    """Raises:
    OptionError: no margin of equivalence can be that.
    """
    from ablate.errors import OptionError

    if margin is not None and not 0 < margin < 1:
        raise OptionError(
            f"--margin {margin:g}: is a fraction above 0 and below 1: half a point of accuracy is 0.005"
        )


def is_file(given: Path) -> bool:
    """Whether a study is given by its file, and not by its name."""
    return given.suffix == ".toml" or len(given.parts) > 1 or given.is_file()


def files_or_names(
    given: list[Path], data: Path | None, assignments: list[str] | None
) -> list[str | list[Study]]:
    """Each study by its name, or in the contexts of its file.

    Raises:
        OptionError: --data or --set, and a name: what the database has under it is not changed.
        StudyError: a file that cannot be read.
    """
    from ablate.errors import OptionError

    names = [str(each) for each in given if not is_file(each)]
    useless = [option for option, value in (("--data", data), ("--set", assignments)) if value]
    if names and useless:
        raise OptionError(
            f"{' and '.join(useless)}: for study files alone, and {names[0]} is a study's name: name its file"
        )
    return [load_all(each, assignments) if is_file(each) else str(each) for each in given]


@contextmanager
def loading() -> Iterator[None]:
    """No garbage collection while a command's rooms load: saves 0.7 s of 4 s at every start. Behind it Ctrl-C
    no longer ends the process at once: what is under way then is given back.
    """
    from ablate.system.files.folders import keep_fonts

    PULSE.step(_("loading"))
    keep_fonts()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        PULSE.step("")
        raise_interrupts()


def as_typed(set: list[str] | None, seeds: int | None, baseline_seeds: int | None) -> list[str]:
    """What changed the study, as assignments."""
    given = {"seeds": seeds, "baseline_seeds": baseline_seeds}
    numbers = [f"{key}={value}" for key, value in given.items() if value is not None]
    return [*(set or []), *numbers]
