"""`ablate status`: how far every study has come, who trains what, and how long it will take."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablate.errors import DatabaseError, nearest
from ablate.result import TOLD, RunStatus
from ablate.store.progress.status import RunningRun, StudyStatus
from ablate.store.progress.watch import read_status
from ablate.system.messages.context import context_name
from ablate.system.messages.language import NOUN_, _, amount, noun
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import duration, printable

STATES = tuple(RunStatus)
_HEADINGS = (
    *(NOUN_("study"), NOUN_("dataset"), NOUN_("setting"), NOUN_("seed"), NOUN_("epoch")),
    *(NOUN_("planned"), NOUN_("running"), NOUN_("stopped"), NOUN_("finished"), NOUN_("failed")),
    *(NOUN_("host"), NOUN_("process"), NOUN_("device"), NOUN_("seconds for an epoch")),
)
WATCH_SECONDS = 2.0
WIDTH_IN_A_LOG = 140
NARROWEST = 60
"""Columns of a terminal that are too few for any table."""
NARROW = 110
"""Columns of a terminal that are too few for a table of every state."""


def show_status(study: str | None, url: str, format: str, *, watch: bool) -> list[StudyStatus]:
    """Print how far the studies have come; with `watch` again and again, until Ctrl-C.

    Raises:
        DatabaseError: no such database, or nothing of that study in it.
    """
    found = _read(study, url)
    PULSE.end()  # what follows is shown at once, or watched
    if format == "json":
        print(json.dumps({"studies": [_document(each) for each in found]}, indent=2))
        return found
    # Not a terminal: rich assumes 80 columns, and a log has no edge to wrap at.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_IN_A_LOG
    console = Console(width=width)
    if watch:
        _watch(console, study, url)
    else:
        console.print(_page(found, console.width))
    return found


def next_study(found: list[StudyStatus]) -> StudyStatus | None:
    """The study to go on with: the first with runs missing, else the first; None without any."""
    return next((each for each in found if each.missing), found[0] if found else None)


def _read(study: str | None, url: str) -> list[StudyStatus]:
    found = read_status(url, study)
    if study is not None and not found:
        names = sorted({each.study for each in read_status(url)})
        raise DatabaseError(
            f"the database has nothing of study {study!r}{nearest(study, names)}; "
            f"there are: {', '.join(names) or '(none)'}"
        )
    return found


def _watch(console: Console, study: str | None, url: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        if not console.is_terminal:
            while True:
                console.print(_page(_read(study, url), console.width))
                time.sleep(WATCH_SECONDS)
        with Live(console=console, screen=False, auto_refresh=False) as live:
            while True:
                live.update(_page(_read(study, url), console.width), refresh=True)
                time.sleep(WATCH_SECONDS)


def _document(status: StudyStatus) -> dict[str, Any]:
    return {
        "study": status.study,
        "dataset": status.dataset,
        "setting": status.setting,
        "context": dict(status.context),
        "epochs": None if status.elsewhere else status.epochs,
        "trained_elsewhere": status.elsewhere,
        **{state: status.counts.get(state, 0) for state in STATES},
        "failures": dict(status.failures),
        "now": [
            {
                "run_key": run.run_key,
                "variant": run.variant,
                "seed": run.seed,
                "fold": run.fold,
                "host": _host(run),
                "pid": run.owner.pid,
                "gone": run.gone,
                "device": run.device,
                "epoch": run.epoch,
                "started_at": run.started_at,
            }
            for run in status.running
        ],
        "devices": {
            device: {"finished": speed.finished, "seconds_per_epoch": speed.seconds_per_epoch}
            for device, speed in status.speeds.items()
        },
        "work_seconds": status.work_seconds,
        "eta_seconds": status.eta_seconds,
        "dataset_hash": status.dataset_hash,
        "pruned": status.pruned,
        "missing": status.missing,
    }


def _page(found: list[StudyStatus], width: int) -> RenderableType:
    if not found:
        return Text(_("the database has no study yet: `ablate run STUDY` begins one"))
    narrow = width < NARROW
    lines = [_line(each, _dataset(each, found)) for each in found]
    parts: list[RenderableType] = [*lines] if narrow else [_counts(found)]
    running = [(each, run) for each in found for run in each.running]
    for table in [_running(running)] * bool(running) + [_speeds(found)] * any(
        e.speeds for e in found
    ):
        parts.append(table if width >= NARROWEST else _in_lines(table))
    if any(run.gone for _, run in running):
        parts.append(
            Text(_("gone: the process has ended; the next `ablate run` takes the run over"))
        )
    return Group(*parts)


def _counts(found: list[StudyStatus]) -> Table:
    table = Table()
    for heading in ("study", "dataset", "setting"):
        table.add_column(noun(heading), overflow="fold")
    for heading in STATES:
        table.add_column(noun(heading), justify="right", no_wrap=True)
    for heading in (noun("work left"), noun("done in")):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        table.add_row(
            *(Text(printable(name)) for name in (each.study, _dataset(each, found))),
            Text(_setting(each)),
            *(Text(printable(_number(each, state))) for state in STATES),
            _time(each.work_seconds),
            _time(each.eta_seconds),
        )
    return table


def _in_lines(table: Table) -> Text:
    """A table in words, a line for each row, where even its columns have no room."""
    headings = [str(column.header) for column in table.columns]
    rows = zip(*(list(column.cells) for column in table.columns), strict=True)
    named = [zip(headings, row, strict=True) for row in rows]
    return Text("\n".join(", ".join(f"{word} {cell}" for word, cell in row) for row in named))


def _dataset(status: StudyStatus, found: list[StudyStatus]) -> str:
    """What its images are called, with a mark of their content where others of a study are called so too."""
    same = [e for e in found if (e.study, e.dataset) == (status.study, status.dataset)]
    alone = len({each.dataset_hash for each in same}) == 1
    return status.dataset if alone else f"{status.dataset} ({status.dataset_hash[:8]})"


def _line(status: StudyStatus, dataset: str) -> Text:
    """The same in words, where a table has no room."""
    numbers = ", ".join(_(TOLD[state], n=_number(status, state)) for state in STATES)
    return Text(
        printable(
            _(
                "{study} on {dataset} ({setting}): {numbers}; work left {work}, done in {eta}",
                study=status.study,
                dataset=dataset,
                setting=_setting(status),
                numbers=numbers,
                work=_time(status.work_seconds),
                eta=_time(status.eta_seconds),
            )
        )
    )


def _setting(status: StudyStatus) -> str:
    if status.elsewhere:
        return _("trained elsewhere")
    told = f"{amount(status.epochs, 'epoch')}, {status.setting[:8]}"
    name = context_name(tuple(status.context.items()))
    return f"{told}, {printable(name)}" if name else told


def _number(status: StudyStatus, state: str) -> str:
    number = f"{status.counts.get(state, 0):,}"
    if state is RunStatus.STOPPED and status.pruned:
        return _("{n} ({pruned} pruned)", n=number, pruned=status.pruned)
    if state is not RunStatus.FAILED or not status.failures:
        return number
    return f"{number} ({', '.join(f'{count} {kind}' for kind, count in status.failures.items())})"


def _running(running: list[tuple[StudyStatus, RunningRun]]) -> Table:
    table = Table()
    for heading in ("running", "seed", "epoch", "host", "process", "device"):
        numeric = heading in ("seed", "epoch", "process")
        table.add_column(noun(heading), justify="right" if numeric else "left", overflow="fold")
    for status, run in running:
        process = _("{pid} (gone)", pid=run.owner.pid) if run.gone else str(run.owner.pid)
        epoch = _("{n:,} of {total:,}", n=run.epoch, total=status.epochs)
        seed = (
            str(run.seed)
            if run.fold is None
            else _("{seed}, fold {fold}", seed=run.seed, fold=run.fold)
        )
        texts = (run.variant, seed, epoch, _host(run), process, run.device or "–")
        table.add_row(*(Text(printable(text)) for text in texts))
    return table


def _speeds(found: list[StudyStatus]) -> Table:
    table = Table()
    for heading in ("study", "device", "finished", "seconds for an epoch"):
        justify: JustifyMethod = "right" if heading[0] in "f" else "left"
        table.add_column(noun(heading), justify=justify, overflow="fold")
    for each in found:
        for device, speed in each.speeds.items():
            seconds = f"{speed.seconds_per_epoch:.3g}"
            texts = (each.study, device, f"{speed.finished:,}", seconds)
            table.add_row(*(Text(printable(text)) for text in texts))
    return table


def _host(run: RunningRun) -> str:
    """The machine's name; what tells its boot and its container stands behind it."""
    return run.owner.host.partition("/")[0]


def _time(seconds: float | None) -> Text:
    return Text("–" if seconds is None else duration(seconds))
