"""A study so small that a run takes a fraction of a second, and one of many cells that nobody trains."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from ablate.plan import Plan, make_plan
from ablate.study.file import parse_study

STUDY = """
name = "tiny"
question = "What is left after a kill?"
dataset = "images"
image_size = 32
backbone = "cbam_cnn(width=0.125)"
seeds = 1

[recipe]
epochs = 6
batch_size = 32
augment = ["crop"]
precision = "fp32"

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = ["pool1", "pool2", "pool3", "pool1+pool3"]
reduction = 4

[[grid]]
attention = "cbam"
position = "pool3"
reduction = 4
kernel_size = [3, 5, 7]
"""
"""Eight variants of one seed: the weights of seed 1 are kept, so all of them can be compared."""

CLASSES, TRAIN, TEST = 4, 24, 4


def make_images(folder: Path) -> Path:
    """A folder of small random PNG files, the same each time; made once."""
    target = folder / "images"
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("test", TEST)):
        for label in range(CLASSES):
            place = target / split / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 128, (32, 32, 3), dtype=np.uint8) + np.uint8(32 * label)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return target


def tiny_plan(folder: Path, **recipe: object) -> Plan:
    """The tiny study, to be trained for real; its images are made and prepared."""
    document = tomllib.loads(STUDY)
    document["recipe"] |= recipe
    plan = make_plan(parse_study(document, "torture"), make_images(folder))
    plan.dataset.load()
    return plan


def wide_plan(folder: Path, cells: int, name: str = "wide", **recipe: object) -> Plan:
    """One network under that many seeds: cells to be claimed by those who train nothing."""
    document = tomllib.loads(STUDY) | {"name": name, "seeds": cells}
    document["grid"] = document["grid"][:1]
    document["recipe"] |= recipe
    return make_plan(parse_study(document, "torture"), make_images(folder))


def many_plan(folder: Path, cells: int, **recipe: object) -> Plan:
    """So many cells or a few more, of the tiny study's eight networks: more than one network has seeds."""
    document = tomllib.loads(STUDY)
    document |= {"name": "many", "seeds": -(-cells // 8)}
    document["recipe"] |= recipe
    return make_plan(parse_study(document, "torture"), make_images(folder))


def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]
