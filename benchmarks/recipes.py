"""`python -m benchmarks.recipes`: the customary recipe against the best that could be written before there
were weight decay and label smoothing.

ResNet-18 for small images without attention, 3 epochs of 5,000 images, tested on 10,000, three seeds. Each
recipe gets the best of its settings, by the accuracy of its first seed on 5,000 validation images: all of
them are the contexts of a study of its own. A second call goes on. `--data` is CIFAR-10 as images;
`--at-once` trains the recipes side by side, which a GPU has room for; `--short` shows with digits that all
of it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ablate.datasets import open_dataset
from ablate.datasets.split import stratified_draw
from ablate.report.summary import Summary, summarize
from ablate.stats import Effect, Sample, effects
from ablate.stats.words import points, span
from ablate.store.reading.frames import Which, read_frames
from ablate.study import Study
from ablate.study.contexts import assignments_of
from ablate.study.file import load_studies
from ablate.system.messages.console import say
from ablate.system.messages.context import context_name

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results" / "recipes"
SEEDS = 3
SIZES = {"train": 5_000, "val": 5_000, "test": 10_000}
CUSTOMARY = "customary"

_USUAL = 'schedule = "cosine"\naugment = ["crop", "flip"]\n'
RECIPES = {
    CUSTOMARY: _USUAL
    + 'optimizer = "sgd"\nnesterov = true\nlabel_smoothing = 0.1\nwarmup_epochs = 0.5',
    "sgd": _USUAL + 'optimizer = "sgd"',
    "adam": _USUAL + 'optimizer = "adam"',
    "default": "",
}
"""What differs. All but the first could be written before; the last is a study without these keys."""

SETTINGS: dict[str, dict[str, list[Any]]] = {
    CUSTOMARY: {
        "batch_size": [8, 16, 32],
        "learning_rate": [0.0025, 0.005, 0.01, 0.02],
        "weight_decay": [5e-4, 5e-3, 2e-2],
    },
    "sgd": {"batch_size": [8, 16, 32], "learning_rate": [0.0025, 0.005, 0.01, 0.02, 0.04]},
    "adam": {"batch_size": [8, 16, 32, 64], "learning_rate": [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3]},
    "default": {"batch_size": [64], "learning_rate": [1e-3]},
}
"""What each is tuned by: all combinations."""

STUDY = """\
name = "recipe-{name}"
dataset = "{dataset}"
backbone = "{backbone}"

[recipe]
epochs = {epochs}
{recipe}
{settings}

[[grid]]
attention = "none"
"""


def main(arguments: Sequence[str]) -> int:
    """Train what is missing and say how the recipes differ; 2 without images to train on."""
    asked = _parser().parse_args(arguments)
    if asked.data is None and not asked.short:
        say("benchmarks.recipes: name the images with --data PATH, or give --short")
        return 2
    asked.folder.mkdir(parents=True, exist_ok=True)
    images = None if asked.short else some_images(asked.data, asked.folder / "cifar10-part.npz")
    files = dict(_studies(asked.folder, short=asked.short))
    everything = [_command(file, [], 1, asked, images) for file in files.values()]
    if code := _train(everything, at_once=asked.at_once):
        return code
    best = {name: best_context(file, asked.folder) for name, file in files.items()}
    seeds = 2 if asked.short else SEEDS
    more = [
        _command(file, assignments_of(best[name].context), seeds, asked, images)
        for name, file in files.items()
    ]
    if code := _train(more, at_once=asked.at_once):
        return code
    for name, file in files.items():
        say(f"{name}, validation accuracy of seed 1:")
        for study in load_studies(file):
            accuracy = _validated(study, asked.folder, name)
            found = "failed" if accuracy is None else f"{100 * accuracy:.2f} %"
            chosen = ", the best" if study.context == best[name].context else ""
            say(f"  {context_name(study.context) or 'as it is'}: {found}{chosen}")
    samples = {
        name: _summary(study, asked.folder, name).samples["none"] for name, study in best.items()
    }
    for line in told(samples):
        say(line)
    return 0


def best_context(file: Path, folder: Path) -> Study:
    """The setting with the highest validation accuracy of the first seed."""
    return max(load_studies(file), key=lambda study: _validated(study, folder, file.stem) or 0.0)


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
        settings = {key: values[-2:] if short else values for key, values in SETTINGS[name].items()}
        lines = "\n".join(f"{key} = {values}" for key, values in settings.items())
        text = STUDY.format(name=name, recipe=recipe, settings=lines, **what)
        file.write_text(text, encoding="utf-8")
        yield name, file


def _command(
    file: Path, setting: Sequence[str], seeds: int, asked: argparse.Namespace, images: Path | None
) -> list[str]:
    command = [sys.executable, "-m", "ablate", "run", str(file), "--seeds", str(seeds)]
    command += [word for key in setting for word in ("--set", key)]
    command += ["--db", _database(asked.folder, file.stem), "--no-measure", "--keep", "none"]
    command += ["--device", asked.device, "--workers", str(asked.workers)]
    command += ["--step-path", asked.step_path]
    return command + ([] if images is None else ["--data", str(images)])


def _train(commands: Sequence[Sequence[str]], *, at_once: bool) -> int:
    """One after the other, or all side by side: the exit code of the worst."""
    if not at_once:
        return next(
            filter(None, (subprocess.run(each, check=False).returncode for each in commands)), 0
        )
    started = [subprocess.Popen(each) for each in commands]
    return max(abs(process.wait()) for process in started)


def _database(folder: Path, name: str) -> str:
    """One for each recipe, so that they can be trained side by side."""
    return f"sqlite:///{folder / name}.db"


def _validated(study: Study, folder: Path, name: str) -> float | None:
    """The validation accuracy of the first seed, None where that run failed."""
    runs = _summary(study, folder, name).runs
    seen = runs.loc[runs["seed"] == 1, "val_accuracy"].dropna()
    return None if seen.empty else float(seen.iloc[0])


def _summary(study: Study, folder: Path, name: str) -> Summary:
    url = _database(folder, name)
    return summarize(read_frames(url, study.name, study.setting, Which(preferred="")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("--data", type=Path, help="CIFAR-10 as a folder or archive of images")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--step-path", choices=("auto", "eager", "graph"), default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--at-once", action="store_true", help="the recipes side by side")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--short", action="store_true", help="digits, one epoch, no figures")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
