"""Which way up images stand and how they become squares: as Pillow and torchvision do it."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import message
from PIL import Image, ImageOps
from support.picture_sets import picture_set, tarred
from torchvision.datasets.folder import default_loader
from torchvision.transforms.functional import to_grayscale

from ablate.datasets import open_dataset
from ablate.datasets.decode import decode
from ablate.datasets.images import ImageFiles
from ablate.errors import OptionError
from ablate.pixels import geometry
from ablate.pixels.geometry import ORIENTATION, USUAL, Reading, orientation_in
from ablate.study import DataTable

SHAPES = [(32, 32), (90, 30), (31, 77), (3000, 1), (1, 3000), (5, 4)]
AS_STORED = Reading(orientation="as_stored")


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Random, and of another colour at each edge."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 3, :, 0] = 250
    pixels[:, : width // 3, 2] = 250
    return Image.fromarray(pixels)


def turned(image: Image.Image, orientation: Any, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def cropped(image: Image.Image, size: int) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(orientation: int, kind: str) -> None:
    data = turned(picture(50, 31), orientation, kind)
    upright = ImageOps.exif_transpose(opened(data)).convert("RGB")
    assert np.array_equal(decode(data, 16), cropped(upright, 16))
    stored = cropped(opened(data).convert("RGB"), 16)
    assert np.array_equal(decode(data, 16, AS_STORED), stored)
    assert orientation_in(data) == orientation
    assert np.array_equal(decode(data, 16), stored) == (orientation == 1)


@pytest.mark.parametrize("nonsense", [0, 9, 255, 65535])
def test_an_orientation_that_is_none_changes_nothing(nonsense: int) -> None:
    data = turned(picture(20, 10), nonsense)
    assert orientation_in(data) == 1
    assert np.array_equal(decode(data, 8), decode(data, 8, AS_STORED))


def test_broken_exif_breaks_no_image() -> None:
    whole = turned(picture(20, 10), 6, "JPEG")
    start = whole.index(b"Exif\0\0") + 6
    for length in (4, 8, 12, 20):
        broken = whole[:start] + b"\xff" * length + whole[start + length :]
        assert np.array_equal(decode(broken, 8), decode(broken, 8, AS_STORED))
        assert orientation_in(broken) == 1


def test_an_orientation_in_xmp_counts_as_it_does_for_pillow() -> None:
    file = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    picture(40, 20).save(file, "JPEG", xmp=xmp)
    upright = ImageOps.exif_transpose(opened(file.getvalue()))
    assert upright.size == (20, 40)
    assert orientation_in(file.getvalue()) == 8
    assert np.array_equal(decode(file.getvalue(), 16), cropped(upright, 16))


APP1 = b"\xff\xe1"


@pytest.mark.parametrize(
    "between",
    [
        b"",
        b"\xff",  # a marker may be padded
        b"\xff\xff\xff",
        b"junk",
        b"\xff\x00",
        b"\xff\xd0",  # a marker without a length
        b"\xff\xd9",
        b"\xff\xfe\x00\x06Exif",  # a comment that says it
        b"\xff\xfe\x00\x06\xff\xda\x00\x02",  # or looks like the start of the pixels
        b"\xff\xdc\x00\x04\x00\x01",
    ],
)
def test_an_orientation_is_found_wherever_pillow_finds_it(between: bytes) -> None:
    plain = turned(picture(40, 20), 1, "JPEG")
    data = turned(picture(40, 20), 6, "JPEG")
    at = data.index(APP1)
    odd = data[:at] + between + data[at:]
    expected = opened(odd).getexif().get(ORIENTATION, 1)
    assert expected == 6
    assert orientation_in(odd) == expected
    # Behind the pixels nobody looks, and what the pixels happen to be is no EXIF.
    segment = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
    assert orientation_in(plain + segment) == opened(plain + segment).getexif().get(ORIENTATION)
    cut = data[: at + 3]
    assert orientation_in(cut) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [8, 32])
def test_each_fit_is_pillows(shape: tuple[int, int], size: int) -> None:
    file = io.BytesIO()
    picture(*shape).save(file, "PNG")
    image, data = opened(file.getvalue()), file.getvalue()
    bilinear = Image.Resampling.BILINEAR
    squashed = np.asarray(image.resize((size, size), bilinear))
    assert np.array_equal(decode(data, size, Reading(fit="squash")), squashed)
    assert np.array_equal(decode(data, size), cropped(image, size))
    padded = decode(data, size, Reading(fit="pad"))
    if min(shape) * size >= max(shape):  # of a thinner one Pillow keeps nothing, and raises
        assert np.array_equal(padded, np.asarray(ImageOps.pad(image, (size, size), bilinear)))
    else:
        assert padded.any(), "a line of it is left"


def test_squashing_a_thin_image_goes_by_columns_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows first, as Pillow does, one of 1 × 64,000,000 pixels would take 256 GB on the way."""
    image = picture(40, 300)
    usual = np.asarray(geometry.squash(image, 16), dtype=int)
    monkeypatch.setattr(geometry, "MAX_PIXELS", 16 * 300 - 1)
    seen = []
    resized = geometry._resized

    def watched(image: Image.Image, size: tuple[int, int], box: Any = None) -> Image.Image:
        seen.append(size)
        return resized(image, size, box)

    monkeypatch.setattr(geometry, "_resized", watched)
    assert np.abs(np.asarray(geometry.squash(image, 16), dtype=int) - usual).max() <= 1
    assert seen == [(40, 16), (16, 16)]


MODES = ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK"]


@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_those_of_torchvisions_loader(mode: str, tmp_path: Path) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    for size, shape in ((16, (16, 16)), (16, (40, 25))):
        path = tmp_path / f"{shape}.{suffix}"
        picture(*shape).convert(mode).save(path)
        loaded = default_loader(str(path))
        expected = np.asarray(loaded) if shape == (size, size) else cropped(loaded, size)
        assert np.array_equal(decode(path.read_bytes(), size), expected)
        grey = to_grayscale(loaded, num_output_channels=3)
        expected = np.asarray(grey) if shape == (size, size) else cropped(grey, size)
        assert np.array_equal(decode(path.read_bytes(), size, Reading(channels=1)), expected)


# ── identity ──────────────────────────────────────────────────────────────────────────────────────


def lines_hash(folder: Path) -> str:
    """What a set of images was known by before there was a way to read them otherwise."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))
    lines = (f"{f}\0{hashlib.sha256((folder / f).read_bytes()).hexdigest()}\n" for f in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read(path: Path, **table: Any) -> ImageFiles:
    found = open_dataset("images", path, 8, DataTable(**table))
    assert isinstance(found, ImageFiles)
    return found


def test_images_without_exif_are_what_they_were(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    before = lines_hash(folder)
    assert read(folder).content_hash() == ImageFiles(folder, 8).content_hash() == before
    assert read(folder, orientation="as_stored").content_hash() == before


def test_what_is_done_to_images_is_in_their_hash_where_it_changes_them(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    (folder / "train" / "cat" / "phone.png").write_bytes(turned(picture(30, 20), 6))
    packed = tarred(folder, tmp_path / "set.tar")
    stored = {"orientation": "as_stored"}
    assert read(folder, **stored).content_hash() == lines_hash(folder)
    tables = [
        {},
        stored,
        {"fit": "pad"},
        {"fit": "squash"},
        {"channels": 1},
        {"fit": "pad", **stored},
    ]
    hashes = [read(folder, **table).content_hash() for table in tables]
    assert len(set(hashes)) == len(tables)
    for _ in range(2):  # as it is scanned, and as that is remembered
        assert [read(packed, **table).content_hash() for table in tables] == hashes
        assert [read(folder, **table).content_hash() for table in tables] == hashes
        assert read(packed).scanned().turned == read(folder, **stored).scanned().turned == 1
    loaded = [read(folder, **table).load().train_images for table in tables]
    assert len({images.tobytes() for images in loaded}) == len(tables)


def test_a_worker_reads_images_as_it_was_told(tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    for suffix in ("train", "test"):
        picture(30, 20).save(folder / suffix / "cat" / "wide.png")
    dataset = read(folder, fit="pad").pinned()
    again = pickle.loads(pickle.dumps(dataset))
    assert again.reading == Reading(fit="pad")
    assert np.array_equal(again.load().train_images, dataset.load().train_images)


@pytest.mark.parametrize("key", ["fit", "orientation", "channels"])
def test_a_dataset_without_image_files_refuses_to_read_them_otherwise(key: str) -> None:
    unusual = {"fit": "pad", "orientation": "as_stored", "channels": 1}
    table = DataTable(**{key: unusual[key]})
    for name in ("digits", "cifar10"):
        said = message(OptionError, lambda name=name: open_dataset(name, None, 32, table))
        assert said.startswith(
            f"data.{key} = {unusual[key]!r} says how image files are read, and {name}"
        )


def test_the_usual_reading_is_that_of_an_empty_table() -> None:
    assert Reading.of(DataTable()) == Reading() == USUAL
    assert USUAL.unusual == {}


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
def test_what_pillow_turns_itself_is_turned_once_or_not_at_all(kind: str, orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(stored).save(file, kind, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).convert("RGB")
    assert np.array_equal(decode(file.getvalue(), 16), np.asarray(upright))
    as_stored = decode(file.getvalue(), 16, Reading(orientation="as_stored"))
    assert np.array_equal(as_stored, stored)
