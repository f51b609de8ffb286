"""Shows images to networks and draws what happened inside: from networks to an Explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ablate.datasets import open_dataset
from ablate.datasets.base import Images
from ablate.errors import StudyError
from ablate.explain.inputs import Inputs, gate_images, image_file, normalised, test_samples
from ablate.explain.networks import LoadedNetwork, load_networks
from ablate.explain.titles import labels
from ablate.measure.activations import capture, find_layers
from ablate.measure.gates import statistics
from ablate.page import canvas, pictures
from ablate.page.pictures import ChangeRow, Distribution, Heat, WeightRow
from ablate.result.maps import Array, Gate, GateStatistics, Seen, spread, strongest
from ablate.study import Study
from ablate.system.messages.language import N_, _
from ablate.system.messages.pulse import PULSE
from ablate.system.software.imports import prints_to_stderr

BATCH = 64
DRAWING = N_("drawing pictures")
MAX_ROWS = 8
"""Attention modules that one picture shows; of more, so many are chosen evenly over the depth."""


@dataclass(frozen=True)
class GateRow:
    """The values of one gate over the test images, with their statistics; `network` is its title.

    Shape: values (N, C) for `kind` "channel", (N, H, W) for "spatial".
    """

    network: str
    path: str
    kind: str
    values: Array
    statistics: GateStatistics


@dataclass(frozen=True)
class Picture:
    """A figure with what a reader needs beside it."""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Explanation:
    """What attention does in some networks: arrays and pictures of the same.

    `seen` has one entry for each network, with all images of `inputs` as its batch.
    """

    study: str
    dataset: str
    networks: tuple[LoadedNetwork, ...]
    inputs: Inputs
    classes: tuple[str, ...]
    seen: tuple[Seen, ...]
    gates: tuple[GateRow, ...]
    pictures: tuple[Picture, ...]

    @property
    def figures(self) -> dict[str, Figure]:
        """The pictures by name, for a notebook to show."""
        return {picture.name: picture.figure for picture in self.pictures}


@dataclass(frozen=True)
class Request:
    """What to explain: targets of one study, shown one image file or some test images."""

    targets: tuple[str, ...]
    study: Study
    url: str
    image: Path | None = None
    samples: int = 2
    layers: tuple[str, ...] = ()
    data: Path | None = None


@prints_to_stderr()
def explain_networks(request: Request) -> Explanation:
    """Find the networks, show them the images and draw what happened.

    Raises:
        AblateError: a target, layer, image, dataset or weights that must be changed.
    """
    study = request.study
    dataset = open_dataset(study.dataset, request.data, study.image_size, study.data).pinned()
    file = image_file(request.image, dataset) if request.image else None
    PULSE.step(_("loading networks"))
    networks = load_networks(request.targets, study, dataset, request.url)
    patterns = request.layers
    PULSE.step(_("reading images"))
    layers = [find_layers(s.net, dataset.image_size, patterns) for s in networks]
    images = dataset.load().in_fold(_fold_of(networks, study))
    images = images.normalised_by(study.recipe.normalize)
    inputs = file or test_samples(images, request.samples)
    batch = normalised(inputs.pixels, images)
    seen = [capture(s.net, batch, paths) for s, paths in zip(networks, layers, strict=True)]
    gates: list[GateRow] = []
    for done, network in enumerate(networks):
        PULSE.count(_("gates of networks over the test images"), done, len(networks))
        gates += _gate_rows(network, images)
    drawn = _drawn(
        _pictures(networks, seen, inputs, images.classes), _gate_picture(gates), len(inputs.names)
    )
    return Explanation(
        study=study.name,
        dataset=dataset.label,
        networks=tuple(networks),
        inputs=inputs,
        classes=images.classes,
        seen=tuple(seen),
        gates=tuple(gates),
        pictures=tuple(drawn),
    )


def _fold_of(networks: Sequence[LoadedNetwork], study: Study) -> int | None:
    """The fold whose test images networks are shown, None without folds: none sees what it was trained on.

    Raises:
        StudyError: they were tested on other images each.
    """
    found = sorted({network.fold for network in networks if network.fold is not None})
    if len(found) > 1:
        raise StudyError(
            f"these networks are of the folds {', '.join(map(str, found))}, each of which was trained on "
            "what the others are tested on: name runs of one fold"
        )
    return found[0] if found else (None if study.data.folds is None else 1)


def _drawn(of_images: Iterator[Picture], of_gates: Iterator[Picture], images: int) -> list[Picture]:
    """All pictures: four of each image and one of gates, fewer without attention."""
    drawn: list[Picture] = []
    with canvas.style():
        PULSE.count(DRAWING, 0, 4 * images + 1)
        for picture in chain(of_images, of_gates):
            drawn.append(picture)
            PULSE.count(DRAWING, len(drawn), 4 * images + 1)
    return drawn


def _gate_rows(network: LoadedNetwork, images: Images) -> Iterator[GateRow]:
    """Every gate of a network over the test images."""
    pixels = gate_images(images)
    batches = [
        capture(network.net, normalised(pixels[start : start + BATCH], images)).gates
        for start in range(0, len(pixels), BATCH)
    ]
    for parts in zip(*batches, strict=True):
        for kind in ("channel", "spatial"):
            values = [part for gate in parts if (part := getattr(gate, kind)) is not None]
            if len(values) < len(parts) or not parts:
                continue  # of some batches alone: no gate of that kind
            numbers = statistics(np.concatenate(values))
            if numbers is not None:
                yield GateRow(network.title, parts[0].path, kind, np.concatenate(values), numbers)


def _pictures(
    networks: Sequence[LoadedNetwork], seen: Sequence[Seen], inputs: Inputs, classes: Sequence[str]
) -> Iterator[Picture]:
    """The pictures of each image, all networks side by side."""
    for i, name in enumerate(inputs.names):
        number = f"-{i + 1}" if len(inputs.names) > 1 else ""
        titles = labels([s.title for s in networks])
        yield Picture(
            f"feature-maps{number}",
            _("Feature maps of {name}", name=name),
            _(
                "The first {channels} channels after each layer, each on its own scale from "
                "its lowest value (dark) to its highest (yellow).",
                channels=pictures.CHANNELS,
            ),
            pictures.feature_maps(
                [
                    (t, {p: m[i] for p, m in s.maps.items()})
                    for t, s in zip(titles, seen, strict=True)
                ]
            ),
        )
        heats = [_heat(t, s, inputs, classes, i) for t, s in zip(titles, seen, strict=True)]
        yield Picture(
            f"heat-maps{number}",
            _("Heat maps of {name}", name=name),
            _(
                "For each layer the three channels with the highest mean activation, each "
                "from its lowest value (blue) to its highest (red), enlarged and laid over "
                "the image."
            ),
            pictures.heat_maps(heats),
        )
        gates = [
            (f"{s.title}, {gate.path}", gate)
            for s, found in zip(networks, seen, strict=True)
            for gate in spread(found.gates, MAX_ROWS)
        ]
        if gates:
            rows = labels([title for title, _gate in gates], 80)
            shown = list(zip(rows, (gate for _title, gate in gates), strict=True))
            yield from _gate_pictures(shown, i, name, number)


def _gate_pictures(
    gates: Sequence[tuple[str, Gate]], i: int, name: str, number: str
) -> Iterator[Picture]:
    yield Picture(
        f"attention{number}",
        _("Before and after attention: {name}", name=name),
        _(
            "The first {channels} channels just before and just after each attention "
            "module, on one scale for each channel, and the difference.",
            channels=pictures.CHANNELS,
        ),
        pictures.before_and_after(
            [ChangeRow(t, gate.before[i], gate.after[i]) for t, gate in gates]
        ),
    )
    yield Picture(
        f"weights{number}",
        _("Weights of {name}", name=name),
        _(
            "The weight that attention gives each channel and each place. A channel "
            "without a bar is 0 everywhere in this image, so that its weight cannot be "
            "seen."
        ),
        pictures.weights([_weight_row(t, gate, i) for t, gate in gates]),
    )


def _gate_picture(gates: Sequence[GateRow]) -> Iterator[Picture]:
    if not gates:
        return
    shown = spread(gates, MAX_ROWS)
    titles = labels([f"{g.network}: {g.path}, {g.kind}" for g in shown], 90)
    rows = [Distribution(t, g.values, g.statistics) for t, g in zip(titles, shown, strict=True)]
    yield Picture(
        "gates",
        _("Gate values over the test set"),
        _(
            "Every weight of each gate over {images:,} test images.",
            images=gates[0].statistics.images,
        ),
        pictures.distributions(rows),
    )


@canvas.worded
def _heat(title: str, seen: Seen, inputs: Inputs, classes: Sequence[str], i: int) -> Heat:
    words = [] if (true := inputs.true[i]) is None else [_("true {true}", true=true)]
    words += (
        []
        if seen.predicted is None
        else [_("predicted {predicted}", predicted=classes[seen.predicted[i]])]
    )
    layers = tuple(strongest(path, maps[i]) for path, maps in seen.maps.items())
    return Heat(title, canvas.label(", ".join(words)), inputs.pixels[i], layers)


def _weight_row(title: str, gate: Gate, i: int) -> WeightRow:
    return WeightRow(
        title,
        None if gate.channel is None else gate.channel[i],
        None if gate.spatial is None else gate.spatial[i],
    )
