"""`ablate init`: a study file for a network and a folder of images, with the places for attention."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from ablate.commands.ready import write_new
from ablate.datasets import open_dataset
from ablate.errors import PlacementError
from ablate.network.places import Place, find_places, group_places
from ablate.network.trace import check_classifies
from ablate.plan import make_plan
from ablate.study.file import parse_study
from ablate.study.position import escape

REDUCTION = 16
MOST_POSITIONS = 4

TEMPLATE = """\
# ablate plan {file} --data {data}{allowed}
# ablate run {file} --data {data}{allowed}
# ablate report {file} --data {data}
name = {name}
question = {question}
dataset = "images"    # those that --data names
image_size = {image_size}       # the side in pixels to which they are brought
backbone = {backbone}
baseline = "none"
seeds = 5             # runs of each variant: fewer decide less

[recipe]
epochs = 20
augment = ["crop", "flip"]

[[grid]]
attention = "none"

# A table is the product of its lists. `identity` and `random_gate` are controls that learn nothing.
[[grid]]
attention = "se"
position = {positions}
reduction = {reduction}

[[grid]]
attention = "cbam"
position = {positions}
reduction = {reduction}
kernel_size = 7

# Attention can go after these modules of the network; `+` joins several, `*` stands for any part.
# path, channels, number of modules
{places}
"""


def write_study(
    backbone: str, data: Path, out: Path | None, image_size: int, packages: list[str]
) -> Path:
    """Write a study file that can be planned as it stands, and return its path.

    Raises:
        AblateError: the backbone or the images cannot be used.
        OutputError: there is such a file already, or it cannot be written.
    """
    classes = len(open_dataset("images", data, image_size).classes())
    check_classifies(backbone, classes, image_size)
    places = {p: q for p, q in find_places(backbone, classes, image_size).items() if not q.problem}
    if not places:
        raise PlacementError(f"{backbone} has no module after which attention can go")
    name = re.sub(r"[^a-z0-9]+", "-", backbone.lower()).strip("-")[:64] or "study"
    file = out or Path(f"{name}.toml")
    positions = suggest_positions(places)
    text = TEMPLATE.format(
        file=file,
        data=data,
        allowed="".join(f" --allow-import {package}" for package in packages),
        name=_toml(name),
        question=_toml(f"Does attention help {backbone} on {data.name}, and where?"),
        image_size=image_size,
        backbone=_toml(backbone),
        positions=_toml([escape(path) for path in positions]),
        reduction=min(REDUCTION, *(places[path].shape[0] for path in positions)),
        places=_list(backbone, classes, image_size),
    )
    make_plan(parse_study(tomllib.loads(text), str(file)), data)
    write_new(file, text.encode())
    return file


def suggest_positions(places: dict[str, Place]) -> list[str]:
    """The last module at each of the deepest resolutions, outermost modules first: the ends of stages."""
    stages: dict[tuple[int, ...], str] = {}
    for path, place in places.items():
        size = place.shape[1:]
        if size not in stages or path.count(".") <= stages[size].count("."):
            stages[size] = path
    maps = [path for size, path in stages.items() if min(size) > 1]
    return (maps or list(stages.values()))[-MOST_POSITIONS:]


def _list(backbone: str, classes: int, image_size: int) -> str:
    """A comment line for each group of places."""
    places = find_places(backbone, classes, image_size)
    lines = []
    for glob, paths in group_places(places).items():
        channels = sorted({places[path].shape[0] for path in paths})
        span = f"{channels[0]}" if len(channels) == 1 else f"{channels[0]} to {channels[-1]}"
        lines.append(f"#   {glob:<40} {span:<14} {len(paths)}")
    return "\n".join(lines)


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # its strings and lists are TOML's too
