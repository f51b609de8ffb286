"""`ablate plan`: the cells of a study, for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ablate.commands import power
from ablate.commands.plan_table import print_table
from ablate.commands.power import document, find_outlook
from ablate.datasets import data_of
from ablate.drive.proven import prove_steps, trained_images
from ablate.drive.space import Space, refuse_unfit, space_of, told_space
from ablate.outline.machine import see_machine
from ablate.plan import Cell, Plan, make_plan, with_data
from ablate.result import TOLD, RunStatus
from ablate.stats.planning import Outlook
from ablate.store.connection.sqlite_file import plain_file
from ablate.study import Study
from ablate.system.hardware.known_machine import KnownMachine
from ablate.system.messages.console import Counting, say
from ablate.system.messages.context import context_name
from ablate.system.messages.language import _, amount
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import duration

if TYPE_CHECKING:
    from ablate.store.progress.run_statuses import Stored

Counts = dict[RunStatus, int]


@dataclass(frozen=True)
class _Looked:
    """A plan with what the database has of it, the status of each cell at its place; seconds are None where
    nothing was measured here.
    """

    plan: Plan
    status: Sequence[RunStatus]
    missing: int
    seconds: float | None
    outside: Counts
    others: Counts
    otherwise: Counts
    begun: Counts
    outlook: Outlook | None
    seconds_a_run: float | None
    space: Space | None

    def document(self) -> dict[str, Any]:
        found = _document(self.plan, self.status, self.missing, self.seconds)
        found["outside_grid"] = self.outside
        found["of_other_networks"] = self.others
        found["of_other_code"] = self.otherwise
        found["of_other_weights"] = self.begun
        found["space"] = None if self.space is None else self.space.document()
        return {**found, "verdicts": document(self.outlook, self.seconds_a_run)}


def show_plans(
    studies: Sequence[Study], data: Path | None, url: str, format: str, *, probe: bool = True
) -> None:
    """The same of a study in each of its contexts.

    Raises:
        AblateError: the study, the data or the database must be changed.
    """
    if len(studies) == 1:
        show_plan(studies[0], data, url, format, probe=probe)
        return
    found = [_look(study, data_of(study, data), url, probe) for study in studies]
    PULSE.clear()
    missing, seconds = sum(each.missing for each in found), [each.seconds for each in found]
    known = [each for each in seconds if each is not None]
    total = sum(known) if len(known) == len(seconds) else None
    if format == "json":
        each = [{"context": dict(f.plan.study.context), **f.document()} for f in found]
        whole = {"missing": missing, "estimated_seconds": total}
        print(json.dumps({"study": studies[0].name, "contexts": each, **whole}, indent=2))
        return
    for looked in found:
        say(_("context {context}", context=context_name(looked.plan.study.context)))
        _tell(looked, url)
    time = (
        _("not known yet on this machine")
        if total is None
        else _("about {total}", total=duration(total))
    )
    say(
        _(
            "{contexts}, {runs} missing; time: {time}",
            contexts=amount(len(found), "context"),
            runs=amount(missing, "run"),
            time=time,
        )
    )


def show_plan(
    study: Study, data: Path | None, url: str, format: str, *, probe: bool = True
) -> None:
    """Print what a study consists of and what of it is missing. With `probe` each of its networks has
    taken a training step.

    Raises:
        AblateError: the study, the data or the database must be changed.
    """
    looked = _look(study, data, url, probe)
    PULSE.clear()
    if format == "json":
        print(json.dumps(looked.document(), indent=2))
    else:
        _tell(looked, url)


def _look(study: Study, data: Path | None, url: str, probe: bool) -> _Looked:
    PULSE.step(_("reading the data set"))
    plan = with_data(make_plan(study, data))
    keys = [cell.run_key for cell in plan.cells if cell.run_key is not None]
    machine = see_machine(study.recipe.precision)
    space = space_of(plan, machine)
    refuse_unfit(plan, space, every_worker=False)
    trained_on = trained_images(plan, plan.dataset.train_labels())
    if probe:
        counting = Counting(Console(stderr=True), _("a training step of each network"))
        prove_steps(plan, machine, trained_on, counting)
    PULSE.step(_("reading the database"))
    stored, seconds = _look_up(plan, keys, url, machine)
    known = stored.statuses if stored else {}
    beside = _beside(stored) if stored else ({}, {}, {}, {})
    status = tuple(known.get(cell.run_key or "", RunStatus.PLANNED) for cell in plan.cells)
    places = zip(plan.cells, status, strict=True)
    missing = [cell for cell, each in places if not each.is_over]
    estimate = _estimate(plan, missing, seconds, machine)
    PULSE.step(_("finding what seeds can see"))
    outlook = find_outlook(plan, None if _is_first(url) else url)
    each = _per_run(plan, seconds, machine)
    return _Looked(plan, status, len(missing), estimate, *beside, outlook, each, space)


def _beside(stored: Stored) -> tuple[Counts, Counts, Counts, Counts]:
    """What there is beside the plan's runs: of the study, of other networks, other code, other weights."""
    return stored.outside, stored.others, stored.of_other_code, stored.of_other_weights


def _tell(looked: _Looked, url: str) -> None:
    space = told_space(looked.space)
    print_table(looked.plan, looked.status, looked.missing, looked.seconds, space)
    if looked.outside:
        say(
            _(
                "beside its grid the study has {runs} (of its search, of more seeds or of a larger grid): "
                "{states}",
                runs=amount(sum(looked.outside.values()), "run"),
                states=_states(looked.outside),
            )
        )
    if looked.others:
        say(
            _(
                "another network had these names in {runs} ({states}): its code or libraries have changed "
                "since; they stay in the database, and count again where it is as it was",
                runs=amount(sum(looked.others.values()), "run"),
                states=_states(looked.others),
            )
        )
    if looked.otherwise:
        say(
            _(
                "{runs} ({states}) were trained or measured by other code of yours, or by none, and do not "
                "count here: they stay in the database, and count again where that is as it was",
                runs=amount(sum(looked.otherwise.values()), "run"),
                states=_states(looked.otherwise),
            )
        )
    if looked.begun:
        say(
            _(
                "{runs} ({states}) began with other weights than {weights} as it is now, and do not count "
                "here: they stay in the database, and count again where the file is as it was",
                runs=amount(sum(looked.begun.values()), "run"),
                states=_states(looked.begun),
                weights=looked.plan.study.weights,
            )
        )
    for line in power.told(looked.plan, looked.outlook, looked.seconds_a_run):
        say(line)
    _tell_namesakes(looked.plan, url)


def _states(counts: Counts) -> str:
    return ", ".join(_(TOLD[each], n=n) for each, n in counts.items())


def _look_up(
    plan: Plan, keys: list[str], url: str, machine: KnownMachine
) -> tuple[Stored | None, dict[str, float]]:
    """What the database has of the study's runs and beside them, and seconds for one epoch of each network
    that this device has trained.
    """
    content = plan.dataset.content_hash()
    if content is None or _is_first(url):
        return None, {}
    from ablate.store.progress.run_statuses import stored_of_study
    from ablate.store.progress.speeds import stored_speed

    networks = {name: architecture.fingerprint for name, architecture in plan.variants.items()}
    now = plan.sources, plan.weights_sha256
    stored = stored_of_study(url, plan.study, content, keys, networks, *now)
    seconds = stored_speed(url, machine.name, content, plan.study.conditions)
    return stored, seconds


def _is_first(url: str) -> bool:
    """The first plan of all is shown without loading SQLAlchemy, 0.6 s."""
    file = plain_file(url)
    return file is not None and not file.exists()


def _tell_namesakes(plan: Plan, url: str) -> None:
    content = plan.dataset.content_hash()
    if content is None or _is_first(url):
        return
    from ablate.store.reading.datasets import told_namesakes

    if said := told_namesakes(url, plan.study.name, plan.dataset.label, content):
        say(said)


def _estimate(
    plan: Plan, missing: list[Cell], seconds: dict[str, float], machine: KnownMachine
) -> float | None:
    """Seconds for the missing runs with as many workers as `run` takes, from what an epoch takes here."""
    if not missing:
        return 0.0
    if not seconds:
        return None
    usual = sum(seconds.values()) / len(seconds)
    epochs = plan.study.recipe.epochs
    total = sum(seconds.get(cell.architecture.fingerprint, usual) * epochs for cell in missing)
    return total / min(machine.workers, len(missing))


def _per_run(plan: Plan, seconds: dict[str, float], machine: KnownMachine) -> float | None:
    """Seconds that one run more takes, with all workers busy."""
    if not seconds:
        return None
    return sum(seconds.values()) / len(seconds) * plan.study.recipe.epochs / machine.workers


def _document(
    plan: Plan, status: Sequence[RunStatus], missing: int, seconds: float | None
) -> dict[str, Any]:
    cells = [
        {
            "run_key": cell.run_key,
            "variant": cell.variant.name,
            "attention": cell.variant.attention,
            "position": cell.variant.position,
            "reduction": cell.variant.option("reduction"),
            "kernel_size": cell.variant.option("kernel_size"),
            "seed": cell.seed,
            "fold": cell.fold,
            "parameters": cell.architecture.parameters,
            "attention_parameters": cell.architecture.attention_parameters,
            "macs": cell.architecture.macs,
            "elementwise": cell.architecture.elementwise,
            "activations": cell.architecture.activations,
            "uncounted": list(cell.architecture.uncounted),
            "status": each,
        }
        for cell, each in zip(plan.cells, status, strict=True)
    ]
    return {
        "study": plan.study.name,
        "cells": cells,
        "aliases": plan.aliases,
        "notes": list(plan.notes),
        "own_attention": plan.own_attention,
        "missing": missing,
        "estimated_seconds": seconds,
        "data": None if plan.data is None else plan.data.document(),
    }
