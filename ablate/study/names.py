"""The names that a study may use, known without what they name: a wrong one is told before torch is loaded.

Each is a copy of the keys of a table, and a test holds the two together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ablate.errors import unknown
from ablate.study.options import split_call
from ablate.study.study import Study
from ablate.study.variant import NO_ATTENTION
from ablate.system.imports import check_allowed

ATTENTION = ("se", "cbam", "cbam_channel", "cbam_spatial", "eca", "identity", "random_gate")
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
        StudyError: a network of the user's from a package that may not be imported.
    """
    if "torch" in sys.modules:
        return
    recipe = study.recipe
    _check("augmentation", recipe.augment, AUGMENTS)
    _check("optimizer", (recipe.optimizer,), OPTIMIZERS)
    _check("schedule", (recipe.schedule,), SCHEDULES)
    _check("attention", [v.attention for v in study.variants()], (NO_ATTENTION, *ATTENTION))
    _check("dataset", (split_call(study.dataset)[0],), DATASETS)
    backbone, _ = split_call(study.backbone)
    if ":" not in backbone:
        _check("backbone", (backbone,), (*BACKBONES, *ELSEWHERE))
    elif not backbone.startswith("torchvision:"):
        check_allowed(backbone)


def _check(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
