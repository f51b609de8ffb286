"""A plan as a table for people: a line a variant, and what a reader should know of it."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ablate.plan import Plan
from ablate.result import TOLD, RunStatus
from ablate.result.architecture import NOT_RUN
from ablate.result.dataset import counted, told, warnings
from ablate.study.globs import group_paths
from ablate.system.messages.console import plain, say
from ablate.system.messages.language import N_, NOUN_, _, amount, noun, retold
from ablate.system.messages.text import duration

WIDTH_IN_A_LOG = 140
NARROWEST = 30
"""Letters of a variant's name in a line, where it has more."""
EDGES = 3
COLUMNS = ("parameters", "attention", "MACs", "elementwise", "activations")
ITS_OWN_BLOCK = N_(
    "this backbone has {n} {kind} block of its own: attention stands beside them, or in their place with "
    "position = {globs}"
)
ITS_OWN_BLOCKS = N_(
    "this backbone has {n} {kind} blocks of its own: attention stands beside them, or in their place with "
    "position = {globs}"
)
_HEADINGS = (NOUN_("parameters"), NOUN_("attention"), NOUN_("elementwise"), NOUN_("activations"))
FIRST_TO_GO = ("activations", "elementwise", "attention", "MACs", "parameters")
"""Which numbers a narrow terminal does not show."""


def print_table(
    plan: Plan,
    status: Sequence[RunStatus],
    missing: int,
    seconds: float | None,
    space: Iterator[str],
) -> None:
    """Print a plan with the status of each of its cells, the seconds that the missing ones take, and lines
    of its search space.
    """
    study = plan.study
    title = plain(f"{study.name}: {study.question or _('no question')}")
    table = Table(title=title, title_justify="left")
    # Not a terminal: rich assumes 80 columns, and a log has no edge to wrap at.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_IN_A_LOG
    console = Console(width=width)
    counts: dict[str, Counter[RunStatus]] = defaultdict(Counter)
    for cell, each in zip(plan.cells, status, strict=True):
        counts[cell.architecture.fingerprint][each] += 1
    networks = plan.variants.items()
    rows = [_row(plan, counts[network.fingerprint], name) for name, network in networks]
    shown = _chosen_columns(rows, console.width)
    table.add_column(noun("variant"), overflow="fold", min_width=min(NARROWEST, console.width // 3))
    for heading in shown:
        table.add_column(noun(heading), justify="right", no_wrap=True)
    table.add_column(noun("status"), overflow="fold", min_width=len("status"))
    for row in rows:
        table.add_row(plain(row["variant"]), *(row[name] for name in shown), row["status"])
    console.print(table)
    if len(shown) < len(COLUMNS):
        hidden = [noun(heading) for heading in COLUMNS if heading not in shown]
        say(
            _(
                "not shown, for want of room: {hidden} (--format json has all)",
                hidden=", ".join(hidden),
            ),
            console,
        )
    for line in notes(plan):
        say(line, console)
    for note in plan.notes:
        say(retold(note), console)
    for line in (*_of_data(plan), *space):
        say(line, console)
    time = (
        _("not known yet on this machine")
        if seconds is None
        else _("about {seconds}", seconds=duration(seconds))
    )
    say(
        _(
            "{variants}, {cells}{folds} on {label} ({image_size}×{image_size}), {missing} "
            "missing; time: {time}",
            variants=amount(len(plan.variants), "variant"),
            cells=amount(len(plan.cells), "cell"),
            folds=_of_folds(plan),
            label=plan.dataset.label,
            image_size=plan.dataset.image_size,
            missing=missing,
            time=time,
        ),
        console,
    )


def _of_folds(plan: Plan) -> str:
    """How many cells of a seed are folds of one variant; empty without folds."""
    folds = plan.study.data.folds
    if folds is None:
        return ""
    return _(" ({folds} folds of each seed, each image tested once)", folds=folds)


def _of_data(plan: Plan) -> Iterator[str]:
    """What the images are, and what of them a reader would not see."""
    if plan.data is None:
        return
    yield f"{plan.dataset.label}: {counted(plan.data)}"
    yield from told(plan.data)
    yield from (_("warning: {warning}", warning=each) for each in warnings(plan.data))


def _row(plan: Plan, mine: Counter[RunStatus], name: str) -> dict[str, str]:
    architecture = plan.variants[name]
    return {
        "variant": name,
        "parameters": f"{architecture.parameters:,}",
        "attention": f"{architecture.attention_parameters:,}",
        "MACs": millions(architecture.macs),
        "elementwise": millions(architecture.elementwise),
        "activations": millions(architecture.activations),
        "status": ", ".join(_(TOLD[word], n=count) for word, count in mine.items()),
    }


def _chosen_columns(rows: list[dict[str, str]], width: int) -> list[str]:
    """The columns of numbers that fit beside names and states; a number is never cut."""
    needs = {key: max(len(key), *(cell_len(row[key]) for row in rows)) + EDGES for key in rows[0]}
    left = width - 1 - min(needs["variant"], NARROWEST + EDGES) - needs["status"]
    shown = list(COLUMNS)
    while shown and sum(needs[heading] for heading in shown) > left:
        shown.remove(next(heading for heading in FIRST_TO_GO if heading in shown))
    return shown


def notes(plan: Plan) -> Iterator[str]:
    """What a reader of the table should know of its numbers and names."""
    for kind, paths in plan.own_attention.items():
        globs = "+".join(f"replace:{glob}" for glob in group_paths(paths, ()))
        message = ITS_OWN_BLOCK if len(paths) == 1 else ITS_OWN_BLOCKS
        yield _(message, n=len(paths), kind=kind, globs=json.dumps(globs))
    uncounted = sorted({name for a in plan.variants.values() for name in a.uncounted})
    no_rule = [name for name in uncounted if not name.endswith(NOT_RUN)]
    not_run = [name.removesuffix(NOT_RUN) for name in uncounted if name.endswith(NOT_RUN)]
    if no_rule:
        yield _("not counted, for want of a rule: {no_rule}", no_rule=", ".join(no_rule))
    if not_run:
        yield _(
            "not counted, since a black image does not run it: {not_run}",
            not_run=", ".join(not_run),
        )
    for name, kept in plan.aliases.items():
        yield _("{name} is the same network as {kept}: one cell", name=name, kept=kept)


def millions(count: int) -> str:
    """`11.376 M`: operations of one image."""
    return f"{count / 1e6:,.3f} M"
