"""`python -m benchmarks.recipes`: the customary recipe against the best that could be written before there
were weight decay and label smoothing.

ResNet-18 for small images without attention, 3 epochs of 5,000 images, tested on 2,000, three seeds. Each
recipe gets the best of its settings, by the accuracy of its first seed on 2,000 validation images. All runs
are in one database; a second call goes on. `--data` is CIFAR-10 as images; `--short` shows with digits that
all runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ablate.datasets import open_dataset
from ablate.datasets.split import stratified_draw
from ablate.report.summary import Summary, summarize
from ablate.stats import Effect, Sample, effects
from ablate.stats.words import points, span
from ablate.store.reading.frames import Which, read_frames
from ablate.study.file import load_study
from ablate.system.messages.console import say

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results" / "recipes"
SEEDS = 3
SIZES = {"train": 5_000, "val": 2_000, "test": 2_000}
CUSTOMARY = "customary"

_USUAL = 'schedule = "cosine"\naugment = ["crop", "flip"]\n'
RECIPES = {
    CUSTOMARY: _USUAL
    + 'optimizer = "sgd"\nnesterov = true\nweight_decay = 5e-4\nlabel_smoothing = 0.1\nwarmup_epochs = 0.5',
    "sgd": _USUAL + 'optimizer = "sgd"',
    "adam": _USUAL + 'optimizer = "adam"',
    "default": "",
}
"""What differs. All but the first could be written before; the last is a study without these keys."""


class Setting(NamedTuple):
    """What a recipe is tuned by."""

    batch_size: int
    learning_rate: float


SETTINGS = {
    CUSTOMARY: tuple(
        starmap(Setting, [(32, 0.02), (32, 0.01), (16, 0.01), (16, 0.005), (8, 0.005)])
    ),
    "sgd": tuple(starmap(Setting, [(32, 0.01), (16, 0.01)])),
    "adam": tuple(starmap(Setting, [(64, 1e-3), (32, 1e-3), (16, 1e-3)])),
    "default": (Setting(64, 1e-3),),
}

STUDY = """\
name = "recipe-{name}"
dataset = "{dataset}"
backbone = "{backbone}"

[recipe]
epochs = {epochs}
{recipe}

[[grid]]
attention = "none"
"""


def main(arguments: Sequence[str]) -> int:
    """Train what is missing, seed by seed, and say how the recipes differ; 2 without images to train on."""
    asked = _parser().parse_args(arguments)
    if asked.data is None and not asked.short:
        say("benchmarks.recipes: name the images with --data PATH, or give --short")
        return 2
    asked.folder.mkdir(parents=True, exist_ok=True)
    images = None if asked.short else some_images(asked.data, asked.folder / "cifar10-part.npz")
    files = dict(_studies(asked.folder, short=asked.short))
    for name, file in files.items():
        for setting in SETTINGS[name]:
            if code := _train(file, setting, 1, asked, images):
                return code
    best = {name: best_setting(name, file, asked.folder) for name, file in files.items()}
    for seed in range(2, (2 if asked.short else SEEDS) + 1):
        for name, file in files.items():
            if code := _train(file, best[name], seed, asked, images):
                return code
    samples = {
        name: _summary(f, best[name], asked.folder).samples["none"] for name, f in files.items()
    }
    for name, setting in best.items():
        say(
            f"{name}: batches of {setting.batch_size}, learning rate {setting.learning_rate:g}: of "
            f"{len(SETTINGS[name])} the best on validation images"
        )
    for line in told(samples):
        say(line)
    return 0


def best_setting(name: str, file: Path, folder: Path) -> Setting:
    """The setting with the highest validation accuracy of the first seed."""

    def seen(setting: Setting) -> float:
        runs = _summary(file, setting, folder).runs
        return float(runs.loc[runs["seed"] == 1, "val_accuracy"].iloc[0])

    return max(SETTINGS[name], key=seen)


def told(samples: Mapping[str, Sample]) -> Iterator[str]:
    """The accuracy of each recipe, and the customary one against the best of the others."""
    for name, sample in samples.items():
        yield f"{name}: {100 * (sample.mean or 0):.2f} % of the test images, {len(sample.seeds)} seeds"
    others = {name: sample for name, sample in samples.items() if name != CUSTOMARY}
    best = max(others, key=lambda name: others[name].mean or 0)
    found: Effect = effects({best: samples[best], CUSTOMARY: samples[CUSTOMARY]}, best)[CUSTOMARY]
    yield (
        f"{CUSTOMARY} against {best}, the best of the others: {points(found.difference)} points "
        f"({span(found.low, found.high)}), {found.verdict}"
    )


def some_images(data: Path, out: Path) -> Path:
    """Training, validation and test images in the proportions of the classes, as a file of their own."""
    if out.exists():
        return out
    images = open_dataset("images", data, 32).load()
    rows = stratified_draw(images.train_labels, SIZES["train"] + SIZES["val"], seed=0)
    held = stratified_draw(images.train_labels[rows], SIZES["val"], seed=0)
    test = stratified_draw(images.test_labels, SIZES["test"], seed=0)
    train = np.delete(rows, held)
    arrays = {
        "train": (images.train_images[train], images.train_labels[train]),
        "val": (images.train_images[rows[held]], images.train_labels[rows[held]]),
        "test": (images.test_images[test], images.test_labels[test]),
    }
    named = {
        f"{part}_{kind}": array
        for part, pair in arrays.items()
        for kind, array in zip(("images", "labels"), pair, strict=True)
    }
    np.savez(out, **named)  # type: ignore[arg-type]
    return out


def _studies(folder: Path, *, short: bool) -> Iterator[tuple[str, Path]]:
    what = (
        {"dataset": "digits", "backbone": "cbam_cnn(width=0.25)", "epochs": 1}
        if short
        else {"dataset": "images", "backbone": "torchvision:resnet18(stem=small)", "epochs": 3}
    )
    for name, recipe in RECIPES.items():
        file = folder / f"{name}.toml"
        file.write_text(STUDY.format(name=name, recipe=recipe, **what), encoding="utf-8")
        yield name, file


def _train(
    file: Path, setting: Setting, seeds: int, asked: argparse.Namespace, images: Path | None
) -> int:
    command = [sys.executable, "-m", "ablate", "run", str(file), "--seeds", str(seeds)]
    command += [word for key in _of(setting) for word in ("--set", key)]
    command += ["--db", f"sqlite:///{asked.folder / 'recipes.db'}", "--no-measure"]
    command += ["--device", asked.device, "--workers", str(asked.workers)]
    command += [] if images is None else ["--data", str(images)]
    return subprocess.run(command, check=False).returncode


def _of(setting: Setting) -> list[str]:
    return [f"recipe.{key}={value}" for key, value in setting._asdict().items()]


def _summary(file: Path, setting: Setting, folder: Path) -> Summary:
    study = load_study(file, _of(setting))
    url = f"sqlite:///{folder / 'recipes.db'}"
    return summarize(read_frames(url, study.name, study.setting, Which(preferred="")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("--data", type=Path, help="CIFAR-10 as a folder or archive of images")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--short", action="store_true", help="digits, one epoch, no figures")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
