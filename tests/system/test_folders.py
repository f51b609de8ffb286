"""The folders that outlive a command, with a home folder, without one, and beside somebody else's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ablate.errors import OutputError
from ablate.system.files.folders import (
    MATPLOTLIB,
    is_writable,
    keep_fonts,
    lock_folder,
    user_folder,
)
from ablate.system.files.lock import only_one


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ABLATE_CACHE", "ABLATE_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def test_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder("cache") == tmp_path / ".cache" / "ablate"
    assert user_folder("state") == tmp_path / ".local" / "state" / "ablate"
    monkeypatch.setenv("ABLATE_STATE", "~/mine")
    assert user_folder("state") == tmp_path / "mine"


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_without_a_home_that_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    folder = user_folder("cache")
    assert folder.parent.parent == tmp_path / "tmp"
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700, "nobody else may write there"
    assert user_folder("cache") == folder, "it is found again"


def test_a_temporary_folder_of_somebody_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    mine = user_folder("state").parent
    mine.chmod(0o777)
    assert user_folder("state").parent != mine
    mine.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    mine.symlink_to(tmp_path / "theirs")
    assert user_folder("state").parent != mine


def test_fonts_are_kept_in_our_cache_where_there_is_no_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (MATPLOTLIB, "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_fonts()
    assert MATPLOTLIB not in os.environ, "its usual places will do"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    keep_fonts()
    assert os.environ.pop(MATPLOTLIB) == str(tmp_path / "cache" / "matplotlib")
    monkeypatch.setenv(MATPLOTLIB, "/mine")
    keep_fonts()
    assert os.environ[MATPLOTLIB] == "/mine"


def test_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert is_writable(tmp_path / "a" / "b")
    assert not is_writable(tmp_path / "file")
    assert not is_writable(tmp_path / "dangling" / "x")
    assert not is_writable(Path("~/.cache"))


def test_a_lock_needs_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert lock_folder() == user_folder("cache")
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "file" / "cache"))
    assert lock_folder() == user_folder("state")
    monkeypatch.setenv("ABLATE_STATE", str(tmp_path / "file" / "state"))
    assert lock_folder().parent == tmp_path / "tmp"
    with only_one(lock_folder() / "measuring.lock", "taken"):
        pass


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("what they have")
    (tmp_path / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputError, match="is a link"), only_one(tmp_path / ".lock", "taken"):
        pass
    assert (tmp_path / "theirs").read_text() == "what they have"
