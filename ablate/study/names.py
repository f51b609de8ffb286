"""The names that a study may use, known without what they name: a wrong one is told before torch is loaded.

Each is a copy of the keys of a table, of attention with its options too, and a test holds them together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ablate.errors import unknown
from ablate.study.complete import complete_variant
from ablate.study.options import split_call
from ablate.study.recipe import Recipe
from ablate.study.study import Study
from ablate.study.variant import Option
from ablate.system.imports import check_allowed

ATTENTION_OPTIONS: dict[str, dict[str, Option]] = {
    "se": {"reduction": 16},
    "cbam": {"reduction": 16, "kernel_size": 7},
    "cbam_channel": {"reduction": 16},
    "cbam_spatial": {"kernel_size": 7},
    "eca": {"kernel_size": 0},
    "identity": {},
    "random_gate": {"gate_seed": 0},
}
ATTENTION = tuple(ATTENTION_OPTIONS)
AUGMENTS = ("crop", "flip", "color", "rotate")
BACKBONES = ("cbam_cnn", "se_cnn", "se_cnn2")
DATASETS = ("digits", "cifar10", "images")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "step", "one_cycle", "plateau")
ELSEWHERE = ("torchvision:NAME", "PACKAGE.MODULE:NAME")


def check_names(study: Study) -> None:
    """Say of the first name that nothing has, as planning would some seconds later: in its order, in its
    words. Where torch is loaded already there is nothing to be gained, and nothing is looked at.

    Raises:
        UnknownNameError: no such augmentation, optimizer, schedule, attention, dataset or backbone.
        OptionError: an option that an attention does not have, or no position.
        StudyError: a network of the user's from a package that may not be imported.
    """
    if "torch" in sys.modules:
        return
    check_recipe(study.recipe)
    for variant in study.variants():
        complete_variant(variant, ATTENTION_OPTIONS)
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
    """
    _check("augmentation", recipe.augment, AUGMENTS)
    _check("optimizer", (recipe.optimizer,), OPTIMIZERS)
    _check("schedule", (recipe.schedule,), SCHEDULES)


def _check(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
