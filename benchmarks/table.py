"""The committed figures → the tables in docs/benchmarks.md, between two markers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_table, record

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FIGURES = Path(__file__).parent / "results" / "cpu.json"
BEGIN = "<!-- written by `python -m benchmarks table` from the committed figures -->"
END = "<!-- end of the written part -->"
MISSING = "not measured"

NAMES = {
    "today": "tutorial as it stands",
    "lightning": "PyTorch Lightning",
    "timm": "timm's training script",
    "airbench": "airbench-style eager loop",
    "ablate": "**ablate**",
}
NETWORKS = {"none": "no attention", "se": "SE ×3", "cbam": "CBAM ×3"}


def write(document: Path = DOCUMENT, figures: Path = FIGURES) -> None:
    """Bring the document up to date."""
    text = document.read_text(encoding="utf-8")
    gpus = gpu_table.load_all(figures.parent)
    document.write_text(updated(text, record.load(figures), gpus), encoding="utf-8")


def updated(document: str, sections: dict[str, Any], gpus: Sequence[dict[str, Any]] = ()) -> str:
    """The document with everything between the markers written anew; `gpus` has a device each."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = "\n".join(_lines(sections, gpus))
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{after}"


def ratio(value: dict[str, Any]) -> str:
    """`×3.90 (3.71–4.10)`, without the interval after a single round."""
    text = f"×{value['ratio']:.2f}"
    if value["low"] is None:
        return text
    return f"{text} ({value['low']:.2f}–{value['high']:.2f})"


def _lines(sections: dict[str, Any], gpus: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from _engine(sections, on_gpu="below" if gpus else MISSING)
    for name, lines in (
        ("scaling", _scaling),
        ("decoding", _decoding),
        ("augmentation", _augmentation),
        ("parts", _parts),
        ("overhead", _overhead),
        ("everyday", _everyday),
        ("same", _same),
        ("amp", _amp),
    ):
        yield ""
        if name in sections:
            yield from lines(sections[name]["figures"])
            yield f"*{_place(sections[name]['place'])}*"
        else:
            yield f"{name}: {MISSING}."
    for gpu in gpus:
        yield ""
        yield from gpu_table.lines(gpu)


def _engine(sections: dict[str, Any], on_gpu: str) -> Iterator[str]:
    yield "**Training throughput against the tutorial as it stands.**"
    yield ""
    yield "| CPU | " + " | ".join(NETWORKS.values()) + " |"
    yield "|---|" + "---|" * len(NETWORKS)
    rows = {name: sections.get(f"engine/{name}") for name in NETWORKS}
    for player, title in NAMES.items():
        cells = [_cell(row, player) for row in rows.values()]
        yield f"| {title} | " + " | ".join(cells) + " |"
    yield "| any of them on a GPU | " + " | ".join([on_gpu] * len(NETWORKS)) + " |"
    for name, row in rows.items():
        if row is not None:
            yield ""
            yield f"*{NETWORKS[name]}: {_settings(row['figures'])}; {_place(row['place'])}*"


def _cell(row: dict[str, Any] | None, player: str) -> str:
    if row is None:
        return MISSING
    return "1" if player == "today" else ratio(row["figures"][player]["against_today"])


def _settings(players: dict[str, Any]) -> str:
    ours = players["ablate"]
    return (
        f"loader workers {players['today']['loader_workers']}, Lightning "
        f"{players['lightning']['precision']}, ours {ours['workers']} workers × {ours['cohort']} runs"
    )


def _scaling(figures: dict[str, Any]) -> Iterator[str]:
    yield f"**Our engine by workers and cohort** ({NETWORKS[figures['attention']]}), against one run alone."
    yield ""
    yield "| workers | runs side by side in each | throughput |"
    yield "|---|---|---|"
    for row in figures["rows"]:
        yield f"| {row['workers']} | {row['cohort']} | {ratio(row['against_one'])} |"
    yield ""


def _decoding(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        f"**Photographs decoded for the first time**, {figures['images']:,} JPEGs of 500×375 brought to "
        f"224 and kept: ours on {figures['cores']} cores is {ratio(figures['ratio'])} "
        "as fast as Pillow on one."
    )
    # Figures from before each was measured by itself have none.
    if own := figures.get("ratio_of_cores"):
        yield f"They are {ratio(own)} as fast as ours on one core."


def _augmentation(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        "**Augmentation alone**, the tutorial's whole chain on one core: ours is "
        f"{ratio(figures['ratio'])} as fast as Pillow's."
    )
    # Figures from before each was measured by itself have none.
    if each := figures.get("each"):
        yield ""
        yield "| augmentation alone | ours, µs an image | Pillow, µs an image | as fast as Pillow |"
        yield "|---|---|---|---|"
        for name, own in each.items():
            us = own["us_per_image"]
            yield f"| `{name}` | {us['ours']:.1f} | {us['pillow']:.1f} | {ratio(own['ratio'])} |"
        yield ""


def _parts(figures_by_network: dict[str, Any]) -> Iterator[str]:
    networks = {name: figures_by_network[name] for name in NETWORKS if name in figures_by_network}
    yield "**Where a step goes**, one thread, each kind of layer timed by itself."
    yield ""
    yield "| part | " + " | ".join(NETWORKS[name] for name in networks) + " |"
    yield "|---|" + "---|" * len(networks)
    largest: dict[str, float] = {}
    for figures in networks.values():
        for part, share in figures["share"].items():
            largest[part] = max(share, largest.get(part, 0.0))
    for part in sorted(largest, key=lambda name: -largest[name]):
        cells = [
            f"{100 * figures['share'][part]:.0f} %" if part in figures["share"] else "–"
            for figures in networks.values()
        ]
        yield f"| {part} | " + " | ".join(cells) + " |"
    yield ""
    peaks = [figures["convolutions_of_peak"] for figures in networks.values()]
    yield (
        f"The convolutions run at {100 * min(peaks):.0f} to {100 * max(peaks):.0f} % of the speed at which "
        "this core multiplies large matrices in the same precision: what is left to gain is in the "
        "passes over memory between them."
    )


def _everyday(figures: dict[str, Any]) -> Iterator[str]:
    yield "| command | first word | in all | first word, seconds | in all, seconds |"
    yield "|---|---|---|---|---|"
    for command, row in figures["commands"].items():
        yield (
            f"| {command} | ×{row['first_ratio']:.2f} | ×{row['total_ratio']:.1f} | "
            f"{row['first_seconds']:.2f} | {row['total_seconds']:.1f} |"
        )
    yield ""
    yield (
        f'Medians of {figures["rounds"]}; × is of `python -c "import numpy"`, '
        f"{figures['numpy_seconds']:.2f} s there; `import torch` takes "
        f"×{figures['torch_seconds'] / figures['numpy_seconds']:.1f}."
    )
    yield ""


def _overhead(figures: dict[str, Any]) -> Iterator[str]:
    yield "**Overhead of the harness**, one worker: all but the epochs, and what of it is outside the runs."
    yield ""
    yield "| images | epochs a run | runs | seconds a run | all but the epochs | outside the runs |"
    yield "|---|---|---|---|---|---|"
    for name, row in figures.items():
        yield (
            f"| {name} | {row['epochs']} | {row['runs']} | "
            f"{row['overhead_seconds_per_run']:.2f} | {100 * row['share']:.1f} % | "
            f"{100 * row['share_outside_runs']:.1f} % |"
        )
    yield ""


def _same(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        f"**The same training**: over the first {figures['steps']} steps of a CBAM run in fp32 the losses "
        f"of our engine, in a cohort of three, and of a plain loop differ by at most "
        f"{figures['fp32']:.1e} (allowed: {figures['fp32_tolerance']:.0e}), while the loss goes from "
        f"{figures['first_loss']:.3f} to {figures['last_loss']:.3f}. The fast path of mixed precision "
        f"differs by at most {figures['fast_in_float64']:.1e} in float64 (allowed: "
        f"{figures['float64_tolerance']:.0e}). In fp32, where rounding grows from step to step, the fast "
        f"path departs by up to {figures['fast_in_fp32']:.1e}, as the plain loop does by up to "
        f"{figures['plain_from_float64']:.1e} from its own float64."
    )


def _amp(figures: dict[str, Any]) -> Iterator[str]:
    difference = figures["difference"]
    points = [100 * difference[key] for key in ("mean", "low", "high")]
    yield (
        f"**Mixed precision against fp32** ({figures['amp_is']}): {points[0]:+.2f} points of test "
        f"accuracy (95 % interval {points[1]:+.2f} to {points[2]:+.2f}), {figures['seeds']} paired "
        f"seeds of {figures['variant']}, {figures['train_images']:,} training and "
        f"{figures['test_images']:,} test images, {figures['epochs']} epochs."
    )


def _place(place: dict[str, Any]) -> str:
    return (
        f"{place['device']}, {place['precision']}, images of {place['dataset']}, "
        f"{place['rounds']} rounds, {place['date']}"
    )
