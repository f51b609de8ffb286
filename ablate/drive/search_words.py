"""What a search tells: in Optuna's dashboard, and at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

from ablate.page import format as fmt
from ablate.plan import Cell
from ablate.search.confirm import Confirmed
from ablate.search.space import Space
from ablate.search.words import why_none
from ablate.store.writing.trials import RunSeen
from ablate.study import Study
from ablate.study.metrics import ACCURACY, metric_named, shown_value
from ablate.study.search import Search
from ablate.system.messages.command_line import without_password
from ablate.system.messages.text import plural


def told_best(search: Search) -> str:
    """What Optuna's dashboard calls the best trial."""
    return (
        f"the {_extreme(search)} mean {_quality(search)} over the selection seeds, by which the search "
        "picks; not confirmed by fresh seeds: the report says what those gave"
    )


def named_study(file: Path | None, url: str) -> str:
    """The words that name a study and its database to another command; empty without a file."""
    return shlex.join([str(file), "--db", without_password(url)]) if file is not None else ""


def description(study: Study, search: Search, space: Space, named: str) -> str:
    """What the dashboard says at the head of a search."""
    seeds = "seed 1" if search.seeds == 1 else f"the seeds 1 to {search.seeds}"
    confirms = (
        f"The best {search.confirm} are trained again with {search.confirm_seeds} fresh seeds each; what "
        "they give stands in the report and not here."
        if search.confirm
        else "Nothing is trained again with fresh seeds."
    )
    report = f": `ablate report {named}` writes it" if named else ""
    return (
        f"**{study.question or study.name}**\n\n"
        f"{plural(space.size, 'point')}; points that build one network are one trial. “Best” means the "
        f"{_extreme(search)} mean {_quality(search)} over {seeds}, by which the search picks: it flatters, "
        f"and is not confirmed. {confirms} The search never sees the test set.\n\n"
        f"Report: `reports/{study.name}/report.html`{report} · training curves: "
        "[TensorBoard](http://127.0.0.1:6006/) while `ablate tensorboard` runs."
    )


def confirmed_line(search: Search, found: Confirmed, picked_from: int) -> str:
    metric = metric_named(search.metric)
    if search.metric == ACCURACY:
        given = f"{fmt.accuracy(found.fresh)} % of validation images"
    elif metric.is_fraction:
        given = f"{_quality(search)} {fmt.accuracy(found.fresh)} %"
    else:
        half = found.fresh.half_width
        given = f"{_quality(search)} {found.fresh.mean:.4f}" + (
            "" if half is None else f" ± {half:.4f}"
        )
    return (
        f"confirmed: {found.variant}: {given} on {found.fresh.n} fresh seeds, "
        f"{shown_value(search.metric, found.searched)} in the search that picked it from {picked_from}"
    )


def failed_line(search: Search, cell: Cell, run: RunSeen) -> str:
    """A run with a fresh seed that has failed: its variant is confirmed without it."""
    return f"not confirmed by {cell.name}: this run failed: {why_none(run, search)}"


def _extreme(search: Search) -> str:
    return "highest" if search.sign > 0 else "lowest"


def _quality(search: Search) -> str:
    return f"validation {metric_named(search.metric).title}"
