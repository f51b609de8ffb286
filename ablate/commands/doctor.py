"""`ablate doctor`: what this machine has, and whether the database is well."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from ablate import __version__
from ablate.environment import PACKAGES, package_version
from ablate.errors import DatabaseError
from ablate.store.connect import parse_url
from ablate.store.read import check_integrity
from ablate.train.precision import choose_device, choose_precision, device_name

OPTIONAL = ("ray", "psycopg", "timm")
LOW_DISK_GIB = 2.0


def examine(url: str) -> bool:
    """Print one line for each thing looked at; False if something is wrong."""
    console, well = Console(), True
    for name, good, text in [*_software(), *_device(), *_storage(url)]:
        mark = {True: "ok   ", False: "WRONG", None: "     "}[good]
        console.print(f"{mark}  {name}: {text}", markup=False, highlight=False, soft_wrap=True)
        well = well and good is not False
    return well


Finding = tuple[str, bool | None, str]
"""What was looked at, whether it is well (None: a fact that is neither), and what was seen."""


def _software() -> Iterator[Finding]:
    yield (
        "ablate",
        None,
        f"{__version__}, Python {platform.python_version()}, {platform.platform()}",
    )
    for name in PACKAGES[1:]:
        version = package_version(name)
        yield name, version is not None, version or "not installed"
    for name in OPTIONAL:
        yield f"{name} (optional)", None, package_version(name) or "not installed"


def _device() -> Iterator[Finding]:
    device = choose_device("auto")
    yield "device", None, f"{device_name(device)} ({device.type})"
    if device.type == "cpu":
        why = (
            "this torch build has no CUDA"
            if not torch.version.cuda
            else "torch finds no CUDA device"
        )
        yield "CUDA", None, why
    yield "amp means here", None, choose_precision("amp", device).name
    yield "TF32", None, "off: fp32 means fp32"


def _storage(url: str) -> Iterator[Finding]:
    path = Path(str(parse_url(url).database))
    there = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    yield "disk", free_gib >= LOW_DISK_GIB, f"{free_gib:.1f} GiB free at {there}"
    if not path.exists():
        yield "database", None, f"{path}: none yet"
        return
    try:
        problems = check_integrity(url)
        yield "database", not problems, f"{path}: " + ("; ".join(problems) or "intact")
    except DatabaseError as error:
        yield "database", False, str(error)
