"""The cache: what is read is what was written, and what cannot be written whole leaves nothing behind."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Shell, message
from support.image_processes import write_half_an_entry
from support.picture_sets import picture_set, swap_labels

from ablate.datasets import cache, drafts
from ablate.datasets.images import ImageFiles
from ablate.errors import DataChangedError, OutputError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return picture_set(tmp_path / "pictures")


def entry(own_cache: Path) -> Path:
    return next(own_cache.glob("images-*"))


def change_one_byte(file: Path) -> None:
    """As bad memory or another program would: the size and the time stay."""
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        last = opened.read(1)
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([last[0] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


# ── content ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_an_entry_that_differs_by_one_byte_is_built_again(
    pictures: Path, own_cache: Path, name: str
) -> None:
    before = {k: np.array(v) for k, v in ImageFiles(pictures, 32).load().arrays.items()}
    change_one_byte(entry(own_cache) / f"{name}.npy")
    again = ImageFiles(pictures, 32).load()
    assert all(np.array_equal(again.arrays[key], value) for key, value in before.items())
    again.check()


@pytest.mark.parametrize("what", ["facts", "seal", "earlier"])
def test_facts_that_were_not_stored_with_these_arrays_count_as_none(
    pictures: Path, own_cache: Path, what: str
) -> None:
    mean = ImageFiles(pictures, 32).load().mean
    file = entry(own_cache) / cache.FACTS
    stored = json.loads(file.read_text())
    if what == "facts":
        stored["facts"]["mean"] = [0.0, 0.0, 0.0]
    elif what == "seal":
        stored["seal"] = "0" * 16
    else:  # an earlier version wrote no hashes
        del stored["seal"], stored["sha256"]
    file.write_text(json.dumps(stored))
    assert cache.load_arrays(entry(own_cache).name) is None
    assert (cache.load_arrays(entry(own_cache).name, unsealed=True) is None) == (what != "earlier")
    assert ImageFiles(pictures, 32).load().mean == mean
    assert cache.load_arrays(entry(own_cache).name) is not None


def test_arrays_that_change_under_a_reader_are_noticed(pictures: Path, own_cache: Path) -> None:
    loaded = ImageFiles(pictures, 32).load()
    loaded.check()
    change_one_byte(entry(own_cache) / "train_images.npy")
    assert "pictures: train_images changed" in message(DataChangedError, loaded.check)


def test_a_pinned_set_is_what_it_was_and_nothing_else(pictures: Path, own_cache: Path) -> None:
    pinned = ImageFiles(pictures, 32).pinned()
    labels = pinned.load().train_images.copy()
    swap_labels(pictures)
    assert np.array_equal(pinned.load().train_images, labels), "from the cache, by its hash"
    assert ImageFiles(pictures, 32).pinned() != pinned
    shutil.rmtree(entry(own_cache))
    line = message(DataChangedError, pinned.load)
    assert f"has changed since it was looked at (content {pinned.content_hash()[:8]}" not in line
    assert f", not {pinned.content_hash()[:8]}): bring the images back" in line
    assert list(own_cache.iterdir()) == []


# ── disks that are full ───────────────────────────────────────────────────────────────────────────


class FullAfter:
    """Counts what is written, and fails for want of room at one of them and from then on."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self) -> None:
        self.seen += 1
        if self.seen >= self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def before(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **named: Any) -> Any:
            self()
            return do(*arguments, **named)

        return done


def make_full(patch: pytest.MonkeyPatch, full: FullAfter) -> None:
    class Metered(io.FileIO):
        def write(self, content: Any) -> int:
            full()
            return super().write(content)

    usual = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode in ("w+b", "r+b"):
            return Metered(path, mode.replace("b", ""))
        return usual(path, mode, *rest, **named)

    patch.setattr(Path, "open", opened)
    patch.setattr(Path, "write_text", full.before(Path.write_text))
    patch.setattr(cache, "new_draft", full.before(cache.new_draft))
    patch.setattr(cache, "sync", full.before(cache.sync))
    patch.setattr(cache.np, "save", full.before(cache.np.save))
    patch.setattr(cache.os, "posix_fallocate", full.before(cache.os.posix_fallocate))
    patch.setattr(cache.os, "replace", full.before(cache.os.replace))


@pytest.mark.slow
def test_no_room_at_any_write_is_one_line_and_leaves_nothing(
    pictures: Path, own_cache: Path
) -> None:
    writes = FullAfter(10**6)
    with pytest.MonkeyPatch.context() as patch:
        make_full(patch, writes)
        ImageFiles(pictures, 32).load()
    assert writes.seen > 28 + 8, (
        "every image, two reservations, headers, labels, facts and the name"
    )
    for at in range(1, writes.seen + 1):
        shutil.rmtree(own_cache)
        with pytest.MonkeyPatch.context() as patch:
            make_full(patch, FullAfter(at))
            assert message(OutputError, ImageFiles(pictures, 32).load) == (
                f"the cache folder {own_cache} cannot be written (No space left on device); free some "
                "space there, or set ABLATE_CACHE to a folder that can"
            )
        assert list(own_cache.iterdir()) == []


def test_a_filesystem_that_cannot_reserve_space(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ImageFiles(pictures, 32).load().train_images.copy()
    for broken in (errno.EOPNOTSUPP, errno.EINVAL, None):
        shutil.rmtree(cache.cache_folder())
        if broken is None:  # no such function on this system
            monkeypatch.delattr(cache.os, "posix_fallocate")
        else:
            error = OSError(broken, os.strerror(broken))
            monkeypatch.setattr(cache.os, "posix_fallocate", _raising(error))
        assert np.array_equal(ImageFiles(pictures, 32).load().train_images, expected)


def _raising(error: OSError) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


FULL = """
import os, subprocess, sys
from pathlib import Path
disk, pictures, size, room = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", disk], check=True)
os.environ["ABLATE_CACHE"] = str(disk / "cache")
filler = int(sys.argv[5])
if filler:
    (disk / "filler").write_bytes(bytes(filler))
from ablate.datasets.images import ImageFiles
from ablate.errors import OutputError
try:
    ImageFiles(pictures, size).load()
except OutputError as error:
    left = [str(p) for p in (disk / "cache").rglob("*")] if (disk / "cache").exists() else []
    left = [p for p in left if "/files-" not in p]  # hashes, of pictures that are older than 3 s by now
    print(error, left, sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("size", "room", "filler"), [(256, "1m", 0), (32, "64k", 65536)])
def test_a_disk_that_is_really_full(
    pictures: Path, tmp_path: Path, size: int, room: str, filler: int
) -> None:
    """5 MB of arrays for 1 MB of room, and none at all; a memory map would die of a bus error here."""
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("mount namespaces are not allowed here")
    (tmp_path / "disk").mkdir()
    arguments = [str(tmp_path / "disk"), str(pictures), str(size), room, str(filler)]
    done = subprocess.run(
        [*unshare, sys.executable, "-c", FULL, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    line, left = done.stdout.strip().split("|")
    assert "cannot be written (No space left on device); free some space there, or set" in line
    assert left == "[]"


# ── drafts of killed processes ────────────────────────────────────────────────────────────────────


def killed_draft() -> None:
    """Leave what a process leaves that is killed while it writes an entry."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_half_an_entry)
    process.start()
    process.join()
    assert process.exitcode == -9


@pytest.mark.slow
def test_what_a_killed_process_left_is_swept_by_the_next_writer(own_cache: Path) -> None:
    killed_draft()
    [left] = own_cache.iterdir()
    assert list(drafts.stale_drafts(own_cache)) == [left]
    with cache.new_arrays("x") as draft:
        draft.arrays["a"] = np.arange(3)
        assert not left.exists()
        assert list(drafts.stale_drafts(own_cache)) == [], "this one is alive"
    assert [path.name for path in own_cache.iterdir()] == ["x"]


def test_drafts_of_others_are_left_until_nobody_writes_them_and_other_files_always(
    own_cache: Path,
) -> None:
    own_cache.mkdir()
    elsewhere = own_cache / f".ablate-{'0' * 16}-1-1000-abcd1234"
    earlier = own_cache / f".images-{'a' * 64}-32-abcd1234"
    for folder in (elsewhere, earlier):
        folder.mkdir()
        (folder / "train_images.npy").write_bytes(b"x")
    foreign = own_cache / ".profile"
    foreign.write_text("somebody's")
    assert list(drafts.stale_drafts(own_cache)) == []
    long_ago = 1_000_000_000
    for path in (*elsewhere.iterdir(), *earlier.iterdir(), elsewhere, earlier, foreign):
        os.utime(path, (long_ago, long_ago))
    assert list(drafts.stale_drafts(own_cache)) == [elsewhere, earlier]
    (elsewhere / "train_images.npy").write_bytes(b"xy")
    assert list(drafts.stale_drafts(own_cache)) == [earlier]


@pytest.mark.slow
def test_the_doctor_shows_the_cache_and_cleans_it(
    shell: Shell, own_cache: Path, pictures: Path
) -> None:
    ImageFiles(pictures, 32).load()
    ImageFiles(pictures, 48).load()
    kept = own_cache / f"images-{ImageFiles(pictures, 32).content_hash()}-32"
    code, out, _ = shell("doctor")
    assert code == 0
    assert f"cache: {own_cache}: 2 data sets, hashes of " in out
    assert ", 0.3 MiB" in out
    assert "stale cache" not in out
    killed_draft()
    os.truncate(next(own_cache.glob("*-48")) / "test_images.npy", 100)
    (own_cache / "notes.txt").write_text("somebody's")
    code, out, _ = shell("doctor")
    assert code == 0, "a warning is no error"
    assert f"cache: {own_cache}: 1 data set, " in out
    assert "warn   stale cache: 2 parts, " in out
    assert "`ablate doctor --clean` removes them" in out
    code, out, _ = shell("doctor", "--clean")
    assert code == 0
    assert f"removed 2 stale parts of the cache {own_cache}, " in out
    assert "stale cache" not in out
    assert sorted(own_cache.iterdir()) == sorted([kept, own_cache / "notes.txt"])
    assert "removed 0 stale parts" in shell("doctor", "--clean")[1]
