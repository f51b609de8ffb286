"""The trials of all searches as one frame: a row for each trial, for a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select, text

from ablate.store import schema
from ablate.study.search import FRESH_SEEDS

STUDY = ["study", "dataset_hash", "setting"]
PLACE = ["device", "precision", "batch_size", "protocol"]
FIRST = (
    *("study", "dataset", "dataset_hash", "setting", "search", "number", "variant", "fingerprint"),
    *("state", "reason"),
)


def read_trials(connection: Connection) -> pd.DataFrame:
    """Every trial: its variant by the study's name, its parameters, its state, its validation accuracies and
    what its network costs.

    `selection_1`, `selection_2`, … are of the seeds that the search picks by, `fresh_1001`, … of those
    that confirm; each kind has a mean of its own, and none is over both. Speeds are of one condition of
    each study: the full protocol before the quick one, then where most of its networks were measured;
    `measured_on` says which.
    """
    table = schema.trials
    rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
    runs = pd.read_sql_query(
        text(
            "SELECT study, dataset_hash, setting, run_key, variant, fingerprint, seed, status, "
            "val_accuracy, parameters, macs FROM v_runs"
        ),
        connection,
    )
    networks = dict(iter(runs.groupby([*STUDY, "fingerprint"], sort=False, dropna=False)))
    trials = pd.DataFrame([_row(row, networks, runs) for row in rows])
    if trials.empty:
        return pd.DataFrame(columns=[*FIRST, "selection_mean", "fresh_mean", "parameters", "macs"])
    speeds = pd.read_sql_query(text("SELECT * FROM v_costs ORDER BY measured_at"), connection)
    measured = [_speeds(group, speeds) for _, group in trials.groupby(STUDY, sort=False)]
    return trials.join(pd.concat(measured))[_ordered([*trials, *measured[0]])]


def _row(
    row: Mapping[Any, Any], networks: Mapping[Any, pd.DataFrame], runs: pd.DataFrame
) -> dict[str, Any]:
    mine = networks.get((*(row[key] for key in STUDY), row["fingerprint"]), runs.iloc[:0])
    done = mine[(mine["status"] == "finished") & mine["val_accuracy"].notna()].sort_values("seed")
    values = dict(zip(done["seed"].astype(int), done["val_accuracy"].astype(float), strict=True))
    keys = _listed(row["run_keys"])
    asked = set(mine.loc[mine["run_key"].isin(keys), "seed"].astype(int))
    picked = {seed: value for seed, value in values.items() if seed in asked}
    fresh = {seed: value for seed, value in values.items() if seed > FRESH_SEEDS}
    first = mine.iloc[0] if len(mine) else pd.Series(dtype=object)
    return {
        **{name: row[name] for name in FIRST},
        "variant": first.get("variant", row["variant"]),
        **{f"param_{name}": value for name, value in dict(row["point"]).items()},
        **{f"selection_{seed}": value for seed, value in picked.items()},
        # Of all its runs or of none: the mean of those that are left is not what it was picked by.
        "selection_mean": sum(picked.values()) / len(picked)
        if 0 < len(keys) == len(picked)
        else None,
        **{f"fresh_{seed}": value for seed, value in fresh.items()},
        "fresh_mean": sum(fresh.values()) / len(fresh) if fresh else None,
        "parameters": first.get("parameters"),
        "macs": first.get("macs"),
    }


def _speeds(trials: pd.DataFrame, speeds: pd.DataFrame) -> pd.DataFrame:
    """The speeds of one study's trials under one condition, in the order of their rows."""
    mine = speeds[speeds["fingerprint"].isin(trials["fingerprint"])]
    places = mine.groupby(PLACE)["fingerprint"].nunique()
    columns = {"train": "train_images_per_second", "infer": "infer_images_per_second"}
    found = pd.DataFrame(
        index=trials.index, columns=[*columns.values(), "measured_on"], dtype=object
    )
    if places.empty:
        return found
    place = max(places.index, key=lambda at: (at[3] == "full", places[at]))
    here = mine[(mine[PLACE] == list(place)).all(axis=1)]
    for mode, column in columns.items():
        of_mode = here[here["mode"] == mode].drop_duplicates("fingerprint", keep="last")
        found[column] = trials["fingerprint"].map(
            of_mode.set_index("fingerprint")["images_per_second"]
        )
    device, precision, batch, protocol = place
    told = f"{device}, {precision}, batch {batch}, {protocol}"
    found["measured_on"] = found["infer_images_per_second"].notna().map({True: told, False: None})
    return found


def _ordered(columns: list[str]) -> list[str]:
    """Parameters behind what a trial is, then selection, then fresh seeds, then costs."""
    seen = list(dict.fromkeys(columns))
    parameters = [name for name in seen if name.startswith("param_")]
    groups = [
        [*sorted((n for n in seen if n.startswith(f"{kind}_") and n != f"{kind}_mean"), key=_seed),
         f"{kind}_mean"]
        for kind in ("selection", "fresh")
    ]  # fmt: skip
    ordered = [*FIRST, *parameters, *groups[0], *groups[1]]
    return [*ordered, *(name for name in seen if name not in ordered)]


def _seed(name: str) -> int:
    return int(name.rpartition("_")[2])


def _listed(keys: Any) -> list[str]:
    return json.loads(keys) if isinstance(keys, str) else list(keys)
