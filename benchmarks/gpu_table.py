"""The figures of a CUDA device → tables for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import record

NAMES = {
    "today": "tutorial as it stands, batches of 64",
    "airbench": "airbench-style eager loop",
    "compiled": 'the same, `torch.compile(mode="reduce-overhead")`',
    "ablate, eager": "**ablate**, one run, eager steps",
    "ablate": "**ablate**, one run, recorded steps",
    "ablate, compiled": "**ablate**, one run, compiled and recorded",
    "ablate, 8 runs": "**ablate**, 8 runs side by side, recorded steps",
}
NETWORKS = {"none": "no attention", "se": "SE ×3", "cbam": "CBAM ×3"}
MISSING = "not measured"
TOP = 5


def load_all(folder: Path) -> list[dict[str, Any]]:
    """The figures of every GPU in a folder of figures."""
    sections = [record.load(path) for path in sorted(folder.glob("*.json"))]
    mine = [
        {name: section for name, section in each.items() if name.startswith("gpu/")}
        for each in sections
    ]
    return [each for each in mine if each and not _first(each)["place"]["short"]]


def lines(sections: Mapping[str, Any]) -> Iterator[str]:
    """One device: a table for each question and batch size."""
    place = _first(sections)["place"]
    yield f"### {place['device']}"
    for name, section in sections.items():
        _, question, batch_size = name.split("/")
        yield ""
        yield from QUESTIONS[question](section["figures"], int(batch_size))
    yield ""
    yield (
        f"*{place['device']}, {place['precision']}, images of {place['dataset']}, "
        f"{place['rounds']} rounds, torch {place['environment']['torch']}, {place['date']}*"
    )


def _paths(figures: Mapping[str, Any], batch_size: int) -> Iterator[str]:
    yield f"**A step of one run of the reference grid, µs**, batches of {batch_size}, by runs side by side."
    yield ""
    cohorts = list(dict.fromkeys(size for path in figures.values() for size in path["us_a_run"]))
    yield from _head("step path", [f"{size} of a seed" for size in cohorts])
    for path, found in figures.items():
        cells = [found["us_a_run"].get(size) for size in cohorts]
        shown = [MISSING if us is None else f"{us:.0f}" for us in cells]
        yield f"| {path} | " + " | ".join(shown) + " |"


def _race(figures: Mapping[str, Any], batch_size: int) -> Iterator[str]:
    yield f"**Training throughput against the tutorial as it stands**, batches of {batch_size}."
    yield ""
    yield from _head("contestant", NETWORKS.values())
    for player, title in NAMES.items():
        cells = [_against(figures, network, player) for network in NETWORKS]
        yield f"| {title} | " + " | ".join(cells) + " |"


def _against(figures: Mapping[str, Any], network: str, player: str) -> str:
    if player not in figures.get(network, {}):
        return MISSING
    found = figures[network][player]["against_today"]
    interval = "" if found["low"] is None else f" ({found['low']:.1f}–{found['high']:.1f})"
    return "1" if player == "today" else f"×{found['ratio']:.1f}{interval}"


def _grid(figures: Mapping[str, Any], batch_size: int) -> Iterator[str]:
    yield (
        f"**Runs side by side**, batches of {batch_size}: against the first row; how many times "
        "as long as without attention; share of the layer-fused roofline at this device's own copy "
        f"bandwidth ({figures['copy_bytes_per_second'] / 1e12:.2f} TB/s)."
    )
    yield ""
    networks = [name for name in NETWORKS if name in figures["networks"]]
    yield from _head("runs, steps", (NETWORKS[name] for name in networks))
    rows = [figures["networks"][name]["rows"] for name in networks]
    for of_plan in zip(*rows, strict=True):
        cells = [
            f"×{row['against_first']['ratio']:.2f}; {row['slower_than_plain']:.2f}; "
            f"{100 * row['share_of_roofline']:.0f} %"
            for row in of_plan
        ]
        first = of_plan[0]
        yield f"| {first['cohort']}, {first['step_path']} | " + " | ".join(cells) + " |"


def _steps(figures: Mapping[str, Any], batch_size: int) -> Iterator[str]:
    yield f"**Kernels of one eager step** of one run, batches of {batch_size}."
    yield ""
    yield "| network | kernels | time on the device | the largest |"
    yield "|---|---|---|---|"
    for network, title in NETWORKS.items():
        if network in figures:
            found = figures[network]
            yield f"| {title} | {found['kernels']:.0f} | {found['us']:.0f} µs | {_top(found)} |"


def _kernels(figures: Mapping[str, Any], batch_size: int) -> Iterator[str]:
    yield (
        f"**Kernels of a recorded step**, for each run of those side by side, batches of {batch_size}: how "
        "many, their time, and how long any of them ran."
    )
    yield ""
    yield "| steps, runs | kernels | their time | while any ran | the largest |"
    yield "|---|---|---|---|---|"
    for plan, found in figures.items():
        yield (
            f"| {', '.join(plan.split())} | {found['kernels']:.0f} | {found['us']:.0f} µs | "
            f"{found['busy_us']:.0f} µs | {_top(found)} |"
        )


def _top(found: Mapping[str, Any]) -> str:
    largest = found["top"][:TOP]
    return "; ".join(f"`{each['name'][:40]}` {100 * each['share']:.0f} %" for each in largest)


def _head(first: str, names: Any) -> Iterator[str]:
    titles = list(names)
    yield f"| {first} | " + " | ".join(titles) + " |"
    yield "|---|" + "---|" * len(titles)


def _first(sections: Mapping[str, Any]) -> Any:
    return next(iter(sections.values()))


QUESTIONS = {
    "paths": _paths,
    "race": _race,
    "grid": _grid,
    "steps": _steps,
    "kernels": _kernels,
}
