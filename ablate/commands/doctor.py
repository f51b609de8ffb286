"""`ablate doctor`: what this machine has, and whether the database is well."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from ablate import __version__
from ablate.datasets.cache_health import clean_cache, look_at_cache
from ablate.errors import DatabaseError, OutputError
from ablate.store.connection.engine import database_exists, files_folder, shown
from ablate.store.maintenance.health import (
    WAL_SAFE_SINCE,
    check_integrity,
    filesystem_of,
    is_network,
    journal_mode,
    lost_files,
    running_owners,
    write_refusal,
)
from ablate.system.files.folders import VARIABLES, is_writable, user_folder, usual_folder
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.command_line import without_password
from ablate.system.messages.console import say
from ablate.system.messages.text import plural
from ablate.system.software.allowed import all_allowed, forget_allowed
from ablate.system.software.environment import PACKAGES, package_version

MORE_PACKAGES = ("pandas", "sqlalchemy", "alembic", "pyarrow", "optuna", "optuna-dashboard",
                 "tensorboard", "safetensors")  # fmt: skip
OPTIONAL = ("psycopg",)
LOW_DISK_GIB = 2.0

Mark = Literal["ok", "WRONG", "warn", ""]
Check = tuple[str, Mark, str]
"""What was looked at, whether it is well (empty: a fact that is neither), and what was seen."""


def examine(url: str, *, clean: bool = False, must_exist: bool = False) -> bool:
    """Print one line for each thing looked at; False if something is wrong. With `clean` stale parts of the
    cache are removed first; with `must_exist` a database that is not there is wrong.

    A warning is something to know that may be as it should be.
    """
    console, marks = Console(), Counter[str]()
    if clean:
        removed = clean_cache()
        say(
            f"removed {plural(len(removed.stale), 'stale part')} of the cache {removed.folder}, "
            f"{_size(removed.stale_bytes)}",
            console,
        )
    for name, mark, text in [
        *_software(),
        *_device(),
        *_folders(),
        *_cache(),
        *_storage(url, must_exist),
    ]:
        say(f"{mark:5}  {name}: {text}", console)
        marks[mark] += 1
    say(_conclusion(marks["WRONG"], marks["warn"]), console)
    say(f"next: ablate {_next(url, wrong=bool(marks['WRONG']))}", console)
    return not marks["WRONG"]


def _conclusion(wrong: int, warnings: int) -> str:
    if wrong:
        return f"{plural(wrong, 'thing is', 'things are')} WRONG: each line says what to do"
    also = f"; {plural(warnings, 'line')} to know of: warn" if warnings else ""
    return f"nothing is wrong{also}"


def _next(url: str, *, wrong: bool) -> str:
    """What to type when all of that is well: with results to look at them, without to make some."""
    db = f" --db {shlex.quote(without_password(url))}"
    if wrong:
        return f"doctor{db}, once that is done"
    return f"status{db}" if database_exists(url) else "init --study digits"


def forget(study: Path) -> None:
    """Forget what a study file may import, and say so.

    Raises:
        OutputError: the state folder cannot be written.
    """
    try:
        known = forget_allowed(study)
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from None
    say(f"{study}: what it may import is " + ("forgotten" if known else "not remembered"))


def _software() -> Iterator[Check]:
    yield (
        "ablate",
        "",
        f"{__version__}, Python {platform.python_version()}, {platform.platform()}",
    )
    for name in (*PACKAGES, *MORE_PACKAGES):
        version = package_version(name)
        yield name, "WRONG" if version is None else "ok", version or "not installed"
    for name in OPTIONAL:
        yield f"{name} (optional)", "", package_version(name) or "not installed"
    yield "SQLite", "", sqlite3.sqlite_version


def _device() -> Iterator[Check]:
    machine = find_machine()
    device = machine.device
    yield "device", "", f"{machine.name} ({device.type})"
    if machine.is_gpu:
        yield from _gpus()
    else:
        why = (
            "this torch build has no CUDA"
            if not torch.version.cuda
            else "torch finds no CUDA device"
        )
        yield "CUDA", "", why
    precision = machine.precision.name
    emulated = device.type == "cpu" and precision == "amp-fp32"
    note = ": no mixed precision here, this processor has no bf16 instructions" if emulated else ""
    yield "amp means here", "", precision + note
    yield "TF32", "", "off: fp32 means fp32"


def _gpus() -> Iterator[Check]:
    yield "CUDA", "", f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        yield "driver", "", driver.read_text().partition("\n")[0]
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        yield (
            f"GPU {index}",
            "",
            f"{found.name}, compute capability {found.major}.{found.minor}, "
            f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free",
        )


def _folders() -> Iterator[Check]:
    """Home, and what is kept there."""
    homeless = [
        kind
        for kind in VARIABLES
        if VARIABLES[kind] not in os.environ and not is_writable(usual_folder(kind))
    ]
    if homeless:
        names = " and ".join(VARIABLES[kind] for kind in homeless)
        yield (
            "HOME",
            "warn",
            f"{os.environ.get('HOME') or 'not set'}: no folder there can be written, so that "
            f"{' and '.join(homeless)} lie among the temporary files, which may be emptied: set {names}",
        )
    else:
        yield "HOME", "ok", os.environ.get("HOME") or "not set, and not needed"
    state = user_folder("state")
    yield "state folder", *_can_write(state, "ABLATE_STATE")
    for each in all_allowed():
        held = "" if each.holds else "; the file has changed or is gone: it is asked for again"
        yield (
            "allowed to import",
            "",
            f"{each.study}: {', '.join(each.packages)}{held} (--forget FILE)",
        )


def _can_write(folder: Path, variable: str) -> tuple[Mark, str]:
    if is_writable(folder.absolute()):
        return "ok", f"{folder}: can be written"
    return "WRONG", f"{folder}: cannot be written: set {variable} to a folder that can"


def _cache() -> Iterator[Check]:
    yield "cache folder", *_can_write(user_folder("cache"), "ABLATE_CACHE")
    state = look_at_cache()
    yield (
        "cache",
        "",
        f"{state.folder}: {plural(state.entries, 'data set')}, hashes of "
        f"{plural(state.remembered, 'source')}, {_size(state.size_bytes)}",
    )
    if state.stale:
        yield (
            "stale cache",
            "warn",
            f"{plural(len(state.stale), 'part')}, {_size(state.stale_bytes)}: left by killed processes, "
            "broken, of an earlier version or of images that are gone; `ablate doctor --clean` removes them",
        )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"


def _storage(url: str, must_exist: bool) -> Iterator[Check]:
    yield from _disk(files_folder(url))
    try:
        if database_exists(url):
            yield from _database(url)
            yield from _writing(url)
        else:
            mark: Mark = "WRONG" if must_exist else "warn"
            yield "database", mark, f"{shown(url)}: there is none yet: `ablate run STUDY` makes it"
            yield from _writing(url)
    except DatabaseError as error:
        yield "database", "WRONG", str(error)


def _writing(url: str) -> Iterator[Check]:
    """Whether results can be stored, and what lies beside them."""
    refusal = write_refusal(url)
    yield "writing", "WRONG" if refusal else "ok", refusal or "results can be stored"


def _disk(path: Path) -> Iterator[Check]:
    there = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    low = free_gib < LOW_DISK_GIB
    yield "disk", "WRONG" if low else "ok", f"{free_gib:.1f} GiB free at {there}"
    kind = filesystem_of(there)
    if kind is None:
        yield "filesystem", "", "this system does not tell its kind"
    elif is_network(kind):
        yield (
            "filesystem",
            "warn",
            f"{kind}, a network filesystem: locks on it may fail and lose results; keep the database "
            "on a local disk, or use one machine alone",
        )
    else:
        yield "filesystem", "ok", kind


def _database(url: str) -> Iterator[Check]:
    problems = check_integrity(url)
    mark: Mark = "WRONG" if problems else "ok"
    yield "database", mark, f"{shown(url)}: " + ("; ".join(problems) or "intact")
    yield from _journal(url)
    yield from _runs(url)


def _journal(url: str) -> Iterator[Check]:
    mode = journal_mode(url)
    if mode is None:
        return
    old = sqlite3.sqlite_version_info < WAL_SAFE_SINCE
    if mode == "wal" and old:
        since = ".".join(map(str, WAL_SAFE_SINCE))
        text = (
            f"{mode}: SQLite before {since} can lose commits with it; PRAGMA journal_mode = DELETE"
        )
        yield "journal", "warn", text
    else:
        yield "journal", "ok", mode


def _runs(url: str) -> Iterator[Check]:
    owners = running_owners(url)
    gone = Counter(owner.pid for owner in owners if owner.is_gone())
    if gone:
        processes = ", ".join(map(str, sorted(gone)))
        yield (
            "stale runs",
            "warn",
            f"{plural(gone.total(), 'run')} marked running by processes of this machine that have ended "
            f"({processes}): the next `ablate run` of the study takes them over",
        )
    here = sum(owner.is_here() for owner in owners) - gone.total()
    elsewhere = sum(not owner.is_here() for owner in owners)
    text = f"{here} on this machine, {elsewhere} on others or from before a reboot"
    yield "running", "", text if owners else "nothing"
    for what, files in lost_files(url).items():
        if files:
            some = ", ".join(files[:3]) + (" …" if len(files) > 3 else "")
            yield (
                what,
                "warn",
                f"{plural(len(files), 'file')} that the database names are not there: {some}",
            )
