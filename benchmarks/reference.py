"""`python -m benchmarks.reference`: the reference grid, from images to what can be published.

It trains what is missing, measures the full costs, draws pictures, exports and writes the report, each by the
command of that name. With `--slice-seconds` it ends before that limit, whatever it is at, and goes on
when it is started again: nothing but the measurement of costs begins anew. What a machine that keeps no
files should hand over lies in `results/packed/`, in pieces: `cat reference.tar.xz.* | tar xJ` at the
root of the project puts everything back.

Exit codes: 0 all is there; 1 some runs failed; 2 the user must change something; 3 something is missing:
start it again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.study.file import load_study
from ablate.system.hardware.machine import find_machine
from benchmarks import publish
from benchmarks.gpu import slug

EXIT_DONE, EXIT_FAILED_RUNS, EXIT_USER, EXIT_MISSING = 0, 1, 2, 3
DATABASE = Path("results/reference.db")
PACKED = Path("results/packed")
VARIANTS = ("none", "se(pool*, r=16)", "cbam(pool*, r=16, k=7)")
"""Of which `ablate explain` draws pictures."""

ENDING_SECONDS = 30.0
"""Kept back for giving runs back, exporting and packing."""
BLOCK_SECONDS, ROUNDS, MODES = 2.0, 9, 2
PIECE_BYTES = 15 * 2**20
MOST_PIECES = 8


class OutOfTimeError(Exception):
    """The slice is over; what is missing is done in the next one."""


@dataclass
class Slice:
    """The time that is left, and what was asked for."""

    study: Path
    data: Path | None
    device: str
    seeds: int
    ends: float | None
    folder: Path = Path()

    @property
    def left(self) -> float | None:
        return None if self.ends is None else self.ends - time.monotonic()

    @property
    def of_study(self) -> list[str]:
        """The options that every command about the study takes."""
        data = [] if self.data is None else ["--data", str(self.data.absolute())]
        return ["--db", f"sqlite:///{DATABASE}", *data]

    def ablate(self, *arguments: str) -> int:
        """Run a command of the project; it is interrupted when the slice is over.

        Raises:
            OutOfTimeError: it was.
        """
        if self.left is not None and self.left <= 0:
            raise OutOfTimeError
        print("ablate", *arguments, flush=True)
        command = [sys.executable, "-m", "ablate", *arguments]
        with subprocess.Popen(command, cwd=self.folder, start_new_session=True) as process:
            try:
                return process.wait(self.left)
            except subprocess.TimeoutExpired:
                # As Ctrl-C: runs are given back, with their checkpoints.
                process.send_signal(signal.SIGTERM)
                process.wait()
                raise OutOfTimeError from None
            except KeyboardInterrupt:
                process.send_signal(signal.SIGTERM)
                raise


def main(arguments: Sequence[str]) -> int:
    """Do what is missing, as far as the time allows."""
    asked = _parser().parse_args(arguments)
    started = time.monotonic()
    limit = asked.slice_seconds
    ends = None if limit is None else started + limit - ENDING_SECONDS
    place = Slice(asked.study.absolute(), asked.data, asked.device, asked.seeds, ends, asked.folder)
    name = slug(find_machine(asked.device).name)
    try:
        code = train(place)
        if code in (EXIT_DONE, EXIT_FAILED_RUNS):
            code = max(code, finish(place, name, limit))
    except OutOfTimeError:
        print("the slice is over, something is missing: start it again", flush=True)
        code = EXIT_MISSING
    if code != EXIT_USER:
        pieces = pack(place.folder, name)
        print(f"packed: {len(pieces)} files in {place.folder / PACKED}", flush=True)
    return code


def train(place: Slice) -> int:
    """Train what is missing; a database in which nothing is takes seconds."""
    seeds = str(place.seeds)
    return place.ablate(
        "run", str(place.study), *place.of_study, "--device", place.device,
        "--seeds", seeds,
    )  # fmt: skip


def finish(place: Slice, name: str, limit: float | None) -> int:
    """Costs, pictures, export, report: the exit code of the worst."""
    out, report = (
        Path("results/published") / name,
        Path("reports") / f"{load_study(place.study).name}-{name}",
    )
    measured = place.folder / DATABASE.with_suffix(f".{place.seeds}-seeds-measured")
    codes = []
    if not measured.exists() and _fits(place, limit):
        codes.append(place.ablate(
            "measure", str(place.study), *place.of_study, "--device", place.device
        ))  # fmt: skip
        if codes[-1] == EXIT_DONE:
            measured.touch()
    if not (place.folder / report / "explain").exists():
        codes.append(place.ablate(
            "explain", *VARIANTS, "--study", str(place.study), *place.of_study,
            "--out", str(report / "explain"),
        ))  # fmt: skip
    codes.append(place.ablate(
        "export", "--study", str(place.study), "--db", f"sqlite:///{DATABASE}", "--out", str(out)
    ))  # fmt: skip
    # From the text, as everybody else will: what cannot be told from it is not in the report.
    arguments = ["--root", str(place.folder.absolute())]
    codes.append(publish.main(arguments))
    return max(codes)


def _fits(place: Slice, limit: float | None) -> bool:
    """Whether the full costs fit into what is left; they cannot be measured in pieces.

    Raises:
        OutOfTimeError: not into what is left, but into a whole slice.
    """
    if limit is None or place.left is None:
        return True
    text = subprocess.run(
        [sys.executable, "-m", "ablate", "plan", str(place.study), "--format", "json", *place.of_study],
        cwd=place.folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    networks = len(set(re.findall(r'"variant": "([^"]*)"', text))) + 1
    seconds = 1.5 * networks * ROUNDS * MODES * BLOCK_SECONDS
    if seconds <= place.left:
        return True
    if seconds <= limit - ENDING_SECONDS:
        raise OutOfTimeError
    print(
        f"full costs take about {seconds:.0f} s, more than a slice: left out, the quick ones stay",
        flush=True,
    )
    return False


def pack(folder: Path, name: str) -> list[Path]:
    """Database, results, reports and figures as pieces of one archive that are small enough to send.

    Raises:
        SystemExit: there would be too many.
    """
    packed = folder / PACKED
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir(parents=True)
    archive = packed / "reference.tar.xz"
    kept = [folder / DATABASE, *folder.glob(f"{DATABASE.with_suffix('')}.*-measured")]
    kept += [folder / "results/published" / name, *folder.glob(f"reports/*-{name}")]
    kept += folder.glob(f"benchmarks/results/{name}.json")
    with tarfile.open(archive, "w:xz") as tar:
        for path in kept:
            if path.exists():
                tar.add(path, path.relative_to(folder))
    content = archive.read_bytes()
    archive.unlink()
    starts = range(0, len(content), PIECE_BYTES)
    if len(starts) > MOST_PIECES:
        sys.exit(f"{len(content)} bytes are more than {MOST_PIECES} pieces of {PIECE_BYTES}")
    pieces = [packed / f"{archive.name}.{number:02d}" for number in range(len(starts))]
    for piece, start in zip(pieces, starts, strict=True):
        piece.write_bytes(content[start : start + PIECE_BYTES])
    return pieces


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description=__doc__)
    parser.add_argument("--study", type=Path, default=Path("studies/attention.toml"))
    parser.add_argument("--data", type=Path, help="a folder or archive of images")
    parser.add_argument("--seeds", type=int, default=5, help="of every variant, the baseline too")
    parser.add_argument("--slice-seconds", type=float, help="end before so many seconds are over")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cuda")
    parser.add_argument("--folder", type=Path, default=Path(), help="the root of the project")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
