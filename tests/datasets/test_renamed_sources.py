"""What a source's own file is called is nothing of its images, and its index is that of what lies there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet
from support.layout_sources import SIDE, encoded, files, npz, parquet_file, tarred, write, zipped

from ablate.datasets import images
from ablate.datasets.containers import CONTAINERS
from ablate.datasets.images import ImageFiles
from ablate.errors import DataError
from ablate.system.files import state as file_state
from ablate.system.files.state import REHASH

BASE = files(train=3, test=2)


def source(at: Path, suffix: str) -> Path:
    if suffix == ".npz":
        return npz(at / "a.npz", train=3, test=2)
    if suffix == ".parquet":
        return parquet_file(at / "a.parquet", 5)
    return zipped(at / "a.zip", BASE) if suffix == ".zip" else tarred(at / f"a{suffix}", BASE)


@pytest.mark.parametrize("name", ["b", "download", "A-00000-of-00001"])
@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".tar", ".zip"])
def test_a_renamed_source_is_the_same_and_is_read(tmp_path: Path, suffix: str, name: str) -> None:
    path = source(tmp_path, suffix)
    before = ImageFiles(path, SIDE).content_hash()
    moved = ImageFiles(
        path.rename(tmp_path / (name if name == "download" else name + suffix)), SIDE
    )
    assert moved.content_hash() == before
    assert len(moved.load().train_labels) >= 6, "decoded under its new name by the index of the old"


def test_every_container_is_tried() -> None:
    plain = {suffix for suffix in CONTAINERS if not suffix.startswith((".tar.", ".tgz"))}
    assert plain == {".npz", ".parquet", ".tar", ".zip"}


def shards(path: Path, at: Path, sizes: tuple[int, ...]) -> ImageFiles:
    """A folder with the rows of a file in so many files for training, and one to test on."""
    table, row = parquet.read_table(path), 0
    at.mkdir()
    for number, size in enumerate(sizes):
        name = f"train-{number:05}-of-{len(sizes):05}" if len(sizes) > 1 else "train"
        parquet.write_table(table.slice(row, size), at / f"{name}.parquet")
        row += size
    shutil.copy(path, at / "test.parquet")
    return ImageFiles(at, SIDE)


def test_the_rows_of_several_files_are_those_of_one(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", 6)
    found = [shards(path, tmp_path / f"{len(s)}", s) for s in ((12,), (7, 5), (4, 4, 4))]
    assert len({dataset.content_hash() for dataset in found}) == 1
    assert len({dataset.load().train_images.tobytes() for dataset in found}) == 1
    other = shards(path, tmp_path / "fewer", (7, 4))
    assert other.content_hash() != found[0].content_hash()


def test_an_archive_of_arrays_and_images_is_one_of_images(tmp_path: Path) -> None:
    arrays = {"0.npy": b"\x93NUMPY"}
    mixed = ImageFiles(zipped(tmp_path / "a.zip", arrays | BASE), SIDE)
    assert mixed.content_hash() == ImageFiles(zipped(tmp_path / "b.zip", BASE), SIDE).content_hash()


# ── a folder with an archive of a part ────────────────────────────────────────────────────────────


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, so that an index is kept."""
    monkeypatch.setattr(file_state, "SETTLED_NS", 0)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    scan = images.scan

    def counted(path: Path, asked: object) -> object:
        found.append(path)
        return scan(path, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "scan", counted)
    return found


def part(name: str) -> dict[str, bytes]:
    return {at.removeprefix(f"{name}/"): data for at, data in BASE.items() if at.startswith(name)}


def beside(at: Path, *, linked: bool) -> Path:
    """`test.zip` beside a folder `train`, or a link to it."""
    folder = at / "set"
    zipped(folder / "test.zip", part("test"))
    write(at / "store" if linked else folder / "train", part("train"))
    if linked:
        (folder / "train").symlink_to(at / "store")
    return folder


@pytest.mark.parametrize("linked", [True, False])
def test_changes_beside_an_archive_are_seen(
    tmp_path: Path, settled: None, scans: list[Path], linked: bool
) -> None:
    path = beside(tmp_path, linked=linked)
    before = ImageFiles(path, SIDE).content_hash()
    assert ImageFiles(path, SIDE).content_hash() == before
    assert len(scans) == 1, "nothing changed"
    (path / "train/cat/000.png").write_bytes(encoded(77, 0))
    changed = ImageFiles(path, SIDE).content_hash()
    (path / "train/cat/new.png").write_bytes(encoded(78, 0))
    more = ImageFiles(path, SIDE).content_hash()
    (path / "train/cow").mkdir()
    assert len({before, changed, more}) == 3
    assert len(scans) == 3
    with pytest.raises(DataError, match=r"'cow' is in train/ only"):
        ImageFiles(path, SIDE).content_hash()


@pytest.mark.parametrize("nested", [True, False])
def test_rehash_reads_what_lies_there_and_not_the_index(
    tmp_path: Path,
    settled: None,
    scans: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    nested: bool,
) -> None:
    path = beside(tmp_path, linked=True) if nested else zipped(tmp_path / "a.zip", BASE)
    before = ImageFiles(path, SIDE).content_hash()
    monkeypatch.setenv(REHASH, "1")
    assert ImageFiles(path, SIDE).content_hash() == before
    assert len(scans) == 2


def test_a_file_beside_that_was_written_a_moment_ago_keeps_no_index(
    tmp_path: Path, scans: list[Path], own_cache: Path
) -> None:
    path = beside(tmp_path, linked=True)
    file = path / "train/cat/000.png"
    state = file.stat()
    ImageFiles(path, SIDE).content_hash()
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    ImageFiles(path, SIDE).content_hash()
    assert len(scans) == 2
    assert not list(own_cache.glob("index-*"))


def test_an_archive_that_is_replaced_while_it_is_read_keeps_no_index(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = (
        zipped(tmp_path / "a.zip", BASE),
        zipped(tmp_path / "b.zip", files(train=4, test=2)),
    )
    kept = shutil.copy(path, tmp_path / "kept.zip")
    scan = images.scan

    def replaced(at: Path, asked: object) -> object:
        os.replace(other, at)
        return scan(at, asked)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(images, "scan", replaced)
        meanwhile = ImageFiles(path, SIDE).content_hash()
    os.replace(kept, path)
    assert ImageFiles(path, SIDE).content_hash() != meanwhile
