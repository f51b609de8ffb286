"""How the runs of a plan are computed on a machine: asked of the database, or measured once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ablate.attention import fusable
from ablate.errors import MeasuringError
from ablate.execute import Executor
from ablate.plan import Plan
from ablate.result import Choice
from ablate.store.writing.choices import ChoiceKey, Choices
from ablate.study import Variant
from ablate.system.hardware.machine import Machine
from ablate.tune.cohorts import MOST, CohortSize, MeasureCohorts, best_size
from ablate.tune.kernels import MeasureKernels
from ablate.tune.steps import MeasureSteps, StepPath

MOST_SECONDS = 900.0
"""A measurement that takes longer hangs: it is seconds of work, and minutes where networks are compiled."""


def _silent(_text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Tuning:
    """The choices for a plan on a machine. `note` is told what came out of a measurement; `shared_by` is how
    many cohorts are trained on one GPU at the same time.

    What is not in the database is measured in a worker of the executor that is given, which is warm for
    training then; one in which a capture failed is replaced.
    """

    plan: Plan
    choices: Choices
    machine: Machine
    deterministic: bool = False
    note: Callable[[str], None] = _silent
    shared_by: int = 1

    def kernels(self, executor: Executor) -> dict[str, str]:
        """The kernel of each kind of attention that has more than one; empty if the plan uses none, or
        if it is trained in the exact precision, which has the plain one alone.

        Raises:
            MeasuringError: the measurement failed.
        """
        if set(self.known_kernels()) < set(self._fusable):
            job = MeasureKernels(self.machine.device.type, self.plan.study.recipe.precision)
            [measured] = executor.results(job)
            for attention, choice in measured.items():
                self.choices.keep(self._key("kernel", attention), choice)
        return self.known_kernels()

    def known_kernels(self) -> dict[str, str]:
        """Those of them that were chosen already."""
        found = {name: self.choices.find(self._key("kernel", name)) for name in self._fusable}
        return {name: str(choice.choice) for name, choice in found.items() if choice is not None}

    @property
    def _fusable(self) -> list[str]:
        """The kinds of attention in the plan for which there is something to choose."""
        if self.machine.precision.exact:
            return []
        kinds = {kind for cell in self.plan.cells for kind in cell.variant.kinds}
        return sorted(kinds & set(fusable()))

    def step_path(self, executor: Executor, kernels: Mapping[str, str]) -> str:
        """How cohorts are stepped: `eager`, the only way of a CPU, `graph` or `compiled`."""
        known = self.known_step_path()
        if known is not None:
            return known
        study, key = self.plan.study, self._step_key
        job = MeasureSteps(
            some_variants(self.plan, self.machine.cohort), study.recipe, self.plan.dataset,
            self.machine.device.type, kernels, self.deterministic, study.data, len(self.plan.cells),
            len({cell.architecture.fingerprint for cell in self.plan.cells}),
        )  # fmt: skip
        found: list[StepPath] = []
        try:
            for measured in executor.results(job, MOST_SECONDS):
                found.append(measured)
        except MeasuringError as error:
            if not found:
                # Not stored: what killed the process may not be the graph. Training goes on without one.
                self.note(f"steps: eager, {error}")
                return "eager"
            found[-1] = found[-1].noting(f"cannot be compiled: {error}")
        best = found[-1]
        self.note(f"steps: {best.path}, {best.note}")
        return str(self.choices.keep(key, Choice(best.path, best.note)).choice)

    def known_step_path(self) -> str | None:
        """That way if it was chosen already."""
        if not self.machine.is_gpu:
            return "eager"
        known = self.choices.find(self._step_key)
        return None if known is None else str(known.choice)

    @property
    def _step_key(self) -> ChoiceKey:
        return self._key("steps", self.plan.study.setting, *self._conditions)

    def cohort(self, executor: Executor, kernels: Mapping[str, str], step_path: str) -> int:
        """How many runs of a seed are trained side by side: on a GPU by measurement."""
        usual = self.machine.cohort
        variants = some_variants(self.plan, MOST)
        if not self.machine.is_gpu or len(variants) == 1:
            return usual
        study = self.plan.study
        shared = (f"{self.shared_by} on a GPU",) if self.shared_by > 1 else ()
        key = self._key("cohort", study.setting, step_path, *self._conditions, *shared)
        known = self.choices.find(key)
        if known is not None:
            return int(known.choice)
        job = MeasureCohorts(
            variants, study.recipe, self.plan.dataset, self.machine.device.type, kernels, step_path,
            self.deterministic, self.shared_by,
        )  # fmt: skip
        measured: list[CohortSize] = []
        try:
            for each in executor.results(job, MOST_SECONDS):
                measured.append(each)
        except MeasuringError as error:
            # Not stored: what broke it off may not break it off again.
            size = best_size(measured) if measured else usual
            self.note(f"runs side by side: {size} for now, {error}")
            return size
        if not measured:
            return usual
        size, one = best_size(measured), measured[0].seconds_a_run
        gains = ", ".join(f"{m.size}: {one / m.seconds_a_run:.2f}×" for m in measured)
        reason = f"speed of a run by their number: {gains}"
        self.note(f"runs side by side: {size} ({reason})")
        return int(self.choices.keep(key, Choice(size, reason)).choice)

    def _key(self, decision: str, subject: str, *conditions: str) -> ChoiceKey:
        name, precision = self.machine.name, self.machine.precision.name
        return ChoiceKey(name, precision, decision, subject, ", ".join(conditions))

    @property
    def _conditions(self) -> tuple[str, ...]:
        return ("deterministic",) if self.deterministic else ()


def some_variants(plan: Plan, most: int) -> tuple[Variant, ...]:
    """At most so many of a plan's networks, from all over its grid, the first among them."""
    networks = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    variants = list(networks.values())
    return tuple(variants[:: math.ceil(len(variants) / most)])
