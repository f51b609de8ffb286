"""Where this program keeps what outlives a command, its cache and state, with a home folder or without."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path, user_state_path

Kind = Literal["cache", "state"]
VARIABLES: dict[Kind, str] = {"cache": "ABLATE_CACHE", "state": "ABLATE_STATE"}
MATPLOTLIB = "MPLCONFIGDIR"
_USUAL = {"cache": user_cache_path, "state": user_state_path}


def user_folder(kind: Kind) -> Path:
    """$ABLATE_CACHE or $ABLATE_STATE, else the folder that this system has for that: on Linux
    $XDG_CACHE_HOME/ablate or ~/.cache/ablate, $XDG_STATE_HOME/ablate or ~/.local/state/ablate.

    Where there is no home folder that can be written, as in containers, it is one of the user's own among
    the temporary ones. Not created here, but for that.
    """
    if own := os.environ.get(VARIABLES[kind]):
        return Path(own).expanduser()
    usual = usual_folder(kind)
    return usual if is_writable(usual) else _temporary() / kind


def usual_folder(kind: Kind) -> Path:
    """What it would be with a home folder."""
    return Path(_USUAL[kind]("ablate", appauthor=False))


def is_writable(folder: Path) -> bool:
    """Whether a folder can be written, or made where it is missing. A relative one is nobody's home."""
    if not folder.is_absolute():
        return False
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def keep_fonts() -> None:
    """Let Matplotlib keep its list of fonts, which takes seconds to make, in our cache without a home:
    it would complain on stderr and make it anew in each process.
    """
    homes = {"XDG_CONFIG_HOME": "~/.config", "XDG_CACHE_HOME": "~/.cache"}
    usual = [os.environ.get(name) or os.path.expanduser(home) for name, home in homes.items()]
    if MATPLOTLIB not in os.environ and not all(is_writable(Path(each)) for each in usual):
        os.environ[MATPLOTLIB] = str(user_folder("cache") / "matplotlib")


def _temporary() -> Path:
    """A folder that nobody else can write: names among the temporary ones may be taken by anybody."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"ablate-{uid}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="ablate-"))
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o022
    return folder if mine or os.name != "posix" else Path(tempfile.mkdtemp(prefix="ablate-"))


def lock_folder() -> Path:
    """Where a lock of this user on this machine lies: in the cache, where that cannot be written in the state
    folder, else among the temporary files. What is locked so needs neither.
    """
    usual = (user_folder("cache"), user_folder("state"))
    return next((folder for folder in usual if is_writable(folder.absolute())), _temporary())


def cache_folder() -> Path:
    """The folder for what can be made again: `user_folder("cache")`."""
    return user_folder("cache")
