"""`cifar10`: the original pixels, from the archive that everybody downloads.

Its batches are pickles, so nothing is unpickled before its SHA-256 is the pinned one, and then only
by an unpickler that knows numpy arrays. What was read once lies in the cache as plain arrays.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import pickle
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ablate.datasets import cache
from ablate.datasets.arrays import array_hashes
from ablate.datasets.base import Dataset, Images, Triple, Watch
from ablate.datasets.drafts import new_draft, remove, stale_drafts
from ablate.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE = "cifar-10-python.tar.gz"
BATCHES = "cifar-10-batches-py"
DEFAULT_FOLDER = Path("data")
TIMEOUT_SECONDS = 30
SIDE = 32

TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
BATCH_SHA256 = {
    "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
}
"""In the order in which the batches are joined; the last one is the test set."""

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
MEAN: Triple = (0.4914, 0.4822, 0.4465)
STD: Triple = (0.2023, 0.1994, 0.2010)
"""The customary constants. (The std is a mean over images; that over all pixels is about 0.247.)"""


@dataclass(frozen=True)
class Cifar10(Dataset):
    """60,000 images of 32×32 in ten classes; `data` is the original archive, or leads to it.

    Raises:
        DataError: `image_size` is not 32.
    """

    data: Path | None
    image_size: int
    label: ClassVar[str] = "cifar10"

    def __post_init__(self) -> None:
        if self.image_size != SIDE:
            raise DataError(
                f"cifar10 has images of {SIDE}×{SIDE}, not {self.image_size}; "
                f"set image_size={SIDE} in the study"
            )

    @classmethod
    def reads(cls, data: Path) -> bool:
        return original_folder(data) is not None

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def content_hash(self) -> str:
        return ARCHIVE_SHA256

    def test_count(self) -> int:
        return TEST_IMAGES

    def class_sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        each = np.ones(len(CLASSES), dtype=np.int64)
        return each * (TRAIN_IMAGES // len(CLASSES)), each * (TEST_IMAGES // len(CLASSES))

    def cache_entry(self) -> str:
        return f"cifar10-{ARCHIVE_SHA256}"

    def load(self, watch: Watch | None = None) -> Images:
        name = self.cache_entry()
        # An entry of an earlier version will do: the archive that it came from may be gone.
        entry = cache.load_arrays(name, unsealed=True)
        if entry is None:
            data = DEFAULT_FOLDER if self.data is None else self.data
            batches = read_batches(original_folder(data) or data, watch)
            with cache.new_arrays(name) as draft:
                draft.arrays.update(arrays_of(batches))
            arrays: Mapping[str, NDArray[Any]] = draft.arrays
            hashes: Mapping[str, str] = array_hashes(arrays)
        else:
            arrays, hashes = entry.arrays, entry.hashes
        return Images(
            self.label,
            CLASSES,
            arrays["train_images"],
            arrays["train_labels"],
            arrays["test_images"],
            arrays["test_labels"],
            MEAN,
            STD,
            hashes,
        )


def original_folder(data: Path) -> Path | None:
    """The folder that has the original CIFAR-10, if `data` is that or leads into it."""
    if data.name in (ARCHIVE, BATCHES):
        return data.parent
    return data if (data / ARCHIVE).is_file() or (data / BATCHES).is_dir() else None


def read_batches(folder: Path, watch: Watch | None = None) -> list[bytes]:
    """The six verified batches from the extracted folder or the archive; downloads the latter.

    Raises:
        DataError: absent and not to be downloaded, or not the original.
    """
    extracted, archive = folder / BATCHES, folder / ARCHIVE
    if extracted.is_dir():
        return [_verified(extracted / name, digest) for name, digest in BATCH_SHA256.items()]
    if not archive.is_file():
        download(archive, watch)
    content = io.BytesIO(_verified(archive, ARCHIVE_SHA256))
    with tarfile.open(fileobj=content, mode="r:gz") as tar:
        files = [tar.extractfile(f"{BATCHES}/{name}") for name in BATCH_SHA256]
        return [file.read() for file in files if file is not None]


def download(archive: Path, watch: Watch | None = None) -> None:
    """Fetch the archive; it gets its name only once it is complete and the right one.

    Raises:
        DataError: it cannot be fetched; says what to put where.
    """
    made = not archive.parent.exists()
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with _draft(archive.parent) as fetched:
            with (
                urllib.request.urlopen(URL, timeout=TIMEOUT_SECONDS) as answer,
                fetched.open("wb") as file,
            ):
                _copy(answer, file, int(answer.headers.get("Content-Length") or 0), watch)
            _verified(fetched, ARCHIVE_SHA256)
            os.replace(fetched, archive)
    except (OSError, http.client.HTTPException) as error:
        if made:
            with contextlib.suppress(OSError):
                archive.parent.rmdir()
        raise DataError(
            f"CIFAR-10 is not here and cannot be fetched ({error}); put {ARCHIVE} from {URL} "
            f"into {archive.parent}/, or give --data ARCHIVE, one with train/<class>/*.jpg and "
            "test/<class>/*.jpg"
        ) from error


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A file to fill inside `folder`; what killed processes left of theirs is deleted."""
    for stale in stale_drafts(folder):
        remove(stale)
    draft = new_draft(folder, file=True)
    try:
        yield draft
    finally:
        remove(draft)


def _copy(source: IO[bytes], target: IO[bytes], size: int, watch: Watch | None) -> None:
    """Copy a stream of `size` bytes (0 if unknown), telling `watch` how far it is."""
    done = 0
    while block := source.read(1 << 20):
        done += target.write(block)
        if watch is not None:
            watch(done, max(size, done))


def arrays_of(batches: list[bytes]) -> dict[str, NDArray[Any]]:
    """The arrays of an `Images`: the last batch is the test set, those before it train."""
    contents = [_Unpickler(io.BytesIO(batch), encoding="latin1").load() for batch in batches]
    arrays: dict[str, NDArray[Any]] = {}
    for split, parts in (("train", contents[:-1]), ("test", contents[-1:])):
        # A row is 1,024 red, then 1,024 green, then 1,024 blue values.
        planes = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, SIDE, SIDE)
        arrays[f"{split}_images"] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        labels = [label for part in parts for label in part["labels"]]
        arrays[f"{split}_labels"] = np.array(labels, dtype=np.int64)
    return arrays


class _Unpickler(pickle.Unpickler):
    """Knows what a numpy array is made of, and nothing else."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        # The batches name numpy's modules of 2009; the function is taken from an array of today.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"a CIFAR-10 batch names {module}.{name}; only numpy arrays are read")
        return self.ALLOWED[module, name]


def _verified(path: Path, sha256: str) -> bytes:
    """The content of a file whose hash is the pinned one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); fetch it from {URL}"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path}: is not the original ({len(content):,} bytes, other SHA-256); "
            f"delete it and fetch {URL}"
        )
    return content
