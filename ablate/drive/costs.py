"""Measures what the plan's variants cost on this device: throughput in several processes, then a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from rich.console import Console

from ablate.drive.turns import Turns
from ablate.errors import MeasuringError
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Conditions, Network
from ablate.measure.profile import PATHS, QUIET, Profile
from ablate.measure.throughput import (
    Protocol,
    Throughput,
    Turn,
    Unrecorded,
    quick,
    with_baseline,
)
from ablate.measure.timings import Timings, costs_of
from ablate.plan import Cell, Plan
from ablate.result import Cost, RunStatus, Started
from ablate.stats.ratios import FEWEST_PROCESSES
from ablate.store.writing.store import Store
from ablate.system.files.folders import lock_folder
from ablate.system.files.inside import inside
from ablate.system.files.lock import only_one
from ablate.system.hardware.machine import Machine
from ablate.system.messages.console import Counting, say
from ablate.system.messages.language import _, amount
from ablate.system.messages.text import duration
from ablate.system.software.environment import package_version
from ablate.tune.choose import Tuning


def measure_costs(plan: Plan, store: Store, machine: Machine, console: Console) -> None:
    """Measure the variants that have a finished run and no cost or no profile on this machine.

    Throughput runs in processes of its own, and the profile in the last of them: no clock runs after a
    profiler, which may slow what follows it. Measurements on one machine wait for each other, and none is
    taken beside training of the same study: whoever trains last measures.

    Raises:
        MeasuringError: too many measuring processes failed or were lost.
    """
    with _alone(console):
        if _in_training(plan, store):
            say(_("another process is training this study: it will measure"), console)
            return
        conditions = measuring_conditions(plan, store, machine)
        finished = _finished(plan, store)
        unmeasured = _without(finished, _measured(plan, store, machine))
        unprofiled = _without(finished, store.costs.profiled(machine.name))
        with _process() as process:
            if unmeasured:
                baseline = baseline_of(plan)
                protocol = quick(len(with_baseline(unmeasured, baseline)))
                job = Throughput(unmeasured, baseline, conditions, protocol)
                _measure(process, job, store, console)
            if unprofiled:
                profile = Profile(
                    unprofiled, conditions, inside(store.costs.trace_folder.parent, "traces")
                )
                _profile(process, profile, store, console)


def measure_throughput(
    plan: Plan, store: Store, machine: Machine, console: Console, protocol: Protocol
) -> list[Cost]:
    """Measure every variant of a plan, trained or not, and store what it costs.

    Raises:
        MeasuringError: the study is being trained on this machine, or too many measuring processes
            failed or were lost; nothing was stored.
    """
    with _alone(console):
        if _in_training(plan, store):
            raise MeasuringError(
                f"another process on this machine is training {plan.study.name}: measure when it "
                "has ended"
            )
        everyone = {cell.architecture.fingerprint: _network(cell) for cell in plan.cells}
        conditions = measuring_conditions(plan, store, machine)
        job = Throughput(tuple(everyone.values()), baseline_of(plan), conditions, protocol)
        with _process() as process:
            return _measure(process, job, store, console)


def baseline_of(plan: Plan) -> Network:
    """The network that all others are compared with; a plan always has it."""
    return _network(next(c for c in plan.cells if c.variant.name == plan.study.baseline))


def _network(cell: Cell) -> Network:
    return Network(cell.variant, cell.architecture.fingerprint)


def run_throughput(job: Throughput, console: Console) -> list[Cost]:
    """Measure, and store nothing.

    Raises:
        MeasuringError: too many processes failed or were lost.
    """
    with _process() as process:
        return _throughput(process, job, console)[0]


def _throughput(
    process: LocalExecutor, job: Throughput, console: Console
) -> tuple[list[Cost], Mapping[str, Any]]:
    """The costs, and the environment in which they were measured. Each part has a fresh process. Where one
    network cannot be recorded all are measured by eager steps: costs are there to be compared.
    """
    protocol, timings = job.protocol, list[Timings]()
    environment: Mapping[str, Any] = {}
    with Turns(console, protocol) as turns:
        for number in range(protocol.processes):
            process.close()
            turns.process(number)
            try:
                part, environment = _part(process, replace(job, process=number), turns)
                if isinstance(part, Unrecorded):
                    break
                timings.append(part)
            except MeasuringError as error:
                missing = number + 1 - len(timings)
                if protocol.processes - missing < FEWEST_PROCESSES:
                    raise
                turns.lost(number, str(error))
        else:
            return costs_of(timings, job.baseline.fingerprint, protocol.name), environment
    say(
        _("  measured by eager steps, a network cannot be recorded: {reason}", reason=part.reason),
        console,
    )
    eagerly = replace(job, conditions=replace(job.conditions, recorded=False))
    return _throughput(process, eagerly, console)


def _part(
    process: LocalExecutor, job: Throughput, turns: Turns
) -> tuple[Timings | Unrecorded, Mapping[str, Any]]:
    """What one process timed, and its environment."""
    found, environment = list[Timings | Unrecorded](), dict[str, Any]()
    for event in process.results(job, waiting=turns.waiting):
        match event:
            case Started():
                environment = dict(event.environment)
            case Turn():
                turns.turn(event)
            case Timings() | Unrecorded():
                found.append(event)
    return found[0], environment


def _alone(console: Console) -> AbstractContextManager[None]:
    """The only measurement on this machine."""
    return only_one(
        lock_folder() / "measuring.lock",
        _("another measurement is under way on this machine: waiting for it"),
        lambda text: say(text, console),
    )


def _in_training(plan: Plan, store: Store) -> bool:
    """Whether a living process on this machine trains runs of the study."""
    running = store.running([str(cell.run_key) for cell in plan.cells]).values()
    return any(owner.is_here() and not owner.is_gone() for owner, _, _ in running)


def measuring_conditions(plan: Plan, store: Store, machine: Machine) -> Conditions:
    """Under what the networks of a plan are measured: by plain steps, with the kernels that were chosen for
    training, and by recorded steps on a GPU, unless it was found to train by eager ones.
    """
    recipe, device = plan.study.recipe.plain_step, machine.device.type
    tuning = Tuning(plan, store.choices, machine)
    recorded = machine.is_gpu and tuning.known_step_path() != "eager"
    return Conditions(
        recipe, plan.dataset, device, tuning.known_kernels(), plan.named, recorded=recorded
    )


def _measured(plan: Plan, store: Store, machine: Machine) -> set[str]:
    """The networks whose costs beside this baseline are known, under this version of torch."""
    return store.costs.measured(
        machine.name,
        machine.precision.name,
        plan.study.recipe.batch_size,
        baseline_of(plan).fingerprint,
        package_version("torch"),
    )


def _measure(process: LocalExecutor, job: Throughput, store: Store, console: Console) -> list[Cost]:
    protocol = job.protocol
    say(
        _(
            "measuring throughput of {variants} ({protocol}: {processes} processes of "
            "{rounds}, blocks of {block_seconds:.2g} s, at least {least})",
            variants=amount(len(job.everyone), "variant"),
            protocol=_(protocol.name),
            processes=protocol.processes,
            rounds=amount(protocol.rounds, "round"),
            block_seconds=protocol.block_seconds,
            least=duration(protocol.seconds(len(job.everyone))),
        ),
        console,
    )
    costs, environment = _throughput(process, job, console)
    store.costs.add_costs(costs, environment)
    return costs


def _profile(process: LocalExecutor, job: Profile, store: Store, console: Console) -> None:
    say(_("profiling {variants}", variants=amount(len(job.networks), "variant")), console)
    shown = Counting(console, _("  profiles"))
    reasons: set[str] = set()
    for done, profiled in enumerate(process.results(job), start=1):
        store.costs.add_profile(profiled.rows)
        store.costs.add_trace(profiled.trace)
        shown(done, len(job.networks) * len(PATHS))
        reason = profiled.trace.reason
        if reason is not None and reason not in reasons:
            reasons.add(reason)
            say(f"  {reason}", console)


def _finished(plan: Plan, store: Store) -> dict[str, Network]:
    """The networks that have a finished run, by fingerprint."""
    status = store.statuses([str(cell.run_key) for cell in plan.cells])
    return {
        cell.architecture.fingerprint: _network(cell)
        for cell in plan.cells
        if status.get(str(cell.run_key)) is RunStatus.FINISHED
    }


def _without(networks: dict[str, Network], done: set[str]) -> tuple[Network, ...]:
    return tuple(n for fingerprint, n in networks.items() if fingerprint not in done)


def _process() -> LocalExecutor:
    """A process to measure in; it starts with the first job."""
    os.environ.update({**QUIET, **os.environ})
    return LocalExecutor(workers=1)
