"""`ablate study list|rename|delete`: looking after the studies that a database holds."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablate.errors import AblateError, OptionError
from ablate.store.connection.address import files_folder
from ablate.store.connection.engine import shown
from ablate.store.connection.searching import without_search
from ablate.store.maintenance.leftovers import give_back_space, remove_files
from ablate.store.maintenance.removal import Removal, delete_study, what_goes
from ablate.store.maintenance.studies import Holding, list_studies, rename_study
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.system.messages.command_line import without_password
from ablate.system.messages.console import say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural, printable

NARROWEST = 70
"""Columns of a terminal that are too few for the table."""


def show_studies(url: str, format: str) -> None:
    """Print what the database holds of each study.

    Raises:
        DatabaseError: there is no database, or it cannot be read.
    """
    held = list_studies(url)
    PULSE.end()
    if format == "json":
        print(json.dumps({"studies": [asdict(each) for each in held]}, indent=2))
        return
    console = Console()
    if not held:
        say(f"{shown(url)}: has no study yet: `ablate run STUDY` begins one", console)
        return
    if console.width < NARROWEST:
        for each in held:
            say(", ".join(f"{word} {cell}" for word, cell in _cells(each).items()), console)
    else:
        console.print(_table(held))
    say(f"next: ablate status {held[-1].study}{_db(url)}", console)


def rename(old: str, new: str, url: str) -> None:
    """Give a study another name in the database, and say what follows.

    Raises:
        DatabaseError: no such study, one of the other name, or runs of it are being trained.
    """
    with without_search(url, old):
        PULSE.step("renaming")
        runs = rename_study(url, old, new)
        derived = _forget_derived(url, old)
    say(f"study {old} is {new} now in {shown(url)}, with {plural(runs, 'run')}")
    for note in derived.notes:
        say(note)
    file = "" if elsewhere_of(url, new) else f'its study file needs name = "{new}" too; '
    say(f"{file}reports/{old} stays as it is, and `ablate report` writes reports/{new}")
    say(f"next: ablate status {new}{_db(url)}")


def delete(study: str, url: str, *, yes: bool) -> None:
    """Take a study out of the database with the runs that no other study names, and say what is gone.

    Raises:
        DatabaseError: no such study, or runs of it are being trained.
        OptionError: nobody there who could be asked.
    """
    PULSE.step("looking")
    removal = what_goes(url, study)
    PULSE.end()
    say(f"study {study} in {shown(url)}: {_told(removal)}")
    if not yes:
        _ask(study)
    with without_search(url, study):
        removal = delete_study(url, study)
        files, size = remove_files(url, removal)
        derived = _forget_derived(url, study)
    freed, why = give_back_space(url)
    others = [plural(files, "file of them", "files of them")] if files else []
    others += [plural(derived.events, "event file")] if derived.events else []
    searches = plural(derived.searches, "search", "searches")
    others += [f"{searches} in Optuna's copy"] if derived.searches else []
    say(f"deleted: {_told(removal)}" + (f"; also {', '.join(others)}" if others else ""))
    for note in derived.notes:
        say(note)
    if why is not None:
        say(f"note: its space could not be given back now, what comes next uses it: {why}")
    else:
        say(f"{_space(freed + size)}; its report, if there is one, stays")
    say(f"next: ablate study list{_db(url)}")


def _told(removal: Removal) -> str:
    told = (
        f"{plural(len(removal.runs), 'run')} ({removal.finished:,} finished) and "
        f"{plural(len(removal.fingerprints), 'network')} with all that was measured of them"
    )
    if not removal.shared:
        return told
    return f"{told}; {plural(removal.shared, 'run stays, which', 'runs stay, which')} other studies name"


def _space(size_bytes: int) -> str:
    """A server keeps what is free in its files for itself."""
    if not size_bytes:
        return "its space in the database is free for what comes next"
    return f"{size_bytes / 2**20:,.1f} MiB given back"


def _ask(study: str) -> None:
    if not sys.stdin.isatty():
        raise OptionError(
            f"study delete {study}: nothing was deleted, as nobody can be asked: add --yes"
        )
    if not typer.confirm("Delete that?", default=False):
        raise typer.Abort


@dataclass(frozen=True)
class _Derived:
    """How many event files and searches of Optuna's copy went with a study, and what could not go."""

    events: int
    searches: int
    notes: tuple[str, ...]


def _forget_derived(url: str, study: str) -> _Derived:
    """What is made from the database and can be made again: TensorBoard's event files, Optuna's copy. The
    study has changed already: a copy that cannot be used stays, and is a note.
    """
    # The two are loaded here, not above: most databases have neither, and both take a second.
    logdir, counts, notes = files_folder(url) / "tensorboard", [0, 0], list[str]()

    def logs() -> int:
        from ablate.tensorboard.log import remove_study_logs

        return remove_study_logs(logdir, study)

    def searches() -> int:
        from ablate.search.forget import forget_searches

        return forget_searches(url, study)

    there = (logdir / study).is_dir(), (files_folder(url) / "optuna.db").is_file()
    for place, forget in enumerate((logs, searches)):
        try:
            counts[place] = forget() if there[place] else 0
        except AblateError as error:
            notes.append(f"note: what was made of {study} stays where it is: {error}")
    return _Derived(counts[0], counts[1], tuple(notes))


def _table(held: list[Holding]) -> Table:
    table = Table()
    for heading in ("study", "images"):
        table.add_column(heading, overflow="fold")
    for heading in ("settings", "runs", "finished", "its alone"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("begun last", overflow="fold")
    for each in held:
        table.add_row(*(Text(cell) for cell in _cells(each).values()))
    return table


def _cells(held: Holding) -> dict[str, str]:
    cells = {
        "study": held.study,
        "images": ", ".join(held.datasets),
        "settings": f"{held.settings:,}",
        "runs": f"{held.runs:,}",
        "finished": f"{held.finished:,}",
        "its alone": f"{held.alone:,}",
        "begun last": held.updated_at[:16].replace("T", " "),
    }
    return {word: printable(cell) for word, cell in cells.items()}


def _db(url: str) -> str:
    default = "sqlite:///results/ablation.db"
    return "" if url == default else f" --db {shlex.quote(without_password(url))}"
