"""What the tests of the report share: frames of a made-up study, and a reader of its page."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from ablate.page import canvas
from ablate.page.both import for_both
from ablate.page.vector import Picture
from ablate.report import gallery
from ablate.report.render import render
from ablate.result.image_results import Bits, ImageResults
from ablate.store.reading.frames import Frames

TWO = {"none": 0.83, "up": 0.85}
H200 = "NVIDIA H200"
IMAGES = 2000
CBAM = {"cbam(pool*, r=4, k=3)": (4, 3), "cbam(pool*, r=4, k=7)": (4, 7),
        "cbam(pool*, r=16, k=3)": (16, 3), "cbam(pool*, r=16, k=7)": (16, 7)}  # fmt: skip


def make_frames(
    means: dict[str, float],
    *,
    seeds: int = 4,
    sd: float = 0.002,
    epochs: int = 3,
    steps: int = 4,
    devices: tuple[str, ...] = (H200,),
    split: str = "validation",
    **study: Any,
) -> Frames:
    """The frames of a study in which every run has finished; means are test accuracies."""
    rng = np.random.default_rng(11)
    runs, epoch_rows, step_rows = [], [], []
    bits, difficulty = {}, rng.permutation(IMAGES) / IMAGES
    for number, (name, mean) in enumerate(means.items()):
        reduction, kernel = CBAM.get(name, (None, None))
        attention = name.partition("(")[0]
        extra = 0 if attention == "none" else 2982 + 10 * number
        for seed in range(1, seeds + 1):
            key = f"{number:03d}{seed:03d}"
            right = difficulty + rng.normal(0, 0.01, IMAGES) < mean + rng.normal(0, sd)
            bits[key], accuracy = np.packbits(right).tobytes(), float(right.mean())
            runs.append(
                {
                    "run_key": key, "variant": name, "fingerprint": f"f{number}",
                    "attention": attention, "position": None if attention == "none" else "pool*",
                    "reduction": reduction, "kernel_size": kernel, "seed": seed,
                    "status": "finished", "failure": None, "error": None,
                    "val_accuracy": accuracy - 0.002, "test_accuracy": accuracy, "seconds": 60.0,
                    "parameters": 1_147_914 + extra, "attention_parameters": extra,
                    "macs": 5_900_000 + 30_000 * number,
                }
            )  # fmt: skip
            for epoch in range(1, epochs + 1):
                at = accuracy - 0.4 * np.exp(-3 * epoch / epochs) + rng.normal(0, sd)
                tested = split == "tutorial"
                epoch_rows.append(
                    {
                        "run_key": key, "epoch": epoch, "train_accuracy": at + 0.02,
                        "val_accuracy": None if tested else at,
                        "test_accuracy": at if tested else None,
                    }
                )  # fmt: skip
            for step in range(steps):
                loss = 2.3 * np.exp(-3 * step / steps) + 0.3 + abs(rng.normal(0, 0.05))
                step_rows.append({"run_key": key, "step": 100 * step, "batch_loss": loss})
    costs = [
        {
            "variant": name, "fingerprint": f"f{number}", "device": device, "precision": "amp",
            "mode": mode, "batch_size": 64, "protocol": "quick", "images_per_second": speed,
            "p10": 0.98 * speed, "p90": 1.01 * speed,
        }
        for number, name in enumerate(means)
        for device in devices
        for mode, base in (("train", 41_000), ("infer", 152_000))
        for speed in [base / (1 + 0.02 * number)]
    ]  # fmt: skip
    kernels = ["void cudnn::conv<float, 3>(a, b)", "ampere_gemm_64x64", "elementwise", "batch_norm",
               "max_pool2d", "softmax", "adam", "copy_", "sigmoid", "reduce"]  # fmt: skip
    profile = [
        {
            "fingerprint": f"f{number}", "device": devices[0], "path": "as_trained", "module": None,
            "operator": kernel, "self_device_us": us, "self_cpu_us": 5.0, "calls": 3.0,
            "share": us / 2000,
        }
        for number in range(min(4, len(means)))
        for us, kernel in zip(np.linspace(400, 20, 10) + 9 * number, kernels, strict=True)
    ]  # fmt: skip
    layers = [
        {
            "variant": name,
            "path": path,
            "kind": kind,
            "parameter": "weight",
            "count": n,
            "attention": a,
        }
        for name in means
        for path, kind, n, a in [
            ("conv1", "Conv2d", 864, False),
            ("fc1", "Linear", 1_048_576, False),
        ]
        + ([("pool1.attention", "CBAM", 2982, True)] if name != "none" else [])
    ]
    definition: dict[str, Any] = {
        "name": "attention",
        "question": "Does attention help a three-block CNN, where, and at what cost?",
        "baseline": "none", "dataset": "cifar10", "backbone": "cbam_cnn", "seeds": seeds,
        "baseline_seeds": None, "equivalence_margin": None, "image_size": 32,
        "recipe": {"epochs": 50, "batch_size": 64, "optimizer": "adam", "learning_rate": 1e-3,
                   "schedule": "plateau", "augment": ["crop", "flip"], "precision": "amp",
                   "split": split, "validation_fraction": 0.1},
        "variants": list(means), "aliases": {},
    }  # fmt: skip
    environment = {"commit": "0123abc", "tree_clean": True, "torch": "2.15.0", "gpu": H200,
                   "command": "ablate run studies/attention.toml"}  # fmt: skip
    return Frames(
        study=definition | study,
        runs=pd.DataFrame(runs),
        epochs=pd.DataFrame(epoch_rows),
        steps=pd.DataFrame(step_rows),
        costs=pd.DataFrame(costs),
        profile=pd.DataFrame(profile),
        layers=pd.DataFrame(layers),
        environments=[environment],
        images=ImageResults(Bits(bits, IMAGES)),
    )


class Page(HTMLParser):
    """What a browser would see: the text of each section, its tables, tags and attributes."""

    VOID = frozenset({"meta", "img", "br", "input", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.headers_without_scope = 0
        self._section = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = attributes["id"] or ""
            self.tables[self._section] = []
        if tag == "tr":
            self.tables[self._section].append([])
        if tag in ("th", "td"):
            self.tables[self._section][-1].append("")
        self.headers_without_scope += tag == "th" and "scope" not in attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        data = data.replace("\u00a0", " ")
        self.sections[self._section] = self.sections.get(self._section, "") + data
        if "th" in self.open or "td" in self.open:
            self.tables[self._section][-1][-1] += data

    def row(self, variant: str) -> dict[str, str]:
        """The row of one variant in the table of results, by the title of the column."""
        head, *rows = self.tables["results"]
        return next(dict(zip(head, row, strict=True)) for row in rows if row[0].startswith(variant))


def value(row: dict[str, str], title: str) -> str:
    return next(text for head, text in row.items() if head.startswith(title))


def written(frames: Frames) -> dict[str, bytes]:
    """The report's files without the time that drawing takes, for tests of its words: each figure is drawn
    once, for a broad window, and not written.
    """
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    drawn = Picture(svg, b"a picture", b"a document")
    with (
        mock.patch.object(canvas, "saved", return_value=drawn),
        mock.patch.object(gallery, "for_both", lambda d: d() if canvas.can_word() else for_both(d)),
    ):
        return render(frames)


def page(frames: Frames) -> Page:
    return Page(written(frames)["report.html"].decode())


def csv_rows(files: dict[str, bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["variants.csv"].decode(), newline="")))
