"""An unchanged folder is not read again; a changed one always is, and what is remembered is never needed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Shell
from support.picture_sets import picture_set, swap_labels, zipped_set

from ablate.datasets import images, remembered
from ablate.datasets.containers import folder
from ablate.datasets.images import ImageFiles
from ablate.errors import OutputError
from ablate.system.files import state as file_state
from ablate.system.files.state import REHASH

FILES = 28


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files count as settled at once."""
    monkeypatch.setattr(file_state, "SETTLED_NS", 0)
    return picture_set(tmp_path / "pictures")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file of a folder that is read, as it goes on."""
    found: list[str] = []
    content = folder._start_of

    def counted(file: str, count: int) -> bytes:
        if count < 0:
            found.append(file)
        return content(file, count)

    monkeypatch.setattr(folder, "_start_of", counted)
    return found


def content_hash(path: Path) -> str:
    return ImageFiles(path, 32).content_hash()


def memory(own_cache: Path) -> Path:
    [file] = own_cache.glob("files-*.json")
    return file


def test_an_unchanged_folder_is_read_once(pictures: Path, reads: list[str]) -> None:
    first = content_hash(pictures)
    assert len(reads) == FILES
    assert content_hash(pictures) == first
    assert len(reads) == FILES


def test_a_moved_folder_is_not_read_again(pictures: Path, reads: list[str]) -> None:
    first = content_hash(pictures)
    moved = pictures.rename(pictures.with_name("elsewhere"))
    assert content_hash(moved) == first
    assert len(reads) == FILES
    shutil.copytree(moved, pictures)
    assert content_hash(pictures) == first
    assert len(reads) == 2 * FILES, "a copy is other files"


def one(pictures: Path) -> Path:
    return pictures / "train" / "cat" / "000.png"


def other_bytes(file: Path) -> bytes:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    return bytes(content)


def in_place(file: Path) -> None:
    """Same size, inode and mtime."""
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(other_bytes_of[file])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_another(file: Path) -> None:
    """Same size and mtime."""
    before, other = file.stat(), file.with_name("other")
    other.write_bytes(other_bytes_of[file])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, file)


def swapped_with_a_neighbour(file: Path) -> None:
    neighbour, aside = file.with_name("001.png"), file.with_name("aside")
    file.rename(aside)
    neighbour.rename(file)
    aside.rename(neighbour)


other_bytes_of: dict[Path, bytes] = {}


@pytest.mark.parametrize("change", [in_place, by_another, swapped_with_a_neighbour])
def test_a_changed_file_is_read_again(pictures: Path, change: Callable[[Path], None]) -> None:
    file = one(pictures)
    other_bytes_of[file] = other_bytes(file)
    before = content_hash(pictures)
    change(file)
    after = content_hash(pictures)
    assert after != before
    os.environ[REHASH] = "1"
    try:
        assert content_hash(pictures) == after, "what is found is what is there"
    finally:
        del os.environ[REHASH]


def test_a_folder_with_other_labels_is_another(pictures: Path) -> None:
    before = content_hash(pictures)
    swap_labels(pictures)
    assert content_hash(pictures) != before
    swap_labels(pictures)
    assert content_hash(pictures) == before


def test_only_what_changed_is_read(pictures: Path, reads: list[str]) -> None:
    content_hash(pictures)
    shutil.copyfile(one(pictures), pictures / "train" / "cat" / "new.png")
    (pictures / "train" / "cat" / "007.png").unlink()
    del reads[:]
    content_hash(pictures)
    assert [Path(file).name for file in reads] == ["new.png"]
    content_hash(pictures)
    assert len(reads) == 1


def test_a_file_written_a_moment_ago_is_read_again(
    pictures: Path, reads: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second write in the same tick leaves every time as it is."""
    monkeypatch.setattr(file_state, "SETTLED_NS", 3600 * 10**9)
    content_hash(pictures)
    content_hash(pictures)
    assert len(reads) == 2 * FILES
    assert not list(own_cache.glob("files-*"))


def test_a_file_that_is_written_while_it_is_read_is_not_remembered(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, content = one(pictures), folder._start_of

    def disturbed(name: str, count: int) -> bytes:
        found = content(name, count)
        if Path(name) == file:
            file.write_bytes(other_bytes(file))
        return found

    monkeypatch.setattr(folder, "_start_of", disturbed)
    before = content_hash(pictures)
    monkeypatch.setattr(folder, "_start_of", content)
    assert content_hash(pictures) != before


def test_an_archive_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr(file_state, "SETTLED_NS", 0)
    path = zipped_set(tmp_path / "zipped" / "a.zip")
    times: list[object] = []
    digest = remembered.hashlib.file_digest

    def counted(file: object, name: str) -> object:
        times.append(file)
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(remembered.hashlib, "file_digest", counted)
    first = content_hash(path)
    assert content_hash(path) == first
    assert len(times) == 1
    zipped_set(tmp_path / "second" / "a.zip", seed=1).replace(path)
    assert content_hash(path) != first


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def of_another_hash(file: Path) -> None:
    stored = json.loads(file.read_text())
    found = json.loads(stored["content"])
    next(iter(found["files"].values()))[-1] = "0" * 64
    file.write_text(json.dumps({**stored, "content": json.dumps(found)}))


def of_something_else(file: Path) -> None:
    file.write_text('["nothing"]')


@pytest.mark.parametrize("damage", [cut, of_another_hash, of_something_else])
def test_a_damaged_memory_is_built_again(
    pictures: Path, own_cache: Path, reads: list[str], damage: Callable[[Path], None]
) -> None:
    first, whole = content_hash(pictures), memory(own_cache).read_bytes()
    damage(memory(own_cache))
    assert content_hash(pictures) == first
    assert len(reads) == 2 * FILES
    assert memory(own_cache).read_bytes() == whole


def test_without_a_cache_to_write_to_everything_is_read(
    pictures: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str, _value: object) -> None:
        raise OutputError("read-only")

    monkeypatch.setattr(images.cache, "store_json", refuse)
    assert content_hash(pictures) == content_hash(pictures)
    assert len(reads) == 2 * FILES


@pytest.mark.slow
def test_several_may_remember_one_folder(pictures: Path, own_cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(content_hash, [pictures] * 4)
    assert set(found) == {content_hash(pictures)}
    assert remembered.is_of_use(memory(own_cache).stem)
    assert not list(own_cache.glob(".ablate-*"))


@pytest.mark.slow
def test_rehash_reads_everything(
    pictures: Path, shell: Shell, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REHASH, "")
    plan = ("plan", "digits-grid.toml", "--data", str(pictures), "--no-probe")
    assert shell("init", "--study", "digits-grid")[0] == 0
    assert shell(*plan)[0] == 0
    del reads[:]
    assert shell(*plan)[0] == 0
    assert reads == []
    assert shell(*plan, "--rehash")[0] == 0
    assert len(reads) >= FILES


def test_the_doctor_sweeps_what_is_of_no_use(pictures: Path, shell: Shell, own_cache: Path) -> None:
    content_hash(pictures)
    assert "hashes of 1 source" in shell("doctor")[1]
    assert shell("doctor", "--clean")[1].startswith("removed 0 stale parts")
    shutil.rmtree(pictures)
    assert "hashes of 0 sources" in shell("doctor")[1]
    assert shell("doctor", "--clean")[1].startswith("removed 1 stale part ")
    assert not list(own_cache.glob("files-*"))
