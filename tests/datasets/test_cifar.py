"""CIFAR-10: nothing is unpickled that is not the original; found, fetched, or one clear line."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import message, remove

from ablate.datasets import cifar, open_dataset
from ablate.datasets.images import ImageFiles
from ablate.errors import DataError


def python2_batch(pixels: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it: text and bytes are both `str`, numpy's modules are of 2009."""
    data = pixels.transpose(0, 3, 1, 2).tobytes()
    count = struct.pack("<I", len(labels))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01J" + count + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", len(data))
        + data
        + b"tb"
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + listed + b"u."


def batches() -> dict[str, bytes]:
    """Six batches of 20 enlarged digits each, every class twice."""
    digits = open_dataset("digits", None, 32).load()
    order = np.argsort(digits.train_labels, kind="stable").reshape(-1)
    per_class = [order[digits.train_labels[order] == label] for label in range(10)]
    made = {}
    for index, name in enumerate(cifar.BATCH_SHA256):
        chosen = np.concatenate([members[2 * index : 2 * index + 2] for members in per_class])
        pixels = digits.train_images[chosen].copy()
        pixels[..., 0] //= 2  # so that the order of the channels shows
        made[name] = python2_batch(pixels, digits.train_labels[chosen].tolist())
    return made


def fake_cifar(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """An archive of the original's form, and its hashes in place of the pinned ones."""
    folder.mkdir(exist_ok=True)
    made = batches()
    path = folder / cifar.ARCHIVE
    with tarfile.open(path, "w:gz") as out:
        for name, content in made.items():
            info = tarfile.TarInfo(f"{cifar.BATCHES}/{name}")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    patch.setattr(cifar, "ARCHIVE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    patch.setattr(cifar, "BATCH_SHA256", digests)
    return folder


def test_cifar_is_known_before_it_is_there() -> None:
    dataset = open_dataset("cifar10", None, 32)
    assert dataset.content_hash() == cifar.ARCHIVE_SHA256
    assert dataset.classes()[3] == "cat"
    assert (dataset.label, len(dataset.classes())) == ("cifar10", 10)


def test_cifar_batches_are_read_from_the_archive_and_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    data = fake_cifar(tmp_path / "data", monkeypatch)
    monkeypatch.chdir(tmp_path)
    first = open_dataset("cifar10", None, 32).load()  # finds data/ under the working directory
    assert (len(first.train_labels), len(first.test_labels)) == (100, 20)
    assert (first.mean[0], first.std[0]) == (0.4914, 0.2023)
    digit = first.train_images[0]
    assert np.array_equal(digit[..., 0], digit[..., 1] // 2)
    assert np.array_equal(digit[..., 1], digit[..., 2])
    with tarfile.open(data / cifar.ARCHIVE) as opened:
        opened.extractall(data, filter="data")
    (data / cifar.ARCHIVE).unlink()
    remove(own_cache)
    second = open_dataset("cifar10", data / cifar.BATCHES, 32).load()
    assert np.array_equal(first.train_images, second.train_images)
    remove(data / cifar.BATCHES)
    third = open_dataset("cifar10", data, 32)  # no original here: a folder of images is expected
    assert isinstance(third, ImageFiles)
    fourth = open_dataset("cifar10", None, 32).load()  # from the cache
    assert np.array_equal(first.test_images, fourth.test_images)


def test_no_pickle_is_opened_unless_its_hash_is_the_pinned_one(tmp_path: Path) -> None:
    (tmp_path / cifar.ARCHIVE).write_bytes(b"something else")
    line = message(DataError, cifar.Cifar10(tmp_path, 32).load)
    assert f"{cifar.ARCHIVE}: is not the original (14 bytes, other SHA-256)" in line
    (tmp_path / cifar.BATCHES).mkdir()
    (tmp_path / cifar.BATCHES / "data_batch_1").write_bytes(pickle.dumps({}))
    assert "data_batch_1: is not the original" in message(
        DataError, cifar.Cifar10(tmp_path, 32).load
    )


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def test_the_unpickler_knows_only_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = [pickle.dumps(Evil(), protocol=2)] * 2
    assert "a CIFAR-10 batch names posix.system" in message(
        DataError, lambda: cifar.arrays_of(evil)
    )
    assert not (tmp_path / "pwned").exists()


def test_cifar_is_fetched_when_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = fake_cifar(tmp_path / "there", monkeypatch)
    monkeypatch.setattr(cifar, "URL", (there / cifar.ARCHIVE).as_uri())
    monkeypatch.chdir(tmp_path)
    assert len(cifar.Cifar10(None, 32).load().test_labels) == 20
    assert [path.name for path in (tmp_path / "data").iterdir()] == [cifar.ARCHIVE]


def test_cifar_offline_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "URL", (tmp_path / "absent").as_uri())
    monkeypatch.chdir(tmp_path)
    line = message(DataError, cifar.Cifar10(None, 32).load)
    assert line.startswith("CIFAR-10 is not here and cannot be fetched (")
    assert f"put {cifar.ARCHIVE} from" in line
    assert "into data/, or give --data ARCHIVE, one with train/<class>/*.jpg" in line
    assert not (tmp_path / "data").exists(), "nothing is left behind"


def test_cifar_has_one_size() -> None:
    assert message(DataError, lambda: open_dataset("cifar10", None, 64)) == (
        "cifar10 has images of 32×32, not 64; set image_size=32 in the study"
    )
