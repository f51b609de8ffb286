"""The file of figures: one section a benchmark, each with where and when it was measured.

A benchmark replaces its own sections and leaves the others, so that a full measurement can be made
in pieces. Figures of unlike machines are never put into one file.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ablate.system.hardware.machine import find_machine
from ablate.system.hardware.processor import count_cores
from ablate.system.software.environment import describe_environment, package_version
from benchmarks.options import Options
from benchmarks.race import BenchmarkError

PEERS = ("pytorch-lightning", "timm")


def describe_conditions(options: Options) -> dict[str, Any]:
    """Everything about this machine and this measurement that a reader may ask for.

    Of the images only the dataset's name: where they lie is nobody's business.
    """
    machine = find_machine(options.device)
    environment = {k: v for k, v in describe_environment().items() if k != "command"}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": machine.name,
        "cores": count_cores(),
        "threads": torch.get_num_threads(),
        "precision": machine.precision.name,
        "dataset": options.field("none").dataset.label,
        "rounds": options.rounds,
        "steps": options.steps,
        "short": options.short,
        "environment": environment | {name: package_version(name) for name in PEERS},
    }


def load(path: Path) -> dict[str, Any]:
    """All sections, none where there is no file yet."""
    if not path.exists():
        return {}
    sections: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return sections


def merge(path: Path, name: str, figures: dict[str, Any], place: dict[str, Any]) -> None:
    """Put one section into the file.

    Raises:
        BenchmarkError: the file has figures of another device.
    """
    sections = load(path)
    for other, section in sections.items():
        if section["place"]["device"] != place["device"]:
            raise BenchmarkError(
                f"{path}: its section {other!r} comes from {section['place']['device']!r}, this is "
                f"{place['device']!r}; give another --out"
            )
    sections[name] = {"place": place, "figures": figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(sections, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
