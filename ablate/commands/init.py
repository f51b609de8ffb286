"""`ablate init`: a study file for a network and a folder of images, with the places for attention."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from itertools import islice
from pathlib import Path
from statistics import median

from ablate.commands.ready import write_new
from ablate.datasets import open_dataset
from ablate.datasets.sides import shorter_sides
from ablate.errors import PlacementError
from ablate.measure.step_guards import find_overflow
from ablate.network.branches import find_branch_ends
from ablate.network.places import Place, find_places, group_places
from ablate.network.trace import check_classifies, make_outline
from ablate.plan import make_plan
from ablate.study.file import parse_study
from ablate.study.globs import group_paths
from ablate.study.position import escape
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.text import printable

REDUCTION = 16
LOOKED_AT = 200
LARGEST = 224
MOST_POSITIONS = 4
MOST_GLOBS = 4

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
{precision}
[[grid]]
attention = "none"

# A table is the product of its lists. `identity` and `random_gate` are controls that learn nothing.
# Customary places:
{customary}
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
    backbone: str, data: Path, out: Path | None, asked_size: int | None, packages: list[str]
) -> tuple[Path, int]:
    """Write a study file that can be planned as it stands; returns its path and the side of its images, which
    is their own unless another is asked for.

    Raises:
        AblateError: the backbone or the images cannot be used.
        OutputError: there is such a file already, or it cannot be written.
    """
    image_size = own_size(data) if asked_size is None else asked_size
    classes = len(open_dataset("images", data, image_size).classes())
    check_classifies(backbone, classes, image_size)
    places = {p: q for p, q in find_places(backbone, classes, image_size).items() if not q.problem}
    if not places:
        raise PlacementError(f"{backbone} has no module after which attention can go")
    name = re.sub(r"[^a-z0-9]+", "-", backbone.lower()).strip("-")[:64] or "study"
    file = out or Path(f"{name}.toml")
    stages = suggest_positions(places)
    branches = _branches(backbone, classes, image_size, places)
    positions = [*(["+".join(branches)] if branches else []), *map(escape, stages)]
    text = TEMPLATE.format(
        file=_word(file),
        data=_word(data),
        allowed="".join(f" --allow-import {package}" for package in packages),
        name=_toml(name),
        question=_toml(f"Does attention help {backbone} on {data.name}, and where?"),
        image_size=image_size,
        backbone=_toml(backbone),
        positions=_toml(positions),
        customary=_customary(branches, stages),
        precision=_precision(backbone, classes, image_size),
        reduction=min(REDUCTION, *(places[path].shape[0] for path in stages)),
        places=_list(backbone, classes, image_size),
    )
    make_plan(parse_study(tomllib.loads(text), str(file)), data)
    write_new(file, text.encode())
    return file, image_size


def own_size(data: Path) -> int:
    """The side that images have by themselves, by the first of them: the median of their shorter sides, and
    224 for larger ones, as is usual with photographs.

    Raises:
        DataError: they cannot be read.
    """
    sides = list(islice(shorter_sides(data), LOOKED_AT))
    return max(8, min(LARGEST, round(median(sides)))) if sides else 32


def suggest_positions(places: dict[str, Place]) -> list[str]:
    """The last module at each of the deepest resolutions, outermost modules first: the ends of stages."""
    stages: dict[tuple[int, ...], str] = {}
    for path, place in places.items():
        size = place.shape[1:]
        if size not in stages or path.count(".") <= stages[size].count("."):
            stages[size] = path
    maps = [path for size, path in stages.items() if min(size) > 1]
    return (maps or list(stages.values()))[-MOST_POSITIONS:]


def _branches(backbone: str, classes: int, image_size: int, places: dict[str, Place]) -> list[str]:
    """The ends of the residual branches, by globs that name nothing else; empty if there are too many."""
    ends = [path for path in find_branch_ends(backbone, classes, image_size) if path in places]
    globs = list(group_paths(ends, [path for path in places if path not in ends]))
    return globs if len(globs) <= MOST_GLOBS else []


def _customary(branches: list[str], stages: list[str]) -> str:
    """Comments that say which papers put attention there."""
    told = [f"# after each stage, as in BAM (arXiv 1807.06514): {', '.join(map(escape, stages))}"]
    if branches:
        told.insert(
            0,
            "# at the end of each residual branch, as in SE (arXiv 1709.01507) and CBAM (arXiv 1807.06521): "
            + "+".join(branches),
        )
    return "\n".join(told)


def _list(backbone: str, classes: int, image_size: int) -> str:
    """A comment line for each group of places."""
    places = find_places(backbone, classes, image_size)
    lines = []
    for glob, paths in group_places(places).items():
        channels = sorted({places[path].shape[0] for path in paths})
        span = f"{channels[0]}" if len(channels) == 1 else f"{channels[0]} to {channels[-1]}"
        lines.append(f"#   {glob:<40} {span:<14} {len(paths)}")
    return "\n".join(lines)


def _precision(backbone: str, classes: int, image_size: int) -> str:
    """A line that says fp32 where mixed precision would crash on this machine, which a plan refuses."""
    path = find_overflow(make_outline(backbone, classes, image_size), find_machine())
    if path is None:
        return ""
    return (
        f'precision = "fp32"    # mixed precision crashes on a CPU at {path} (oneDNN issue 6035)\n'
    )


def _word(path: Path) -> str:
    """A path as a shell takes it, in one line whatever it is called."""
    return printable(shlex.quote(str(path)))


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # its strings and lists are TOML's too
