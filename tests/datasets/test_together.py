"""Images decoded on several cores are those decoded one by one, whoever decodes them and however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import message
from support.layout_sources import encoded, files, tarred, write, zipped

from ablate.datasets import Images, together, workers
from ablate.datasets.decode import decode
from ablate.datasets.images import ImageFiles
from ablate.datasets.together import Source, decoded
from ablate.datasets.workers import decoders
from ablate.errors import DataError, DecodingError, OutputError
from ablate.pixels.geometry import USUAL, Reading
from ablate.pixels.rows import LEVELS, Chunk, Reply, Wanted, decode_chunk
from ablate.study.data import ALL_DATA, READING_KEYS

SIDE = 8
ROW = SIDE * SIDE * 3
FILES = [encoded(i, i % 2) for i in range(50)]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sets of any size are decoded by two processes; their ids."""
    found: list[int] = []
    begin = workers.DecodingProcess.__init__

    def noted(self: workers.DecodingProcess) -> None:
        begin(self)
        found.append(self._process.pid)

    monkeypatch.setattr(workers, "FEW", 0)
    monkeypatch.setattr(workers, "count_cores", lambda: 2)
    monkeypatch.setattr(workers.DecodingProcess, "__init__", noted)
    yield found
    assert not any(map(psutil.pid_exists, found)), "none outlives what it was started for"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write(tmp_path / "photographs", files(train=40, test=10))


def sources(target: Path) -> list[Source]:
    """The images of FILES, each with its row in a new file; every second one is counted."""
    target.write_bytes(bytes(ROW * len(FILES)))
    return [
        Source(str(i), len(data), Wanted(data, str(target), ROW * i, counted=i % 2 == 0))
        for i, data in enumerate(FILES)
    ]


def load_by(one: bool, folder: Path) -> Images:
    """The images, as this process decodes them with one thread, or as the processes do."""
    with pytest.MonkeyPatch.context() as patch:
        if one:
            patch.setattr(workers, "count_cores", lambda: 1)
        return ImageFiles(folder, SIDE).load()


# ── what is decoded ───────────────────────────────────────────────────────────────────────────────


def test_order_marks_pixels_and_counts_are_those_of_one_after_the_other(
    tmp_path: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "MOST_IMAGES", 3)
    with decoders(len(FILES)) as two:
        found = list(decoded(sources(tmp_path / "rows"), two, SIDE, USUAL))
    assert len(processes) == 2
    assert [name for names, _ in found for name in names] == [str(i) for i in range(50)]
    assert len({seen.mark for _, reply in found for seen in reply.images}) == 50
    pixels = np.fromfile(tmp_path / "rows", np.uint8).reshape(50, SIDE, SIDE, 3)
    expected = np.stack([decode(data, SIDE) for data in FILES])
    assert np.array_equal(pixels, expected)
    counts = np.sum([reply.counts for _, reply in found], axis=0).reshape(3, 256)
    for channel in range(3):
        values = expected[::2, ..., channel].ravel()
        assert np.array_equal(counts[channel], np.bincount(values, minlength=256))


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_an_entry_is_the_same_bytes_whoever_decodes_it(
    kind: str, photographs: Path, own_cache: Path, processes: list[int], tmp_path: Path
) -> None:
    content = files(train=40, test=10)
    packed = {"tar": tarred, "zip": zipped}
    source = packed[kind](tmp_path / f"x.{kind}", content) if kind in packed else photographs
    ours = load_by(one=True, folder=source)
    assert not processes
    [entry] = own_cache.glob("images-*")
    before = {file.name: file.read_bytes() for file in entry.iterdir()}
    shutil.rmtree(entry)
    theirs = load_by(one=False, folder=source)
    assert len(processes) == 2
    assert {file.name: file.read_bytes() for file in entry.iterdir()} == before
    assert theirs.hashes == ours.hashes
    theirs.check()


def test_all_cores_work_and_little_is_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "count_cores", lambda: 3)
    monkeypatch.setattr(together, "MOST_IMAGES", 1)
    together_now = threading.Barrier(3, timeout=20)
    read: list[str] = []

    def slow(chunk: Chunk) -> Reply:
        together_now.wait()  # broken unless three are in work at once
        return decode_chunk(chunk)

    monkeypatch.setattr(workers, "decode_chunk", slow)

    def found() -> Iterator[Source]:
        for source in sources(tmp_path / "rows")[:48]:
            read.append(source.name)
            yield source

    with decoders(48) as three:
        images = decoded(found(), three, SIDE, USUAL)
        assert next(images)[0] == ("0",)
        assert len(read) <= together.AHEAD * 3 + 1
        assert len(list(images)) == 47


def test_chunks_have_a_cap_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST_BYTES", 2 * max(map(len, FILES)))
    with decoders(len(FILES)) as threads:
        found = list(decoded(sources(tmp_path / "rows"), threads, SIDE, USUAL))
    assert {len(names) for names, _ in found} <= {2, 3}


def test_a_reading_is_what_a_study_says() -> None:
    assert Reading.of(ALL_DATA) == USUAL
    assert tuple(Reading.__dataclass_fields__) == READING_KEYS


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


def test_all_that_cannot_be_read_is_named_in_one_go(
    photographs: Path, own_cache: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "MOST_IMAGES", 7)
    for name in ("train/cat/003.png", "train/dog/039.png", "test/cat/000.png"):
        (photographs / name).write_bytes(encoded(0, 0)[:100])
    line = message(DataError, ImageFiles(photographs, SIDE).load)
    assert "photographs: 3 images cannot be read: test/cat/000.png (broken: " in line
    assert "train/cat/003.png" in line
    assert "train/dog/039.png" in line
    assert len(processes) == 2
    assert not list(own_cache.glob("images-*"))


@pytest.mark.parametrize("source", ["a path", "bytes"])
def test_a_row_or_a_file_that_fails_ends_a_chunk(source: str, tmp_path: Path) -> None:
    good = sources(tmp_path / "rows")[0].wanted
    full = Wanted(FILES[0], "/dev/full", 0, counted=True)
    gone = Wanted(str(tmp_path / "gone"), str(tmp_path / "rows"), 0, counted=True)
    bad = gone if source == "a path" else full
    reply = decode_chunk(Chunk((good, bad, good), SIDE, USUAL))
    assert len(reply.images) == 1
    assert isinstance(reply.error, OSError)
    assert reply.writing == (bad is full)
    assert len(reply.counts) == LEVELS
    assert sum(reply.counts) == ROW


def test_a_disk_that_is_full_is_one_line_from_processes_too(
    photographs: Path, own_cache: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted

    def to_a_full_disk(source: bytes | str, _: str, offset: int, *, counted: bool) -> Wanted:
        return wanted(source, "/dev/full", offset, counted)

    monkeypatch.setattr("ablate.datasets.filling.Wanted", to_a_full_disk)
    line = message(OutputError, ImageFiles(photographs, SIDE).load)
    assert "cannot be written (No space left on device); free some space there, or set" in line
    assert len(processes) == 2
    assert not list(own_cache.glob(".*")) + list(own_cache.glob("images-*"))


def test_a_file_that_vanishes_is_one_line(
    photographs: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ImageFiles(photographs, SIDE)
    found.content_hash()
    usual = ImageFiles._files

    def and_gone(self: ImageFiles, *rest: object) -> Iterator[Source]:
        for number, source in enumerate(usual(self, *rest)):  # type: ignore[arg-type]
            if number == 60:
                Path(str(source.wanted.source)).unlink()
            yield source

    monkeypatch.setattr(ImageFiles, "_files", and_gone)
    assert "cannot be read to its end ([Errno 2] No such file" in message(DataError, found.load)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_is_lost_is_one_line(
    number: signal.Signals,
    photographs: Path,
    own_cache: Path,
    processes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "MOST_IMAGES", 1)

    def kill(done: int, _: int) -> None:
        if done == 3:
            os.kill(processes[0], number)

    line = message(DecodingError, lambda: ImageFiles(photographs, SIDE).load(kill))
    assert (
        f"was killed by signal {number.value}, as where memory is short; nothing half-decoded"
        in line
    )
    assert not list(own_cache.glob(".*")) + list(own_cache.glob("images-*"))
    ImageFiles(photographs, SIDE).load().check()


def test_an_interrupt_ends_all_processes_and_leaves_nothing(
    photographs: Path, own_cache: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "MOST_IMAGES", 1)

    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ImageFiles(photographs, SIDE).load(interrupt)
    assert len(processes) == 2
    assert not list(own_cache.glob(".*")) + list(own_cache.glob("images-*"))


def test_what_nobody_foresaw_in_a_process_is_not_lost(processes: list[int]) -> None:
    broken = Wanted(FILES[0], "nowhere", 0, counted=True)
    with decoders(1) as two, pytest.raises(RuntimeError, match="TypeError: 'str' object cannot"):
        two.submit(Chunk((broken,), "8", USUAL)).result()  # type: ignore[arg-type]
    assert len(processes) == 2


# ── processes ─────────────────────────────────────────────────────────────────────────────────────


def test_a_process_loads_nothing_heavy_and_nothing_from_beside_it(
    tmp_path: Path, processes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pickle", "signal", "struct", "PIL", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open('imported-{name}', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    with decoders(1) as two:
        chunk = Chunk((sources(tmp_path / "rows")[0].wanted,), SIDE, USUAL)
        assert len(two.submit(chunk).result().images) == 1
        maps = Path(f"/proc/{processes[0]}/maps")
        if maps.exists():
            assert not any(name in maps.read_text() for name in ("torch", "numpy", "pydantic"))
    assert not list(tmp_path.glob("imported-*"))


LOAD = """
import sys
from pathlib import Path
from ablate.datasets import workers
from ablate.datasets.images import ImageFiles
workers.FEW, workers.count_cores = 0, lambda: 2
def seen(done, total):
    if sys.argv[2] == "wait" and done < total:
        print("waiting", flush=True)
        sys.stdin.buffer.raw.readinto(bytearray(1)) or __import__("time").sleep(60)
images = ImageFiles(Path(sys.argv[1]), 8).load(seen)
print(images.hashes["train_images"])
"""


@pytest.mark.slow
def test_a_program_from_standard_input_without_stderr(photographs: Path, own_cache: Path) -> None:
    """A main module that cannot be imported once more, and a number that the next open file would get."""
    done = subprocess.run(
        ["sh", "-c", '"$0" - "$@" 2>&-', sys.executable, str(photographs), "on"],
        input=LOAD, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    theirs = done.stdout.strip()
    shutil.rmtree(own_cache)
    assert theirs == ImageFiles(photographs, SIDE).load().hashes["train_images"]


@pytest.mark.slow
def test_processes_end_with_a_program_that_is_killed(
    photographs: Path, own_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "load.py").write_text(LOAD)
    command = [sys.executable, str(tmp_path / "load.py"), str(photographs), "wait"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        children = psutil.Process(program.pid).children()
        program.kill()
    assert len(children) == 2
    assert psutil.wait_procs(children, timeout=20)[1] == []
    [draft] = own_cache.glob(".ablate-*")
    ImageFiles(photographs, SIDE).load().check()
    assert not draft.exists()
