"""The names that a study may use, known without what they name: a wrong one is told before torch is loaded.

Each is a copy of the keys of a table, of attention with its options too, and a test holds them together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ablate.errors import StudyError, nearest, unknown
from ablate.study.augments import AUGMENT_OPTIONS, parse_augment
from ablate.study.complete import complete_variant
from ablate.study.controls import controls_in, unmatched
from ablate.study.meant import or_meant
from ablate.study.options import split_call
from ablate.study.own_metrics import is_own_metric
from ablate.study.recipe import OPTIMIZER_KEYS, Recipe
from ablate.study.study import Study
from ablate.study.variant import Option
from ablate.system.software.imports import check_allowed

ATTENTION_OPTIONS: dict[str, dict[str, Option]] = {
    "se": {"reduction": 16, "start": "paper"},
    "cbam": {"reduction": 16, "kernel_size": 7, "start": "paper"},
    "cbam_channel": {"reduction": 16, "start": "paper"},
    "cbam_spatial": {"kernel_size": 7, "start": "paper"},
    "eca": {"kernel_size": 0, "start": "paper"},
    "identity": {"start": "paper"},
    "random_gate": {"gate_seed": 0, "start": "paper"},
}
ATTENTION = tuple(ATTENTION_OPTIONS)
AUGMENTS = tuple(AUGMENT_OPTIONS)
BACKBONES = ("cbam_cnn", "se_cnn", "se_cnn2")
DATASETS = ("digits", "cifar10", "images")
OPTIMIZERS = tuple(OPTIMIZER_KEYS)
SCHEDULES = ("constant", "cosine", "step", "one_cycle", "plateau")
ELSEWHERE = ("torchvision:NAME", "PACKAGE.MODULE:NAME")


def check_names(study: Study) -> None:
    """Say of the first name that nothing has, as planning would some seconds later: in its order, in its
    words. Where torch is loaded already there is nothing to be gained, and nothing is looked at.

    Raises:
        UnknownNameError: no such augmentation, optimizer, schedule, attention, dataset or backbone.
        OptionError: an option that an attention does not have, or no position.
        StudyError: a baseline or control that is no variant, or a network, attention or metric of the user's
            from a package that may not be imported.
    """
    if "torch" in sys.modules:
        return
    check_recipe(study.recipe)
    own = [kind for v in study.variants() for kind in v.own_kinds]
    ours = [v for v in study.variants() if not v.own_kinds]
    variants = [complete_variant(variant, ATTENTION_OPTIONS) for variant in ours]
    for name in own:
        check_allowed(name)
    if is_own_metric(study.metric):
        check_allowed(split_call(study.metric)[0])
    if not own:  # whose names have options that only importing them tells
        with_whole_baseline(study, [variant.name for variant in variants])
    _check("dataset", (split_call(study.dataset)[0],), DATASETS)
    backbone, _ = split_call(study.backbone)
    if ":" not in backbone:
        _check("backbone", (backbone,), (*BACKBONES, *ELSEWHERE))
    elif not backbone.startswith("torchvision:"):
        check_allowed(backbone)


def check_recipe(recipe: Recipe) -> None:
    """Say of the first name of a recipe that nothing has.

    Raises:
        UnknownNameError: no such augmentation, optimizer or schedule.
        OptionError: an option that an augmentation does not have.
        StudyError: a key that its optimizer does not have, or a trainer of the user's from a package that may
            not be imported.
    """
    for augment in recipe.augment:
        parse_augment(augment)
    check_optimizer(recipe)
    if recipe.trainer is not None:
        check_allowed(split_call(recipe.trainer)[0])
    _check("schedule", (recipe.schedule,), SCHEDULES)


def check_optimizer(recipe: Recipe) -> None:
    """Raises:
    UnknownNameError: no such optimizer.
    StudyError: it does not know a key that is set.
    """
    name = recipe.optimizer
    _check("optimizer", (name,), OPTIMIZERS)
    for key in dict.fromkeys(key for keys in OPTIMIZER_KEYS.values() for key in keys):
        if getattr(recipe, key) is not None and key not in OPTIMIZER_KEYS[name]:
            raise StudyError(
                f"recipe.{key} is nothing that {name} has: leave it out; {name} has "
                f"{', '.join(OPTIMIZER_KEYS[name])}"
            )


def with_whole_baseline(study: Study, names: Sequence[str]) -> Study:
    """The study with its baseline by its whole name among those of its variants.

    Raises:
        StudyError: there is no such variant, or none of a control's name, or the baseline is a control.
    """
    study = study.model_copy(update={"baseline": or_meant(study.baseline, names)})
    _check_baseline(study, names)
    _check_controls(study, names)
    return study


def controls_here(study: Study, names: Sequence[str]) -> tuple[str, ...]:
    """The controls of a study without those that name variants of other contexts alone."""
    missing = unmatched(study.controls, names)
    others = study.variants_elsewhere() if missing else []
    ours = [complete_variant(v, ATTENTION_OPTIONS).name for v in others if not v.own_kinds]
    # The options of the user's own are known to those contexts alone: their names are compared up to these.
    own = [v.attention for v in others if v.own_kinds]
    strange = [
        control
        for control in unmatched(missing, ours)
        if unmatched([control.partition("(")[0]], own)
    ]
    absent = [control for control in missing if control not in strange]
    return tuple(control for control in study.controls if control not in absent)


def _check_baseline(study: Study, names: Sequence[str]) -> None:
    if study.baseline not in names:
        raise StudyError(
            f"the baseline {study.baseline!r} is no variant of the grid"
            f"{nearest(study.baseline, names)}; there are: {', '.join(names[:40])}"
        )


def _check_controls(study: Study, names: Sequence[str]) -> None:
    for control in unmatched(controls_here(study, names), names):
        raise StudyError(
            f"the control {control!r} is no variant of the grid{nearest(control, names)}; there are: "
            f"{', '.join(names[:40])}"
        )
    for control in study.controls:
        if study.baseline in controls_in([control], names):
            raise StudyError(
                f"the control {control!r} names the baseline, and nothing is its own control: name a placebo"
            )


def _check(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
