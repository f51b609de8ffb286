"""The networks of a plan take a training step each before any of them is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch

from ablate.datasets import cache
from ablate.drive.together import Structure, group, joined, structures_of
from ablate.errors import AblateError, OutputError
from ablate.measure.rehearsal import rehearse
from ablate.measure.step_guards import StepAsked
from ablate.measure.step_proof import prove_step
from ablate.network.trace import forget_outline
from ablate.plan import Plan
from ablate.study import PROTOCOL, Variant
from ablate.study.recipe import NOT_OF_A_STEP
from ablate.study.variant import NO_ATTENTION
from ablate.system.digest import digest
from ablate.system.hardware.machine import Machine, one_thread
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE
from ablate.system.software.imports import prints_to_stderr
from ablate.train.batch_sizes import all_batch_sizes

PROVEN_IMAGES = 8
"""Of variants with attention: what the whole batch could show, the backbone alone has shown."""


@one_thread()
@prints_to_stderr()
def prove_plan(
    plan: Plan, machine: Machine, images: Sequence[int], watch: Callable[[int, int], None]
) -> None:
    """Prove each distinct structure of a plan: a backbone, a kind of attention and its places, those of a
    kind in one network where they can be. What was proven before is not proven again; `images` is how many
    there are to train on, in each fold that has another number of them.

    Raises:
        PlacementError: a network that cannot be trained, or attention that does not reach the loss.
        StudyError: a user's trainer that fails.
    """
    recipe, dataset = plan.study.recipe, plan.dataset
    classes, side = len(dataset.classes()), dataset.image_size
    sizes = all_batch_sizes(images, recipe, side)
    each = dict.fromkeys((cell.variant, cell.architecture.fingerprint) for cell in plan.cells)
    structures = structures_of(each, classes, side)
    forget_outline()

    def asked(variant: Variant) -> StepAsked:
        some = sizes if variant.attention == NO_ATTENTION else _fewer(sizes)
        return StepAsked(variant, classes, side, some, recipe, machine)

    names = {s: f"proof-{_key(asked(s.variant), s.fingerprint)}" for s in structures}
    unproven = [s for s in structures if cache.load_json(names[s]) is None]
    watch(len(structures) - len(unproven), len(structures))
    for together in group(unproven):
        _prove(together, asked)
        for structure in together:
            with contextlib.suppress(OutputError):  # a cache that cannot be written
                cache.store_json(names[structure], {"proven": True})
            unproven.remove(structure)
        watch(len(structures) - len(unproven), len(structures))
    if plan.trainer is not None:
        PULSE.step(_("rehearsing {trainer}", trainer=recipe.trainer))
        # Without attention, and with it: whatever a trainer asks of a network, these two show.
        for variant in dict.fromkeys((structures[0].variant, structures[-1].variant)):
            rehearse(plan.trainer, asked(variant))


def _prove(structures: list[Structure], asked: Callable[[Variant], StepAsked]) -> None:
    """In one network, or where that fails in one for each."""
    if len(structures) > 1:
        try:
            prove_step(asked(joined(structures)))
            return
        except AblateError:
            pass  # which of them it is, each says for itself
    for structure in structures:
        prove_step(asked(structure.variant))


def _fewer(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(min(size, PROVEN_IMAGES) for size in sizes))


def _key(asked: StepAsked, fingerprint: str) -> str:
    """What a proof holds for: the network, how it is stepped, and by which torch."""
    machine = asked.machine
    return digest(
        {
            "fingerprint": fingerprint,
            "classes": asked.classes,
            "sizes": asked.batch_sizes,
            "recipe": asked.recipe.model_dump(mode="json", exclude=NOT_OF_A_STEP),
            "machine": [machine.device.type, machine.precision.name],
            "torch": torch.__version__,
            "protocol": PROTOCOL,
        }
    )
