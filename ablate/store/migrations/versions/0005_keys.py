"""Keys by difference: runs, settings and searches get the keys that they have from now on.

Nothing is trained again: the content of every key is stored, so the new one follows from it. What is
here is written out and not imported, because this revision must do the same when the code has moved
on. Also: choices with their reasons in a table of their own, elementwise operations and activations,
and the names of weights' files, which keep those that they have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Count = sa.Integer().with_variant(sa.BigInteger(), "postgresql")

RECIPE: dict[str, Any] = {
    "epochs": 50, "batch_size": 64, "optimizer": "adam", "learning_rate": 1e-3,
    "schedule": "plateau", "augment": ["crop", "flip", "color", "rotate"], "precision": "amp",
    "split": "validation", "validation_fraction": 0.1,
}  # fmt: skip
SEARCH: dict[str, Any] = {
    "objectives": ["val_accuracy"], "constraints": {}, "sampler": "tpe", "sampler_seed": 1,
    "pruner": "none", "racing": True, "seeds": 3,
}  # fmt: skip
PARAMETER: dict[str, Any] = {
    "values": [], "per_position": False, "low": None, "high": None, "step": 1, "log": False,
}  # fmt: skip
BOUND: dict[str, Any] = {"at_least": None, "at_most": None, "of_baseline": False}
BUDGET = ("trials", "runs", "hours", "confirm", "confirm_seeds")
IMAGE_SIZE = 32
IMAGE_SIZES = range(8, 1025)
PROTOCOLS = (2, 1)
CHILDREN = ("cells", "attempts", "explanations", "epochs", "steps", "checkpoints")
STEP, COHORT, DETERMINISTIC = "step ", "cohort ", " deterministic"


def upgrade() -> None:
    bind = op.get_bind()
    op.add_column("architectures", sa.Column("elementwise", Count))
    op.add_column("architectures", sa.Column("activations", Count))
    op.add_column("runs", sa.Column("weights_file", sa.String(64)))
    studies = [dict(row) for row in bind.execute(sa.select(_table("studies"))).mappings()]
    settings = _new_settings(studies)
    run_keys = _new_run_keys(bind, {row["definition"]["image_size"] for row in studies})
    _move_runs(bind, run_keys)
    _move_trials(bind, studies, run_keys)
    _move_settings(bind, settings)
    _move_choices(bind, settings)
    _rename_histograms(bind, run_keys)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _by_difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in defaults or v != defaults[k]}


def _conditions(recipe: Mapping[str, Any], image_size: int) -> dict[str, Any]:
    size = {"image_size": image_size} if image_size != IMAGE_SIZE else {}
    return {"recipe": _by_difference(recipe, RECIPE), **size}


def _table(name: str) -> sa.Table:
    """A table as it is in this database."""
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _new_settings(studies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Old setting → new setting."""
    found = {}
    for row in studies:
        definition = row["definition"]
        recipe, backbone = definition["recipe"], definition["backbone"]
        size = definition["image_size"]
        before = _digest({"recipe": recipe, "backbone": backbone, "image_size": size})
        if before == row["setting"]:
            found[before] = _digest({"backbone": backbone, **_conditions(recipe, size)})
    return found


def _new_run_keys(bind: sa.Connection, sizes: set[int]) -> dict[str, str]:
    """Old run key → new run key. The image size of a run stands in its key alone, so sizes are tried
    until the key comes out; a key that never does was made under another protocol and stays.
    """
    runs = _table("runs")
    columns = (runs.c.run_key, runs.c.fingerprint, runs.c.recipe, runs.c.dataset_hash, runs.c.seed)
    usual = sorted(sizes)
    every = [*usual, *(size for size in IMAGE_SIZES if size not in sizes)]
    found = {}
    for key, fingerprint, recipe, dataset, seed in bind.execute(sa.select(*columns)):
        same = {"fingerprint": fingerprint, "dataset": dataset, "seed": seed}
        for protocol, size in ((p, s) for p in PROTOCOLS for s in every):
            known = {**same, "protocol": protocol}
            if _digest({**known, "recipe": recipe, "image_size": size}) == key:
                found[key] = _digest({**known, **_conditions(recipe, size)})
                break
    return found


def _move_runs(bind: sa.Connection, run_keys: Mapping[str, str]) -> None:
    """Give runs and all that belongs to them their new keys: copied, referred to, old ones deleted."""
    if not run_keys:
        return
    moved = sa.Table(
        "moved_keys",
        sa.MetaData(),
        sa.Column("old", sa.String(16), primary_key=True),
        sa.Column("new", sa.String(16), nullable=False),
        prefixes=["TEMPORARY"],
    )
    moved.create(bind)
    bind.execute(sa.insert(moved), [{"old": old, "new": new} for old, new in run_keys.items()])
    runs = _table("runs")
    kept = sa.case((runs.c.weights_sha256.is_not(None), runs.c.run_key + ".safetensors"))
    others = [c for c in runs.c if c.name not in ("run_key", "weights_file")]
    copied = sa.select(moved.c.new, kept, *others).join(moved, moved.c.old == runs.c.run_key)
    names = ["run_key", "weights_file", *(c.name for c in others)]
    bind.execute(sa.insert(runs).from_select(names, copied))
    for name in CHILDREN:
        table = _table(name)
        new = sa.select(moved.c.new).where(moved.c.old == table.c.run_key).scalar_subquery()
        mine = table.c.run_key.in_(sa.select(moved.c.old))
        bind.execute(sa.update(table).where(mine).values(run_key=new))
    bind.execute(sa.delete(runs).where(runs.c.run_key.in_(sa.select(moved.c.old))))
    moved.drop(bind)


def _move_trials(
    bind: sa.Connection, studies: Iterable[Mapping[str, Any]], run_keys: Mapping[str, str]
) -> None:
    searches = {}
    for row in studies:
        if search := row["definition"].get("search"):
            place = (row["study"], row["dataset"], row["setting"])
            before = {k: v for k, v in search.items() if k not in BUDGET}
            searches[*place, _digest(before)] = _search_identity(before)
    trials = _table("trials")
    for trial in bind.execute(sa.select(trials)).mappings().all():
        names = ("study", "dataset", "setting", "search", "number")
        one = sa.and_(*(trials.c[name] == trial[name] for name in names))
        key = (trial["study"], trial["dataset"], trial["setting"], trial["search"])
        values = {
            "search": searches.get(key, trial["search"]),
            "run_keys": [run_keys.get(k, k) for k in trial["run_keys"]],
            "trained": [run_keys.get(k, k) for k in trial["trained"]],
        }
        bind.execute(sa.update(trials).where(one).values(**values))


def _search_identity(search: Mapping[str, Any]) -> str:
    given = dict(search)
    for tables, defaults in (("parameters", PARAMETER), ("constraints", BOUND)):
        given[tables] = {k: _by_difference(v, defaults) for k, v in given[tables].items()}
    return _digest(_by_difference(given, SEARCH))


def _move_settings(bind: sa.Connection, settings: Mapping[str, str]) -> None:
    for name in ("studies", "cells", "trials"):
        table = _table(name)
        for old, new in settings.items():
            bind.execute(sa.update(table).where(table.c.setting == old).values(setting=new))


def _move_choices(bind: sa.Connection, settings: Mapping[str, str]) -> None:
    choices = op.create_table(
        "choices",
        sa.Column("device", sa.String(255), primary_key=True),
        sa.Column("precision", sa.String(16), primary_key=True),
        sa.Column("decision", sa.String(16), primary_key=True),
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("conditions", sa.String(64), primary_key=True),
        sa.Column("choice", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("chosen_at", sa.String(32), nullable=False),
    )
    old = bind.execute(sa.select(_table("kernels"))).all()
    rows = [
        {"device": device, "precision": precision, **_choice(subject, kernel, settings)}
        for device, precision, subject, kernel in old
    ]
    if rows:
        bind.execute(sa.insert(choices), rows)
    op.drop_table("kernels")


def _choice(subject: str, kernel: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What stood in `kernels`: the name of an attention, or `step SETTING`, or `cohort SETTING PATH`."""
    plain = subject.removesuffix(DETERMINISTIC)
    conditions = [DETERMINISTIC.strip()] if plain != subject else []
    row: dict[str, Any] = {"reason": "", "chosen_at": "", "choice": kernel}
    if plain.startswith(STEP):
        setting = plain.removeprefix(STEP)
        row |= {"decision": "steps", "subject": settings.get(setting, setting)}
    elif plain.startswith(COHORT):
        setting, _, path = plain.removeprefix(COHORT).partition(" ")
        conditions = [path, *conditions]
        row |= {"decision": "cohort", "subject": settings.get(setting, setting)}
        row["choice"] = int(kernel)
    else:
        row |= {"decision": "kernel", "subject": plain}
    return {**row, "conditions": ", ".join(conditions)}


def _rename_histograms(bind: sa.Connection, run_keys: Mapping[str, str]) -> None:
    """Folders beside an SQLite file. No result depends on them: what cannot be renamed stays behind."""
    database = bind.engine.url.database
    if bind.dialect.name != "sqlite" or not database:
        return
    folder = Path(database).parent / "histograms"
    for old, new in run_keys.items():
        try:
            (folder / old).rename(folder / new)
        except OSError:
            continue
