"""Whether the networks of a plan have taken their training steps already: seen without torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.base import fold_of_all
from ablate.datasets.sealed import load_sealed, store_sealed
from ablate.datasets.split import hold_out, stratified_draw
from ablate.errors import OutputError
from ablate.plan import Plan, folds_of
from ablate.study import PROTOCOL
from ablate.study.keys import by_difference
from ablate.study.recipe import NOT_OF_A_STEP
from ablate.system.digest import digest
from ablate.system.hardware.known_machine import KnownMachine
from ablate.system.software.program import program_id
from ablate.train.batch_sizes import all_batch_sizes


def prove_steps(
    plan: Plan, machine: KnownMachine, images: Sequence[int], watch: Callable[[int, int], None]
) -> None:
    """Let each network of a plan take a training step, unless all of them have on such a machine.

    Raises:
        PlacementError: a network that cannot be trained, or attention that does not reach the loss.
        StudyError: a user's trainer that fails.
    """
    name = f"proof-{_key(plan, machine, images)}"
    if load_sealed(name) is not None:
        return
    from ablate.drive.proof import prove_plan
    from ablate.system.hardware.machine import find_machine

    found = find_machine(machine.device, plan.study.recipe.precision)
    prove_plan(plan, found, images, watch)
    with contextlib.suppress(OutputError):  # a cache that cannot be written: proven again next time
        store_sealed(name, {"proven": True})


def trained_images(plan: Plan, labels: NDArray[np.int64] | None) -> tuple[int, ...]:
    """How many images are trained on, without those that are held out: each number that a fold has, since
    their last batches differ. None at all where nobody knows yet.

    Raises:
        DataError: nothing can be held out, or `data.train_images` cannot be drawn.
    """
    recipe, drawn = plan.study.recipe, plan.study.data.train_images
    if labels is None:
        return () if drawn is None else (drawn,)
    groups, counts = plan.dataset.train_groups(), []
    for fold in folds_of(plan.study):
        rows = np.arange(len(labels))
        if fold is not None:
            rows = fold_of_all(plan.dataset.train_folds(), fold).rest
        if recipe.split != "tutorial" and not plan.dataset.has_validation():
            mine = None if groups is None else groups[rows]
            kept, _ = hold_out(labels[rows], recipe.validation_fraction, groups=mine)
            rows = rows[kept]
        rows = rows if drawn is None else stratified_draw(labels[rows], drawn, seed=0)
        counts.append(len(rows))
    return tuple(sorted(set(counts)))


def _key(plan: Plan, machine: KnownMachine, images: Sequence[int]) -> str:
    """What proofs of all networks hold for: the networks, how they are stepped, and by which program."""
    recipe, dataset = plan.study.recipe, plan.dataset
    trainer = None if plan.trainer is None else [recipe.trainer, plan.trainer.digest, recipe.epochs]
    return digest(
        {
            **by_difference({"trainer": trainer}, {"trainer": None}),
            "fingerprints": sorted({cell.architecture.fingerprint for cell in plan.cells}),
            "classes": len(dataset.classes()),
            "sizes": all_batch_sizes(images, recipe, dataset.image_size),
            "recipe": recipe.model_dump(mode="json", exclude=NOT_OF_A_STEP),
            "machine": [machine.device, machine.precision],
            "program": program_id(),
            "protocol": PROTOCOL,
        }
    )
