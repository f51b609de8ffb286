"""Sources of images: one contract for all; folders, archives and the cache."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import message, remove
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sklearn.datasets import load_digits
from support.image_processes import load_pictures
from test_cifar import fake_cifar

from ablate.datasets import DATASETS, Dataset, archive, cache, cifar, images, index, open_dataset
from ablate.datasets.arrays import let_go
from ablate.datasets.base import channel_statistics
from ablate.datasets.decode import decode
from ablate.datasets.images import ImageFiles
from ablate.datasets.layouts import Arrangement
from ablate.errors import DataChangedError, DataError, OptionError, OutputError, UnknownNameError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Real digits as files: zeros and ones, 5 of each to train (JPEG) and 2 to test (PNG)."""
    folder = tmp_path / "pictures"
    digits = load_digits()
    for digit, name in enumerate(("one", "zero")):
        found = digits.images[digits.target == 1 - digit]
        for split, suffix, chosen in (("train", "jpg", found[:5]), ("test", "PNG", found[5:7])):
            (folder / split / name).mkdir(parents=True)
            for i, pixels in enumerate(chosen):
                image = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).convert("RGB")
                image.resize((32, 32)).save(folder / split / name / f"{i:04}.{suffix}")
    return folder


def tar(folder: Path, target: Path, top: str = "", reverse: bool = False) -> Path:
    with tarfile.open(target, f"w:{target.suffix[1:]}" if target.suffix != ".tar" else "w") as out:
        for file in sorted(folder.rglob("*"), reverse=reverse):
            out.add(file, f"{top}{file.relative_to(folder)}", recursive=False)
    return target


def zipped(folder: Path, target: Path, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(folder.rglob("*")):
            out.write(file, f"{top}{file.relative_to(folder)}")
    return target


def refused(path: Path) -> str:
    return message(DataError, ImageFiles(path, 32).load)


# ── one contract for every source that can be read offline ────────────────────────────────────────


def sources(folder: Path, tmp_path: Path) -> Iterator[Dataset]:
    yield open_dataset("digits", None, 16)
    yield open_dataset("images", folder, 32)
    yield open_dataset("digits", tar(folder, tmp_path / "a.tar.xz"), 24)
    yield open_dataset("cifar10", zipped(folder, tmp_path / "b.zip"), 32)
    with pytest.MonkeyPatch.context() as patch:
        data = fake_cifar(tmp_path / "cifar", patch)
        yield open_dataset("cifar10", data, 32)


def test_every_source_keeps_the_promises_of_a_dataset(pictures: Path, tmp_path: Path) -> None:
    hashes = []
    for dataset in sources(pictures, tmp_path):
        loaded, again = dataset.load(), pickle.loads(pickle.dumps(dataset)).load()
        size = dataset.image_size
        for name in ("train", "test"):
            pixels, labels = getattr(loaded, f"{name}_images"), getattr(loaded, f"{name}_labels")
            assert pixels.dtype == np.uint8
            assert pixels.shape == (len(labels), size, size, 3)
            assert labels.dtype == np.int64
            assert set(labels.tolist()) == set(range(len(loaded.classes)))
            assert np.array_equal(pixels, getattr(again, f"{name}_images"))
            assert np.array_equal(labels, getattr(again, f"{name}_labels"))
            assert len(np.unique(pixels)) > 10
        assert dataset.classes() == loaded.classes
        assert dataset.label == loaded.label
        assert all(0 < value < 1 for value in (*loaded.mean, *loaded.std))
        assert len(pickle.dumps(dataset)) < 1000
        hashes.append(dataset.content_hash())
    assert len(set(hashes)) == 3  # the same pictures in a folder, a tar and a zip are one content


@pytest.mark.slow
def test_importing_the_shelf_loads_no_heavy_library() -> None:
    heavy = "{'torch', 'torchvision', 'sklearn', 'scipy'}"
    code = f"import sys, ablate.datasets; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# ── which source is opened ────────────────────────────────────────────────────────────────────────


def test_data_replaces_the_dataset_and_gives_its_name(pictures: Path, tmp_path: Path) -> None:
    path = tar(pictures, tmp_path / "cifar10-jpeg.tar.xz")
    assert open_dataset("cifar10", path, 32).label == "cifar10-jpeg"
    assert open_dataset("digits", pictures, 32).label == "pictures"


@pytest.mark.parametrize("inside", ["", cifar.ARCHIVE, cifar.BATCHES])
def test_the_original_cifar10_is_recognised(tmp_path: Path, inside: str) -> None:
    (tmp_path / cifar.ARCHIVE).touch()
    found = open_dataset("cifar10", tmp_path / inside, 32)
    assert isinstance(found, cifar.Cifar10)
    assert cifar.original_folder(tmp_path / inside) == tmp_path
    assert isinstance(open_dataset("digits", tmp_path / inside, 32), ImageFiles)


def test_an_unknown_dataset() -> None:
    assert message(UnknownNameError, lambda: open_dataset("cifar", None, 32)) == (
        "unknown dataset 'cifar' (did you mean 'cifar10'?); there are: " + ", ".join(DATASETS)
    )


def test_images_without_data() -> None:
    assert message(DataError, lambda: open_dataset("images", None, 32)) == (
        "dataset 'images' needs a folder or an archive; give --data PATH"
    )


# ── digits ────────────────────────────────────────────────────────────────────────────────────────


def test_digits_are_the_same_on_every_machine() -> None:
    digits = open_dataset("digits", None, 8)
    assert digits.content_hash() == open_dataset("digits", None, 32).content_hash()
    loaded = digits.load()
    assert (len(loaded.train_labels), len(loaded.test_labels)) == (1438, 359)
    assert np.ptp(np.bincount(loaded.test_labels)) <= 2
    chosen = hashlib.sha256(loaded.test_images.tobytes()).hexdigest()
    assert chosen[:16] == "22a56eb3a8336ab1"
    assert (loaded.train_images.min(), loaded.train_images.max()) == (0, 255)
    assert np.array_equal(loaded.train_images[..., 0], loaded.train_images[..., 2])


def test_more_digits_can_be_tested_and_are_another_dataset() -> None:
    usual, asked = (
        open_dataset("digits", None, 8),
        open_dataset("digits(test_fraction=0.2)", None, 8),
    )
    assert usual == asked
    assert usual.label == "digits"
    assert usual.content_hash().startswith("87ff0c9e40dc7e2c"), "runs are known by it"
    more = open_dataset("digits(test_fraction=0.7)", None, 8)
    assert more.label == "digits(test_fraction=0.7)"
    assert more.content_hash() != usual.content_hash()
    loaded = more.load()
    assert (len(loaded.train_labels), len(loaded.test_labels)) == (539, 1258)
    assert np.array_equal(more.train_labels(), loaded.train_labels)


@pytest.mark.parametrize("nonsense", ["0.0", "1.0", "-0.5", "nan"])
def test_a_part_of_the_digits_that_cannot_be_tested(nonsense: str) -> None:
    said = message(OptionError, lambda: open_dataset(f"digits(test_fraction={nonsense})", None, 8))
    assert said.startswith("digits: test_fraction must be above 0 and below 1, not ")


# ── images ────────────────────────────────────────────────────────────────────────────────────────


def test_labels_follow_the_sorted_classes_and_names(pictures: Path) -> None:
    loaded = ImageFiles(pictures, 32).load()
    assert loaded.classes == ("one", "zero")
    assert loaded.train_labels.tolist() == [0] * 5 + [1] * 5
    first = np.asarray(Image.open(pictures / "train" / "one" / "0000.jpg"))
    assert np.array_equal(loaded.train_images[0], first)


def test_statistics_are_those_of_the_training_images(pictures: Path) -> None:
    loaded = ImageFiles(pictures, 32).load()
    scaled = loaded.train_images / 255
    assert loaded.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)))
    assert loaded.std == pytest.approx(scaled.std(axis=(0, 1, 2)))
    assert channel_statistics(loaded.train_images, chunk=3) == (loaded.mean, loaded.std)


def test_a_common_top_folder_and_any_order_are_the_same_content(
    pictures: Path, tmp_path: Path
) -> None:
    plain = ImageFiles(pictures, 32)
    others = [
        tar(pictures, tmp_path / "a.tar", top="set/", reverse=True),
        tar(pictures, tmp_path / "b.tar.gz", top="./"),
        zipped(pictures, tmp_path / "c.zip", top="set/"),
    ]
    (tmp_path / "outer").mkdir()
    others.append((tmp_path / "outer" / "set").symlink_to(pictures) or tmp_path / "outer")
    for path in others:
        other = ImageFiles(path, 32)
        assert other.content_hash() == plain.content_hash()
        assert np.array_equal(other.load().train_images, plain.load().train_images)


def test_content_hash_sees_pixels_and_names(pictures: Path) -> None:
    before = ImageFiles(pictures, 32).content_hash()
    file = pictures / "train" / "one" / "0000.jpg"
    file.rename(file.with_name("0009.jpg"))
    renamed = ImageFiles(pictures, 32).content_hash()
    file.with_name("0009.jpg").write_bytes((pictures / "train/one/0001.jpg").read_bytes())
    assert len({before, renamed, ImageFiles(pictures, 32).content_hash()}) == 3


def test_sizes_and_modes_become_square_rgb(pictures: Path) -> None:
    folder = pictures / "train" / "one"
    red = Image.new("RGB", (90, 30), "red")
    red.paste((0, 0, 255), (30, 0, 60, 30))
    red.save(folder / "a.png")
    red.convert("CMYK").save(folder / "b.jpg")
    red.convert("P").save(folder / "c.png", transparency=bytes([0, 255]))
    red.convert("LA").save(folder / "d.png")
    loaded = ImageFiles(pictures, 16).load()
    blue = [(0, 0, 255), (0, 0, 254)]
    assert [tuple(loaded.train_images[i, 8, 8].tolist()) in blue for i in (5, 6, 7)] == [True] * 3
    assert (loaded.train_images[5, :, 4:12] == (0, 0, 255)).all()
    assert len(set(loaded.train_images[8, 8, 8].tolist())) == 1


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    data = io.BytesIO()
    Image.fromarray(stripes).save(data, "PNG")
    small = decode(data.getvalue(), 8)
    assert abs(int(small.mean()) - 127) <= 2
    assert small.std() < 10


def test_hidden_and_other_files_are_ignored(pictures: Path, tmp_path: Path) -> None:
    expected = ImageFiles(pictures, 32).content_hash()
    (pictures / "train" / "one" / ".hidden.jpg").write_bytes(b"no image")
    (pictures / "train" / "one" / "Thumbs.db").write_bytes(b"no image")
    (pictures / "README.md").write_text("about")
    path = zipped(pictures, tmp_path / "mac.zip")
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("__MACOSX/train/one/._0000.jpg", b"no image")
    assert ImageFiles(pictures, 32).content_hash() == expected
    assert ImageFiles(path, 32).content_hash() == expected


# ── what is refused, each with one line ───────────────────────────────────────────────────────────


def test_missing_and_odd_paths(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "nowhere.tar")
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a folder nor an archive" in refused(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    assert "no image where one is expected; put images at" in refused(tmp_path / "empty")


def test_splits_and_classes_must_match(pictures: Path) -> None:
    (pictures / "train" / "two").mkdir()
    assert "class 'two' is in train/ only" in refused(pictures)
    (pictures / "test" / "two").mkdir()
    assert "'test/two' has no image" in refused(pictures)
    remove(pictures / "test")
    assert "has no test/; train/ is there; put images at" in refused(pictures)


def test_an_image_in_no_class_is_not_silently_left_out(pictures: Path) -> None:
    shutil.copy(pictures / "train/one/0000.jpg", pictures / "train/x.jpg")
    assert "'train/x.jpg' is an image in no class; put images at" in refused(pictures)


@pytest.mark.parametrize(
    "name",
    ["x", "x.jfif", "x.jpg~", "x.jpeg?itok=FMt", "x.JPG_large", "x.tmp", "x.webp", "more/x.jpg"],
)
@pytest.mark.parametrize("packed", [lambda folder, _: folder, tar, zipped])
def test_an_image_of_any_name_is_one(
    pictures: Path, tmp_path: Path, name: str, packed: Callable[[Path, Path], Path]
) -> None:
    before = len(ImageFiles(pictures, 32).train_labels())
    (pictures / "train/one" / name).parent.mkdir(exist_ok=True)
    shutil.copy(pictures / "train/one/0000.jpg", pictures / "train/one" / name)
    dataset = ImageFiles(packed(pictures, tmp_path / ("a.tar" if packed is tar else "a.zip")), 32)
    assert dataset.notes() == ()
    assert len(dataset.train_labels()) == before + 1
    assert len(dataset.load().train_images) == before + 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("suffix", [".jpg", ".bin"])
def test_an_image_is_read_by_its_content(pictures: Path, kind: str, suffix: str) -> None:
    """The kinds that lose nothing have the very pixels, whatever the suffix says."""
    colours = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3) * 5
    lossless = {"lossless": True} if kind == "WEBP" else {}
    image = Image.fromarray(colours)
    image = image.convert("P", palette=Image.Palette.ADAPTIVE) if kind == "GIF" else image
    image.save(file := io.BytesIO(), kind, **lossless)
    (pictures / "train" / "one" / f"x{suffix}").write_bytes(file.getvalue())
    pixels = ImageFiles(pictures, 4).load().train_images[5]
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    assert np.array_equal(pixels, colours)


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF"])
def test_an_image_of_a_kind_that_is_not_read_is_named(pictures: Path, kind: str) -> None:
    Image.new("RGB", (8, 8)).save(file := io.BytesIO(), kind)
    (pictures / "train" / "one" / "x.bin").write_bytes(file.getvalue())
    line = message(DataError, ImageFiles(pictures, 32).content_hash)
    assert "train/one/x.bin (" in line
    assert "which is not read: convert it to one of JPEG, PNG" in line


def test_what_is_no_image_is_passed_over(pictures: Path) -> None:
    expected = ImageFiles(pictures, 32).content_hash()
    for name, data in (("a.txt", b"BMW P6 II"), ("b", b""), ("c.json", b"{}"), ("d.csv", b"P1,2")):
        (pictures / "train" / "one" / name).write_bytes(data)
    dataset = ImageFiles(pictures, 32)
    assert dataset.content_hash() == expected
    passed = {".csv": 1, ".json": 1, ".txt": 1, "without a suffix": 1}
    assert dataset.scanned().passed_over == passed


def test_all_that_is_no_image_is_named_at_once_and_before_anything_is_decoded(
    pictures: Path,
) -> None:
    for name, data in (("train/one/0000.jpg", b""), ("train/zero/0001.jpg", b"<html>")):
        (pictures / name).write_bytes(data)
    line = message(DataError, ImageFiles(pictures, 32).content_hash)
    assert (
        "2 images cannot be read: train/one/0000.jpg (empty), train/zero/0001.jpg (an HTML page)"
        in line
    )
    assert line.endswith("replace or remove them")


def test_all_broken_images_are_named_at_once(pictures: Path) -> None:
    for name in ("train/one/0000.jpg", "train/zero/0001.jpg"):
        (pictures / name).write_bytes((pictures / name).read_bytes()[:-200])
    line = refused(pictures)
    assert "train/one/0000.jpg (broken: " in line
    assert "train/zero/0001.jpg (broken: " in line


def test_a_zip_with_backslashes_is_the_same_set(pictures: Path, tmp_path: Path) -> None:
    """PowerShell and older .NET write them; not one image may be lost where only some have them."""
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as out:
        for i, file in enumerate(sorted(pictures.rglob("*.*"))):
            name = file.relative_to(pictures).as_posix()
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\") if i % 2 else name
            out.writestr(info, file.read_bytes())
    expected = ImageFiles(pictures, 32).content_hash()
    assert ImageFiles(tmp_path / "windows.zip", 32).content_hash() == expected


def test_two_tars_in_one_file(pictures: Path, tmp_path: Path) -> None:
    path = tar(pictures, tmp_path / "a.tar")
    path.write_bytes(2 * path.read_bytes())
    assert "something follows its end mark" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["Screenshot at 8.55\u202fPM", "a\u00a0b", "\u06cc\u200c\u0631", "\U0001f469\u200d\U0001f33e"],
)
def test_names_as_people_have_them(pictures: Path, name: str) -> None:
    for split in ("train", "test"):
        (pictures / split / "one").rename(pictures / split / name)
    assert name in ImageFiles(pictures, 32).classes()
    assert ImageFiles(pictures, 32).load().classes == ImageFiles(pictures, 32).classes()


def test_two_sets_in_one_folder(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.zip"
    zipped(pictures, path, top="a/")
    with zipfile.ZipFile(path, "a") as out:
        for part in ("train", "test"):
            out.write(pictures / "train/one/0000.jpg", f"b/{part}/one/0000.jpg")
    assert "must lie side by side once, and do in a, b; keep one" in refused(path)


@pytest.mark.parametrize("name", ["../train/one/x.jpg", "/train/one/x.jpg", "train/../../x.jpg"])
def test_members_that_point_elsewhere(pictures: Path, tmp_path: Path, name: str) -> None:
    path = tar(pictures, tmp_path / "evil.tar")
    with tarfile.open(path, "a") as out:
        info = tarfile.TarInfo(name)
        info.size = 3
        out.addfile(info, io.BytesIO(b"abc"))
    assert f"refuses the member {name!r}" in refused(path)
    assert not (tmp_path.parent / "x.jpg").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices(pictures: Path, tmp_path: Path, kind: bytes) -> None:
    path = tar(pictures, tmp_path / "links.tar")
    with tarfile.open(path, "a") as out:
        info = tarfile.TarInfo("train/one/link.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        out.addfile(info)
    said = "is a hard link to" if kind == tarfile.LNKTYPE else "is a link or a device"
    assert said in refused(path)


def test_a_link_in_a_zip(pictures: Path, tmp_path: Path) -> None:
    path = zipped(pictures, tmp_path / "links.zip")
    with zipfile.ZipFile(path, "a") as out:
        info = zipfile.ZipInfo("train/one/link.jpg")
        info.external_attr = 0o120777 << 16
        out.writestr(info, "/etc/passwd")
    assert "is a link or a device" in refused(path)


def test_a_member_twice(pictures: Path, tmp_path: Path) -> None:
    path = tar(pictures, tmp_path / "twice.tar")
    with tarfile.open(path, "a") as out:
        out.add(pictures / "train/one/0000.jpg", "train/one/0000.jpg")
    assert "has 'train/one/0000.jpg' twice" in refused(path)


def test_names_that_would_move_a_terminal(pictures: Path) -> None:
    (pictures / "train" / "one" / "\x1b[2J.jpg").write_bytes(b"x")
    assert "'train/one/\\x1b[2J.jpg' is not a printable name" in refused(pictures)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "zip"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_archives_cut_short(pictures: Path, tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    zipped(pictures, path) if suffix == "zip" else tar(pictures, path)
    content = path.read_bytes()
    end = len(content) if suffix != "tar" else content.rindex(b"\xd9") + 1  # a tar is zero-padded
    path.write_bytes(content[: int(end * kept)])
    assert "cannot be read to its end" in refused(path)


def test_a_tar_cut_between_two_members(pictures: Path, tmp_path: Path) -> None:
    path = tar(pictures, tmp_path / "cut.tar")
    with tarfile.open(path) as opened:
        last = opened.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset])
    assert "the end mark is missing" in refused(path)


def test_a_flipped_bit_in_a_zip(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "bit.zip"
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(pictures.rglob("*.*")):
            out.write(file, str(file.relative_to(pictures)))
    content = bytearray(path.read_bytes())
    content[content.index(b"JFIF") + 100] ^= 1
    path.write_bytes(content)
    assert "cannot be read to its end (Bad CRC-32" in refused(path)


def test_a_channel_without_any_variation_can_be_divided_by() -> None:
    images = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    images[:2, ..., 0] = 255
    mean, std = channel_statistics(images)
    assert (mean, std) == ((0.5, 0.0, 0.0), (0.5, 1.0, 1.0))


def test_caps(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cap, value, says in (
        ("MAX_MEMBERS", 5, "over 5 members"),
        ("MAX_TOTAL_BYTES", 2000, "2,000 bytes; split it"),
        ("MAX_FILE_BYTES", 500, "is larger than 500 bytes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(archive, cap, value)
            assert says in refused(pictures)


def broken_images() -> Iterator[tuple[str, bytes, str]]:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for suffix, kind in (("jpg", "JPEG"), ("png", "PNG")):
        data = io.BytesIO()
        Image.fromarray(noise).save(data, kind)
        yield f"cut.{suffix}", data.getvalue()[: len(data.getvalue()) // 2], "cannot be read"
        yield f"text.{suffix}", b"not an image", "(no image)"
        yield f"empty.{suffix}", b"", "(empty)"
        yield f"page.{suffix}", b"<!DOCTYPE html><p>not found", "(an HTML page)"
        yield f"pointer.{suffix}", b"version https://git-lfs.github.com/spec/v1", "Git LFS"
    data = io.BytesIO()
    yield from deep_images(noise)
    for side, name in ((8_001, "large.png"), (10_000, "warned.png"), (60_000, "bomb.png")):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        yield name, png([(b"IHDR", header), (b"IDAT", b"")]), "more than 64,000,000 pixels"
    info = PngInfo()
    info.add_text("bomb", "x" * 70_000_000, zip=True)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG", pnginfo=info)
    yield "text-bomb.png", data.getvalue(), "cannot be read"


def deep_images(noise: np.ndarray) -> Iterator[tuple[str, bytes, str]]:
    """16 bits a channel in every mode: of some Pillow would drop half without a word."""
    grey = noise[..., 0].astype(np.uint16) * 256
    for kind in ("PNG", "TIFF"):
        Image.fromarray(grey).save(data := io.BytesIO(), kind)
        yield f"grey.{kind}", data.getvalue(), "16 bits a channel"
    for colour, channels in (("rgb", 2), ("grey-alpha", 4), ("rgba", 6)):
        wide = np.zeros((32, 1 + 32 * {2: 6, 4: 4, 6: 8}[channels]), np.uint8)
        header = struct.pack(">IIBBBBB", 32, 32, 16, channels, 0, 0, 0)
        body = zlib.compress(wide.tobytes())
        yield f"{colour}.png", png([(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]), "16 bits"
    yield "grey.pgm", b"P5\n# by a camera\n2 2\n65535\n" + bytes(8), "16 bits a channel"
    yield "rgb.ppm", b"P6 2 2 4095 " + bytes(24), "16 bits a channel"
    Image.fromarray(noise[..., 0].astype(np.float32)).save(data := io.BytesIO(), "TIFF")
    yield "float.tif", data.getvalue(), "16 bits a channel or more"


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body]
        parts.append(struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


@pytest.mark.parametrize(("name", "data", "says"), list(broken_images()), ids=lambda v: str(v)[:20])
def test_unreadable_images_are_named(pictures: Path, name: str, data: bytes, says: str) -> None:
    (pictures / "train" / "one" / name).write_bytes(data)
    line = refused(pictures)
    assert f"train/one/{name}" in line
    assert says in line


def test_nothing_of_a_failed_load_stays_in_the_cache(pictures: Path, own_cache: Path) -> None:
    image = pictures / "train" / "one" / "0001.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    assert "broken: " in refused(pictures)
    assert list(own_cache.iterdir()) == []


def test_a_folder_that_changes_while_it_is_read(pictures: Path) -> None:
    dataset = ImageFiles(pictures, 32)
    dataset.content_hash()
    (pictures / "train" / "one" / "0000.jpg").unlink()
    assert "has changed since it was looked at" in message(DataChangedError, dataset.load)


def test_a_worker_is_not_given_images_that_changed_on_the_way(pictures: Path) -> None:
    dataset = ImageFiles(pictures, 32)
    dataset.content_hash()
    sent = pickle.dumps(dataset)
    (pictures / "train" / "one" / "0000.jpg").unlink()
    assert "has changed since it was looked at" in message(DataError, pickle.loads(sent).load)


# ── the cache ─────────────────────────────────────────────────────────────────────────────────────


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    reads: list[Path] = []
    read_members = archive.read_members

    def counted(
        path: Path, arrangement: Arrangement, *passed: Counter[str]
    ) -> Iterator[archive.ArchiveMember]:
        reads.append(path)
        return read_members(path, arrangement, *passed)

    for module in (images, index):
        monkeypatch.setattr(module, "read_members", counted)
    return reads


def test_an_archive_is_read_twice_and_then_never(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, path = count_reads(monkeypatch), tar(pictures, tmp_path / "a.tar.xz")
    first = ImageFiles(path, 32).load()
    assert len(reads) == 2  # for the index, and to decode
    second = ImageFiles(path, 32)
    assert np.array_equal(second.load().train_images, first.train_images)
    assert (second.classes(), second.label) == (first.classes, "a")
    assert len(reads) == 2
    assert isinstance(second.load().train_images, np.memmap)


def test_a_worker_does_not_read_the_source_again(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ImageFiles(pictures, 32)
    expected, reads = dataset.load(), count_reads(monkeypatch)
    again = pickle.loads(pickle.dumps(dataset))
    assert again == dataset.pinned()
    assert np.array_equal(again.load().train_images, expected.train_images)
    assert (again.classes(), again.content_hash()) == (dataset.classes(), dataset.content_hash())
    assert reads == []


def damage(what: str, entry: Path) -> None:
    file = entry / "train_images.npy"
    if what == "cut":
        os.truncate(file, file.stat().st_size // 2)
    elif what == "gone":
        file.unlink()
    elif what == "shape":
        np.save(file, np.zeros((2, 32, 32, 3), np.uint8))
    elif what == "pickle":
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    else:
        (entry / cache.FACTS).write_text("{")


@pytest.mark.parametrize("what", ["cut", "gone", "shape", "pickle", "facts"])
def test_a_broken_entry_is_built_again(pictures: Path, own_cache: Path, what: str) -> None:
    before = np.array(ImageFiles(pictures, 32).load().train_images)
    damage(what, next(own_cache.glob("images-*")))
    assert np.array_equal(ImageFiles(pictures, 32).load().train_images, before)
    assert len(list(own_cache.glob("[!f]*"))) == 1


def test_a_broken_index_is_built_again(pictures: Path, tmp_path: Path, own_cache: Path) -> None:
    path = tar(pictures, tmp_path / "a.tar")
    expected = ImageFiles(path, 32).content_hash()
    (index,) = own_cache.glob("index-*")
    for broken in ("", "[]", "{}", '{"names": [], "content_hash": "x"}', '{"names": ["a"]}'):
        index.write_text(broken)
        assert ImageFiles(path, 32).content_hash() == expected


@pytest.mark.slow
def test_several_may_write_the_same_entry(pictures: Path, own_cache: Path) -> None:
    # Processes, as workers are: CPython 3.11 cannot parse numpy's headers in several threads at once.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        loaded = list(pool.map(load_pictures, [pictures] * 4))
    assert all(np.array_equal(one.train_images, loaded[0].train_images) for one in loaded)
    assert len(list(own_cache.glob("[!f]*"))) == 1


def test_a_map_gives_its_memory_back_and_keeps_its_content(own_cache: Path) -> None:
    with cache.new_arrays("x") as draft:
        draft.arrays["a"] = np.full((32, 2**20), 7, np.uint8)
    entry = cache.load_arrays("x")
    assert entry is not None
    array, before = entry.arrays["a"], mapped_mib()
    assert array.sum() == 7 * 2**25
    assert mapped_mib() > before + 24
    let_go(array)
    assert mapped_mib() < before + 8
    assert array.sum() == 7 * 2**25


def mapped_mib() -> float:
    """Of files, in this process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssFile:"))


def test_a_late_writer_discards_its_copy(own_cache: Path) -> None:
    with cache.new_arrays("x") as late:
        late.arrays["a"] = np.arange(3)
        with cache.new_arrays("x") as early:
            early.arrays["a"] = np.arange(5)
    entry = cache.load_arrays("x")
    assert entry is not None
    assert entry.arrays["a"].tolist() == [0, 1, 2, 3, 4]
    assert [path.name for path in own_cache.iterdir()] == ["x"]


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ABLATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "ablate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_folder() == tmp_path / "home/.cache/ablate"


def test_a_cache_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "file" / "cache"))
    line = message(OutputError, ImageFiles(pictures, 32).load)
    assert line.endswith("set ABLATE_CACHE to a folder that can")
