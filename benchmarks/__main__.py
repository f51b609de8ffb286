"""`python -m benchmarks`: everything, or one benchmark at a time."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.text import duration
from benchmarks import record, table
from benchmarks.amp import measure_amp
from benchmarks.augmentation import measure_augmentation
from benchmarks.decoding import measure_decoding
from benchmarks.engine import measure_engine, measure_scaling
from benchmarks.everyday import measure_everyday
from benchmarks.field import VARIANTS
from benchmarks.options import Options
from benchmarks.overhead import measure_overhead
from benchmarks.parts import measure_parts
from benchmarks.same import prove_same

RESULTS = Path(__file__).parent / "results"
SHORT_ROUNDS, SHORT_STEPS = 2, 8

BENCHMARKS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "same": prove_same,
    "decoding": measure_decoding,
    "augmentation": measure_augmentation,
    "scaling": measure_scaling,
    "parts": measure_parts,
    "overhead": measure_overhead,
    "everyday": measure_everyday,
    "engine": measure_engine,
    "amp": measure_amp,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; each benchmark's figures are written as soon as it is done."""
    asked = _parser().parse_args(arguments)
    if asked.what == "table":
        table.write()
        return 0
    try:
        options = _options(asked)
        default = RESULTS / (
            "short.json" if asked.short else f"{find_machine(asked.device).device.type}.json"
        )
        place = record.describe_conditions(options)
        for name in BENCHMARKS if asked.what == "all" else (asked.what,):
            _measure(name, options, asked.out or default, place)
    except AblateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(name: str, options: Options, out: Path, place: dict[str, Any]) -> None:
    print(f"{name}: begins", flush=True)
    started = time.monotonic()
    if name != "engine":
        record.merge(out, name, BENCHMARKS[name](options), place)
    else:
        # A section for each network, so that they can be measured in pieces.
        for attention in options.attention:
            one = replace(options, attention=(attention,))
            record.merge(out, f"engine/{attention}", measure_engine(one)[attention], place)
    print(f"{name}: done in {duration(time.monotonic() - started)}, in {out}", flush=True)


def _options(asked: argparse.Namespace) -> Options:
    attention = tuple(VARIANTS) if asked.attention is None else (asked.attention,)
    if asked.short:
        attention = attention[-1:]
    return Options(
        data=asked.data,
        rounds=asked.rounds or (SHORT_ROUNDS if asked.short else Options.rounds),
        steps=asked.steps or (SHORT_STEPS if asked.short else Options.steps),
        attention=attention,
        short=asked.short,
        device=asked.device,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=[*BENCHMARKS, "all", "table"])
    parser.add_argument("--data", type=Path, help="a folder or archive of images, else the digits")
    parser.add_argument("--out", type=Path, help="the JSON file (benchmarks/results/<device>.json)")
    parser.add_argument("--rounds", type=int, help=f"rounds of each comparison ({Options.rounds})")
    parser.add_argument("--steps", type=int, help=f"batches of 64 a round ({Options.steps})")
    parser.add_argument("--attention", choices=list(VARIANTS), help="one network of the engine's")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--short", action="store_true", help="a trial under a minute, no figures")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
