"""Several files are written or none, whatever fails and whenever it does."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_files import files_of_at_most

from ablate.system.files.all_or_none import write_all

CALLS = ("open", "mkdir", "link", "replace", "fsync", "unlink")
"""Of the operating system, of which each may fail."""


class Broken:
    """Lets one call of the operating system fail, the n-th of all that are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int) -> None:
        self.error, self.left = error, at
        for name in CALLS:
            monkeypatch.setattr(os, name, self._instead(getattr(os, name)))

    def _instead(self, call: Callable[..., object]) -> Callable[..., object]:
        def instead(*given: object, **named: object) -> object:
            self.left -= 1
            if self.left == -1:
                raise self.error
            return call(*given, **named)

        return instead

    @property
    def was_met(self) -> bool:
        return self.left < 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "out")


def make(folder: Path) -> Path:
    """A folder with files of an earlier report, one of somebody else's, and a link."""
    (folder / "figures").mkdir(parents=True)
    for name in ("report.html", "figures/a.png", "figures/stale.png", "figures/theirs.txt"):
        (folder / name).write_text(f"old {name}")
    (folder.parent / "elsewhere").write_text("of another")
    (folder / "linked.csv").symlink_to(folder.parent / "elsewhere")
    return folder


def new(folder: Path) -> dict[Path, bytes]:
    names = ("figures/a.png", "figures/b.png", "tables/c.csv", "linked.csv", "report.html")
    return {folder / name: f"new {name}".encode() for name in names}


def content(folder: Path) -> dict[str, str]:
    """What lies there, folders, files and links, hidden ones too."""
    found = {}
    for path in folder.parent.rglob("*"):
        kind = "folder" if path.is_dir() else f"{path.is_symlink()} {path.read_text()}"
        found[str(path.relative_to(folder.parent))] = kind
    return found


def test_files_are_written_others_stay_and_a_link_is_not_followed(folder: Path) -> None:
    write_all(new(folder), [folder / "figures" / "stale.png", folder / "figures" / "never.png"])
    assert {path: path.read_bytes() for path in new(folder)} == new(folder)
    assert (folder.parent / "elsewhere").read_text() == "of another"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {str(path.relative_to(folder)) for path in new(folder)} | {"figures/theirs.txt"}


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=str)
def test_whichever_call_fails_the_old_files_are_there_or_the_new_ones(
    tmp_path: Path, error: BaseException, links: bool
) -> None:
    old = content(make(tmp_path / "old" / "out"))
    new_ones = make(tmp_path / "new" / "out")
    write(new_ones)
    ends = []
    for at in itertools.count():
        folder = make(tmp_path / str(at) / "out")
        with pytest.MonkeyPatch.context() as monkeypatch:
            if not links:
                monkeypatch.setattr(os, "link", no_links)
            broken = Broken(monkeypatch, error, at)
            with contextlib.suppress(type(error)):
                write(folder)
        there = content(folder)
        assert there in (old, content(new_ones)), f"call {at}"
        ends.append(there == old)
        if not broken.was_met:
            break
    assert sum(ends) > 15
    assert not ends[-1]


def write(folder: Path) -> None:
    write_all(new(folder), [folder / "figures" / "stale.png"])


def no_links(*_given: object, **_named: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_folder_in_the_place_of_a_file_is_named_and_stays(folder: Path) -> None:
    (folder / "figures" / "b.png").mkdir()
    before = content(folder)
    with pytest.raises(IsADirectoryError, match=r"b\.png is a folder"):
        write_all(new(folder))
    assert content(folder) == before


def test_a_file_that_is_too_large_leaves_nothing(folder: Path) -> None:
    before = content(folder)
    with files_of_at_most(10), pytest.raises(OSError, match="File too large"):
        write_all({folder / "b" / "c.csv": b"short", folder / "d.csv": b"longer than that"})
    assert content(folder) == before
