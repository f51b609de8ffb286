"""How claimed runs begin: as their checkpoints left them or anew, in cohorts that are computed in one way."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.drive.held import Held
from ablate.drive.options import is_shown
from ablate.drive.paths import Paths
from ablate.job import Cohort, Run
from ablate.plan import Plan
from ablate.result import ComputePath
from ablate.store.writing.store import Claim
from ablate.system.messages.language import N_

OTHER_PATH = N_("it is computed in another way than those that it was taken with")


@dataclass
class Begin:
    """Makes jobs of claimed runs of a plan."""

    plan: Plan
    held: Held
    paths: Paths

    def path(self, run_key: str) -> Mapping[str, Any]:
        """Under which path a run begins that nobody has begun."""
        return self.paths.own(self.held.cells[run_key])

    def group(self, run_key: str) -> Hashable:
        """Runs of one seed and fold that are computed in one way share a cohort."""
        cell = self.held.cells[run_key]
        return cell.seed, cell.fold, self.paths.of(cell)

    def cohort(self, claims: Sequence[Claim]) -> tuple[Cohort, ComputePath]:
        """Those of the claimed runs that have one path, and that path; those that turn out to have another
        are given back, to be claimed with their like.
        """
        if not all(claim.is_first for claim in claims):
            self.paths.look_up()  # now that nobody else can begin them
        begun = [self._run(claim) for claim in claims]
        _, path = begun[0]
        for claim, (_, other) in zip(claims, begun, strict=True):
            if other != path:
                self.held.give_back(claim, OTHER_PATH)
        return self._of(tuple(run for run, its in begun if its == path), path), path

    def _of(self, runs: tuple[Run, ...], path: ComputePath) -> Cohort:
        study, how = self.plan.study, self.held.how
        first = self.held.cells[runs[0].run_key]
        return Cohort(
            runs=runs,
            seed=first.seed,
            fold=first.fold,
            recipe=study.recipe,
            dataset=self.plan.dataset,
            device=how.device,
            kernels=dict(path.kernels),
            step_path=path.step_path,
            deterministic=path.deterministic,
            checkpoint_seconds=how.checkpoint_seconds,
            content_hash=self.plan.dataset.content_hash(),
            named=self.plan.named,
            pretrained=self.plan.pretrained,
            trainer=self.plan.trainer,
            data=study.data,
            metric=self.plan.metric,
        )

    def _run(self, claim: Claim) -> tuple[Run, ComputePath]:
        """A claimed run as its checkpoint left it, or at its beginning, and the path that it takes."""
        cell = self.held.cells[claim.run_key]
        path, refusal = self.paths.of(cell), self.paths.refusal(cell)
        start = None  # there is nothing of a first attempt yet, and its path came with the claim
        if not claim.is_first:
            start = self.held.store.resume(claim, self.paths.own(cell), anew=refusal is not None)
        begun = start.epoch if start else 0
        self.held.look(cell, lambda: self.held.store.forget_histograms(claim, begun))
        if refusal is not None:
            self.held.tell_anew(cell, refusal)
        if start is None:
            path = self.paths.fresh(cell)
        else:
            self.held.progress.resumed(cell, start.epoch)
        run = Run(
            run_key=claim.run_key,
            variant=cell.variant,
            keep=self.held.how.keeps(cell.seed),
            look=is_shown(cell),
            start=start.content if start else None,
            histograms=is_shown(cell),
            fingerprint=cell.architecture.fingerprint,
        )
        return run, path
