"""`ablate check-attention`: the contract of attention on one module, a user's or ours."""

from __future__ import annotations

import json
import os
import sys
from typing import Literal

from rich.console import Console
from rich.table import Column, Table

from ablate.measure.contract import Cost, Held, cost_of, followed_by_fx, look_at, subject_of
from ablate.measure.contract_checks import CHANNELS, CHECKS, SIDE
from ablate.study.options import split_call
from ablate.system.hardware.machine import one_thread
from ablate.system.messages.console import plain, say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural

WIDTH_IN_A_LOG = 140


def check_attention(text: str, format: Literal["table", "json"]) -> bool:
    """Look at the module that `mypkg.att:CoordAtt(reduction=4)` names and tell what it holds; whether that is
    all.

    Raises:
        AblateError: no such module, options that it does not have, or it cannot be built.
    """
    name, options = split_call(text)
    PULSE.step("importing it")
    subject = subject_of(name, options)
    found: list[Held] = []
    with one_thread():
        for held in look_at(subject):
            found.append(held)
            PULSE.count("checks", len(found), len(CHECKS))
        whole = all(held.held for held in found)
        cost = cost_of(subject) if found[0].held else None
        traced = followed_by_fx(subject) if found[0].held else False
    PULSE.clear()
    if format == "json":
        print(json.dumps(_document(text, found, cost, traced), indent=2))
        return whole
    _print(found)
    for line in _lines(found, cost, traced):
        say(line)
    return whole


def _print(found: list[Held]) -> None:
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_IN_A_LOG
    table = Table("check", "", Column("what is wrong, and what to do", overflow="fold"))
    for held in found:
        said = "" if held.wrong is None else "; ".join(filter(None, (held.wrong, held.advice)))
        table.add_row(held.check, "held" if held.held else "not held", plain(said))
    Console(file=sys.stdout, width=width).print(table)


def _lines(found: list[Held], cost: Cost | None, traced: bool) -> list[str]:
    broken = [held.check for held in found if not held.held]
    said = f"{plural(len(found) - len(broken), 'check')} held, {len(broken)} not"
    if len(found) < len(CHECKS):
        said += f"; the other {len(CHECKS) - len(found)} need the first and were not looked at"
    lines = [said]
    if cost is not None:
        counted = cost.operations
        left = f"; not counted: {', '.join(sorted(counted.uncounted))}" if counted.uncounted else ""
        lines.append(
            f"on a map of {CHANNELS}×{SIDE}×{SIDE}: {cost.parameters:,} parameters, {counted.macs:,} MACs, "
            f"{counted.elementwise:,} elementwise operations{left}"
        )
        can = "can" if traced else "cannot"
        lines.append(f"torch.fx {can} follow its forward: a remark, nothing here needs it")
    return lines


def _document(text: str, found: list[Held], cost: Cost | None, traced: bool) -> dict[str, object]:
    costs = None if cost is None else {
        "map": [CHANNELS, SIDE, SIDE],
        "parameters": cost.parameters,
        "macs": cost.operations.macs,
        "elementwise": cost.operations.elementwise,
        "uncounted": sorted(cost.operations.uncounted),
        "fx": traced,
    }  # fmt: skip
    checks = [
        {"check": h.check, "held": h.held, "wrong": h.wrong, "advice": None if h.held else h.advice}
        for h in found
    ]
    return {"attention": text, "held": all(h.held for h in found), "checks": checks, "cost": costs}
