"""`python -m benchmarks.wheelhouse`: what a Python that has torch lacks, for a machine without a network.

`collect` is run where there is a network: it fetches the wheels that the lock names, but for torch and what
only torch needs, for the Python that is named. `unpack` is run by that Python: it unpacks those that it lacks
into a folder to be put on PYTHONPATH, and installs nothing. `missing` says which these are.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("pytest", "pytest-xdist")
"""Beside what the program needs: with it `make gpu-check` runs."""
THERE = ("torch", "torchvision")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "linux")
"""What the wheels may be built for, the newest first; all run where torch 2.11 runs."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A line of the lock: a package, its version, where it is meant for and who asked for it."""

    name: str
    version: str
    marker: str
    wanted_by: tuple[str, ...]


def read_pins(lock: str) -> Iterator[Pin]:
    """The pins of a lock as uv writes it."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        head = re.match(r"([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? ?\\?\n", block)
        if head:
            said = block.partition("# via")[2]
            by = (name.strip(" #") for name in said.splitlines())
            names = tuple(name.partition(" ")[0] for name in by if name)
            yield Pin(head[1], head[2], head[3] or "", names)


def needed(pins: Sequence[Pin], roots: Iterable[str]) -> list[Pin]:
    """Those that the roots need, themselves among them, other than by way of torch."""
    found, left = set[str](), [name for name in roots if name not in THERE]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [pin.name for pin in pins if name in pin.wanted_by and pin.name not in THERE]
    return [pin for pin in pins if pin.name in found]


def wanted(root: Path = ROOT) -> list[Pin]:
    """What the program and its tests need of the lock, but for torch."""
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    names = [re.split(r"[\[<>=!~ ]", each)[0] for each in document["project"]["dependencies"]]
    pins = list(read_pins((root / "requirements.lock").read_text(encoding="utf-8")))
    return needed(pins, [*names, *TESTS])


def is_meant_for(pin: Pin, python: str) -> bool:
    """Whether the line is for Linux with that version of Python."""
    from packaging.markers import Marker  # noqa: PLC0415 - a Python that only unpacks may lack it

    place = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }
    return not pin.marker or Marker(pin.marker).evaluate(place)


def collect(python: str, folder: Path, only: Sequence[str] = ()) -> int:
    """Fetch the wheels for a version of Python, all or those of these names, into a folder."""
    pins = [pin for pin in wanted() if is_meant_for(pin, python)]
    if unknown := set(only) - {pin.name for pin in pins}:
        print(f"wheelhouse: not in the lock for Python {python}: {', '.join(sorted(unknown))}")
        return 2
    chosen = [f"{pin.name}=={pin.version}" for pin in pins if not only or pin.name in only]
    platforms = [f"--platform={each}_x86_64" for each in PLATFORMS]
    # pip of this environment, or of whatever starts it: an environment that uv made has none.
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        f"--python-version={python}", *platforms, f"--dest={folder}", *chosen,
    ]  # fmt: skip
    if code := subprocess.run(command, check=False).returncode:
        return code
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    print(f"{len(chosen)} wheels for Python {python} in {folder} ({size / 2**20:.0f} MiB)")
    return 0


def have() -> dict[str, str]:
    """The version of everything that this Python has."""
    return {normal(each.name): each.version for each in metadata.distributions() if each.name}


def missing(versions: Mapping[str, str]) -> list[str]:
    """The names of the lock that a Python with these packages lacks."""
    return sorted({pin.name for pin in wanted()} - set(versions))


def unpack(folder: Path, into: Path) -> int:
    """Unpack the wheels of a folder whose packages this Python lacks."""
    lacking, wheels = set(missing(have())), sorted(folder.glob("*.whl"))
    named = {path: normal(path.name.partition("-")[0]) for path in wheels}
    chosen = [path for path in wheels if named[path] in lacking]
    if not wheels:
        print(f"wheelhouse: no wheels in {folder}: make wheelhouse FOR=3.12 collects them")
        return 2
    for path in chosen:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(into)  # zipfile drops the dots of a member that names a place above it
    print(
        f"{len(chosen)} of {len(wheels)} packages unpacked into {into}, this Python has the others"
    )
    left = sorted(lacking - set(named.values()) - {"colorama"})
    if left:
        print(f"  not there, and no wheel of it: {', '.join(left)}")
    return 0


def normal(name: str) -> str:
    """A package's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wheelhouse", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect")
    collecting.add_argument("python", help="its version: 3.12")
    collecting.add_argument("folder", type=Path)
    collecting.add_argument("only", nargs="*", help="only these packages")
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("into", type=Path)
    commands.add_parser("missing")
    asked = parser.parse_args(arguments)
    if asked.command == "collect":
        return collect(asked.python, asked.folder, asked.only)
    if asked.command == "unpack":
        return unpack(asked.folder, asked.into)
    print(" ".join(missing(have())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
