"""The design of a study: which level of which factor each variant has, and which places it attends to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablate.report.cost.families import attended_module
from ablate.report.summary import Summary
from ablate.stats.matched import Level, Table
from ablate.stats.shapley import Coalition
from ablate.study import NO_ATTENTION
from ablate.study.controls import controls_in
from ablate.study.position import matches_glob, parts_of

COLUMNS = ("attention", "position", "reduction", "kernel_size")


def design(summary: Summary) -> Table:
    """The levels of every variant that has attention, by factor."""
    return {
        name: levels
        for name, levels in _levels(summary).items()
        if levels.get("attention", NO_ATTENTION) != NO_ATTENTION
    }


def controls_of(summary: Summary) -> frozenset[str]:
    """The variants that are the study's second baselines. As the baseline they answer no question about
    which attention is best: beside one that only does harm all others stand out.
    """
    names = [variant.name for variant in summary.variants if not variant.is_baseline]
    return frozenset(controls_in(list(summary.study.get("controls") or ()), names))


def placements(summary: Summary) -> dict[str, dict[Coalition, str]]:
    """Kind and options → the variant at each set of places, where all sets were planned.

    The empty set is the baseline, if that has no attention.
    """
    levels = _levels(summary)
    if levels.get(summary.baseline, {}).get("attention") != NO_ATTENTION:
        return {}
    groups: dict[str, dict[Coalition, str]] = {}
    for name, places in _places(summary, design(summary)).items():
        others = {k: v for k, v in levels[name].items() if k != "position"}
        group = groups.setdefault(_called(others), {frozenset(): summary.baseline})
        group.setdefault(places, name)
    return {label: group for label, group in groups.items() if _whole(group)}


def places_of(summary: Summary) -> dict[str, Coalition]:
    """The places that each variant with attention attends to."""
    return _places(summary, design(summary))


def _whole(group: Mapping[Coalition, str]) -> bool:
    players = frozenset[str]().union(*group)
    return len(players) > 1 and len(group) == 2 ** len(players)


def _levels(summary: Summary) -> dict[str, dict[str, Level]]:
    rows = summary.runs.drop_duplicates("variant").to_dict("records")
    return {str(row["variant"]): _of_row(row) for row in rows}


def _of_row(row: Mapping[Any, Any]) -> dict[str, Level]:
    """Kind, place and every option; what a variant has not is left out."""
    given = row.get("options")
    options = json.loads(given) if isinstance(given, str) else {}
    found = {name: row.get(name) for name in COLUMNS} | options
    return {name: _level(value) for name, value in found.items() if _there(value)}


def _there(value: object) -> bool:
    return not pd.isna(value)  # type: ignore[call-overload]


def _level(value: Any) -> Level:
    if isinstance(value, str):
        return value
    return int(value) if float(value).is_integer() else float(value)


def _called(levels: Mapping[str, Level]) -> str:
    rest = [f"{name}={value}" for name, value in levels.items() if name != "attention"]
    return f"{levels['attention']}" + (f" ({', '.join(rest)})" if rest else "")


def _places(summary: Summary, table: Table) -> dict[str, Coalition]:
    """The places of each variant: from its layers if attention has any there, else as it is written."""
    layers = summary.layers[summary.layers["attention"].fillna(False).astype(bool)]
    built = {
        str(name): frozenset(map(attended_module, rows["path"].astype(str)))
        for name, rows in layers.groupby("variant")
    }
    written = {name: _written(str(levels["position"])) for name, levels in table.items()}
    known = {place for places in (*built.values(), *written.values()) for place in places}
    plain = {place for place in known if not set("*?[") & set(place)}
    return {
        name: built.get(name) or _spelled_out(places, plain) for name, places in written.items()
    }


def _written(position: str) -> Coalition:
    """`pool1+before:conv2` → pool1, before conv2."""
    return frozenset(
        f"before {part.glob}" if part.how == "before" else part.glob for part in parts_of(position)
    )


def _spelled_out(places: Coalition, plain: set[str]) -> Coalition:
    """Globs as the places of the study that they name."""
    return frozenset(
        place
        for written in places
        for place in ([p for p in plain if matches_glob(p, written)] or [written])
    )
