"""Keys by difference: what a study leaves at the protocol's defaults is not in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import small_plan
from torch import nn

from ablate import attention, backbones
from ablate.attention import ATTENTION, complete
from ablate.attention.se import SE
from ablate.backbones import BACKBONES
from ablate.backbones.cbam_cnn import CbamCNN
from ablate.measure.architecture import describe
from ablate.model import fingerprint
from ablate.store.writing.trials import search_key
from ablate.study import DataTable, Recipe, Variant, run_key
from ablate.study.data import DATA_PROTOCOL
from ablate.study.file import parse_study
from ablate.study.keys import by_difference, run_conditions, run_keys, setting_key
from ablate.study.recipe import PROTOCOL_DEFAULTS, STORED_ALWAYS
from ablate.study.search import (
    BOUND_PROTOCOL,
    PARAMETER_PROTOCOL,
    SEARCH_PROTOCOL,
    Bound,
    Parameter,
    Search,
)
from ablate.system.digest import digest, digests

DEFAULTS: dict[str, Any] = {
    "name": "golden",
    "dataset": "digits",
    "backbone": "cbam_cnn",
    "seeds": 1,
    "grid": [{"attention": "none"}],
}
CHANGED: dict[str, Any] = {
    **DEFAULTS,
    "backbone": "cbam_cnn(width=0.5)",
    "grid": [{"attention": "none"}, {"attention": "cbam", "position": "pool*", "reduction": 4}],
    "recipe": {
        "epochs": 3,
        "batch_size": 32,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "schedule": "cosine",
        "augment": ["crop"],
        "precision": "fp32",
        "split": "tutorial",
        "validation_fraction": 0.2,
    },
}
SEARCH: dict[str, Any] = {
    "parameters": {"attention": "se", "position": "pool3", "reduction": [4, 8]},
    "trials": 2,
}


def keys_of(document: dict[str, Any]) -> list[str | None]:
    return [
        cell.run_key for cell in small_plan(**{"recipe": {}, "image_size": 32, **document}).cells
    ]


def test_golden_keys() -> None:
    """A key that changes here loses every stored result of every user: that needs a migration."""
    study = {key: value for key, value in DEFAULTS.items() if key != "recipe"}
    plain = parse_study(study, "test")
    assert plain.recipe == Recipe()
    assert run_key("0" * 16, plain.recipe, "1" * 64, 32, seed=1) == "64c3519fd7c3b1c8"
    assert plain.setting == "159347e47ec10f3d"
    assert set(CHANGED["recipe"]) == set(STORED_ALWAYS), (
        "every field of the first recipes is changed"
    )
    changed = parse_study(CHANGED, "test")
    assert run_key("0" * 16, changed.recipe, "1" * 64, 48, seed=2) == "81dd564a6c8691a4"
    assert setting_key(changed.backbone, changed.recipe, 48) == "ae864fcc0184c697"


def test_golden_keys_of_real_networks() -> None:
    assert keys_of({**DEFAULTS, "recipe": Recipe().model_dump()}) == ["9d4e877a952c124a"]
    assert keys_of(CHANGED) == ["7ad86f03ade28bb4", "c4c57c3ceb12bac0"]


NORM_LAYERS = (
    nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4),
    nn.LayerNorm(4, bias=False),
)  # fmt: skip


@pytest.mark.parametrize("norm", NORM_LAYERS, ids=str)
def test_a_network_has_one_fingerprint_under_every_version_of_torch(
    norm: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch 2.11 says less of a norm than 2.15 does, in which the golden keys were taken."""
    newer = norm.extra_repr()
    assert re.search("affine=.*, bias=", newer), "as torch 2.15 says it"
    before = fingerprint(norm, 32)
    older = re.sub(", bias=(True|False)", "", newer)
    monkeypatch.setattr(type(norm), "extra_repr", lambda _self: older)
    assert fingerprint(norm, 32) == before


def test_every_field_has_its_line_in_the_protocol() -> None:
    assert set(PROTOCOL_DEFAULTS) == set(Recipe.model_fields)
    assert set(DATA_PROTOCOL) == set(DataTable.model_fields)
    assert DataTable.model_validate(DATA_PROTOCOL) == DataTable(), "nothing has been improved since"
    assert set(PARAMETER_PROTOCOL) == set(Parameter.model_fields)
    assert set(BOUND_PROTOCOL) == set(Bound.model_fields)
    budget = {"trials", "runs", "hours", "confirm", "confirm_seeds"}
    assert set(SEARCH_PROTOCOL) == set(Search.model_fields) - budget - {"parameters"}
    assert Recipe.model_validate(PROTOCOL_DEFAULTS) == Recipe(), "nothing has been improved since"


def test_which_images_are_used_stands_in_keys_and_runs_by_difference() -> None:
    plain, given, drawn = (
        parse_study({**DEFAULTS, **data}, "test")
        for data in ({}, {"data": {}}, {"data": {"train_images": 300}})
    )
    assert plain.setting == given.setting == "159347e47ec10f3d"
    always = plain.recipe.model_dump(mode="json", include=set(STORED_ALWAYS))
    assert plain.conditions == given.conditions == always
    assert drawn.setting == "f25e8540dd06557b"
    assert drawn.conditions == {**plain.conditions, "data.train_images": 300}
    keys = [run_key("0" * 16, s.recipe, "1" * 64, 32, 1, s.data) for s in (plain, given, drawn)]
    assert keys == ["64c3519fd7c3b1c8", "64c3519fd7c3b1c8", "b1a2fc02155af74e"]
    document = {**DEFAULTS, "recipe": Recipe().model_dump(), "data": {"train_images": 300}}
    assert keys_of(document) == ["7c6c6d09c82a6427"]


LATER: dict[str, Any] = {
    "optimizer": "sgd",
    **{"weight_decay": 5e-4, "momentum": 0.8, "nesterov": False, "betas": (0.8, 0.99)},
    **{"no_decay_on": "norm_and_bias", "clip_norm": 1.0, "accumulate": 2, "ema_decay": 0.99},
    **{"warmup_epochs": 1.5, "label_smoothing": 0.1, "class_weights": "balanced"},
    **{"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "dropout": 0.1},
}
"""Keys that came later; the two kinds of mixing go with no class weights."""


TRAINED: dict[str, Any] = {
    "rates": {"layer1": 0.1},
    "attention_rate": 10.0,
    "freeze": ["conv1"],
    "phases": [{"epochs": 2, "freeze": "backbone"}, {"epochs": 3}],
}
"""Keys that say which parts are trained, and how fast."""


def test_golden_keys_of_what_is_trained() -> None:
    recipe = Recipe(**TRAINED)
    assert recipe.epochs == 5
    assert run_key("0" * 16, recipe, "1" * 64, 32, seed=1) == "d043a9ac625bc855"
    keys = {run_key("0" * 16, Recipe(**{k: v}), "1" * 64, 32, 1) for k, v in TRAINED.items()}
    assert len(keys | {"64c3519fd7c3b1c8"}) == 5


def test_golden_keys_of_later_keys() -> None:
    newest = {"normalize": "imagenet"}
    fields = {*STORED_ALWAYS, *LATER, *TRAINED, *newest, "trainer"}
    assert fields == set(Recipe.model_fields), "every field is in a golden key"
    mixed = Recipe(**{k: v for k, v in LATER.items() if k != "class_weights"})
    assert run_key("0" * 16, mixed, "1" * 64, 32, seed=1) == "5c2737b64be2bb1f"
    weighted = Recipe(class_weights="balanced")
    assert run_key("0" * 16, weighted, "1" * 64, 32, seed=1) == "c44e620c1fc8ea2c"
    assert run_key("0" * 16, Recipe(**newest), "1" * 64, 32, seed=1) == "6287d749badfe5a0"


def test_golden_keys_of_trained_weights() -> None:
    """A run's key has them by their content, a setting by the name that the study gives them."""
    recipe = Recipe()
    assert run_key("0" * 16, recipe, "1" * 64, 32, 1, weights=None) == "64c3519fd7c3b1c8"
    assert run_key("0" * 16, recipe, "1" * 64, 32, 1, weights="2" * 64) == "2e1be3958bab3f07"
    assert parse_study({**DEFAULTS, "weights": "net.pth"}, "test").setting == "3e9a4b5a3dc40fbe"


def test_golden_keys_of_the_users_functions() -> None:
    """A trainer stands in the recipe by its name and options, a metric in no setting, so that ours can judge
    the same runs; what they reach is in the keys.
    """
    recipe = Recipe(trainer="mypkg.train:distil")
    trained = run_key("0" * 16, recipe, "1" * 64, 32, 1, sources={"trainer_source": "3" * 16})
    assert trained == "18fffb3b32c5f13f"
    assert run_key("0" * 16, recipe, "1" * 64, 32, 1) != trained
    measured = {"metric_source": "3" * 16}
    assert run_key("0" * 16, Recipe(), "1" * 64, 32, 1, sources=measured) == "eeba2c6d6e3c03ab"
    study = parse_study({**DEFAULTS, "metric": "mypkg.metrics:kappa"}, "test")
    assert study.setting == parse_study(DEFAULTS, "test").setting


class Longer(Recipe):
    """A recipe of a later version, with a key that this one does not know."""

    sharpness: int = 0


def test_a_new_key_at_its_default_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Recipe(epochs=3), Recipe(epochs=3, precision="fp32")
    before = [(run_key("f", r, "d", 32, 1), setting_key("b", r, 32)) for r in old]
    new = [Longer(**recipe.model_dump()) for recipe in old]
    assert run_key("f", new[0], "d", 32, 1) != before[0][0], "without its line in the table"
    monkeypatch.setitem(PROTOCOL_DEFAULTS, "sharpness", 0)
    assert [(run_key("f", r, "d", 32, 1), setting_key("b", r, 32)) for r in new] == before
    warm = Longer(epochs=3, sharpness=5)
    assert run_key("f", warm, "d", 32, 1) != before[0][0]
    assert setting_key("b", warm, 32) != before[0][1]


def test_a_default_that_is_improved_stands_in_the_key_from_then_on() -> None:
    class Better(Recipe):
        optimizer: str = "adamw"

    assert run_key("f", Better(), "d", 32, 1) == run_key("f", Recipe(optimizer="adamw"), "d", 32, 1)
    assert run_key("f", Better(optimizer="adam"), "d", 32, 1) == run_key("f", Recipe(), "d", 32, 1)


def test_a_new_option_of_attention_changes_neither_name_nor_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variant = complete(Variant("cbam_cnn", "se", "pool3"))
    before = variant.name, describe(variant, 10, 32).fingerprint

    class Residual(SE):
        def __init__(self, channels: int, *, reduction: int = 16, residual: int = 0) -> None:
            super().__init__(channels, reduction=reduction)
            if residual:
                self.bypass = nn.Parameter(self.fc1.weight.new_zeros(channels))

    Residual.__module__, Residual.__qualname__ = SE.__module__, SE.__qualname__
    monkeypatch.setitem(attention.ATTENTION, "se", Residual)
    now = complete(Variant("cbam_cnn", "se", "pool3"))
    assert (now.name, describe(now, 10, 32).fingerprint) == before
    other = complete(Variant("cbam_cnn", "se", "pool3", (("residual", 1),)))
    assert other.name == "se(pool3, r=16, residual=1)"
    assert describe(other, 10, 32).fingerprint != before[1]
    assert ATTENTION["se"] is Residual


def test_a_new_option_of_a_backbone_changes_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(Variant("cbam_cnn"), 10, 32).fingerprint

    class Deeper(CbamCNN):
        def __init__(self, classes: int, *, width: float = 1.0, extra: int = 0) -> None:
            super().__init__(classes, width=width)
            if extra:
                self.fc3 = nn.Linear(classes, classes)

    Deeper.__module__, Deeper.__qualname__ = CbamCNN.__module__, CbamCNN.__qualname__
    monkeypatch.setitem(backbones.BACKBONES, "cbam_cnn2", Deeper)
    assert describe(Variant("cbam_cnn2"), 10, 32).fingerprint == before
    assert describe(Variant("cbam_cnn2(extra=1)"), 10, 32).fingerprint != before
    assert BACKBONES["cbam_cnn2"] is Deeper


def test_a_search_is_named_by_difference_too(monkeypatch: pytest.MonkeyPatch) -> None:
    study = parse_study({**DEFAULTS, "search": SEARCH}, "test")
    key = search_key(study, "digits", "").search
    assert key == "d08b4f63967e555f"
    more = parse_study({**DEFAULTS, "search": {**SEARCH, "trials": 9, "confirm": 1}}, "test")
    assert search_key(more, "digits", "").search == key, "a larger budget goes on"
    for changed in ({"sampler": "random"}, {"seeds": 2}, {"constraints": {"macs": {"at_most": 1}}}):
        other = parse_study({**DEFAULTS, "search": {**SEARCH, **changed}}, "test")
        assert search_key(other, "digits", "").search != key
    assert study.search is not None
    assert set(study.search.identity) == {"parameters"}


def test_by_difference() -> None:
    defaults = {"a": 1, "b": [1, 2], "c": None}
    assert by_difference({"a": 1, "b": [1, 2], "c": None}, defaults) == {}
    assert by_difference({"a": 2, "b": [1], "c": 0, "d": 1}, defaults) == {
        "a": 2, "b": [1], "c": 0, "d": 1,
    }  # fmt: skip


def test_how_files_are_read_is_in_the_setting_and_not_in_a_run_key() -> None:
    """A run's key has the hash of the images, and that says it."""
    plain = parse_study(DEFAULTS, "test")
    usual = {"fit": "crop", "orientation": "exif", "channels": 3}
    assert parse_study({**DEFAULTS, "data": usual}, "test").setting == plain.setting
    settings = {plain.setting}
    for key, value in {"fit": "pad", "orientation": "as_stored", "channels": 1}.items():
        study = parse_study({**DEFAULTS, "data": {key: value}}, "test")
        settings.add(study.setting)
        assert study.conditions == {**plain.conditions, f"data.{key}": value}
        keys = [run_key("0" * 16, s.recipe, "1" * 64, 32, 1, s.data) for s in (plain, study)]
        assert keys[0] == keys[1]
    assert len(settings) == 4


def test_keys_of_many_seeds_are_those_of_each() -> None:
    """What they share is hashed once, wherever the seed stands among the other names."""
    study = parse_study(CHANGED, "test")
    conditions = run_conditions(study.recipe, "1" * 64, 64, study.data, 3, "2" * 64)
    for fold in (None, 2):
        given = study.recipe, "1" * 64, 64
        each = [run_key("0" * 16, *given, n, study.data, 3, "2" * 64, fold) for n in (1, 2, 1001)]
        assert run_keys(conditions, "0" * 16, (1, 2, 1001), fold) == each
    for shared in ({}, {"a": 1}, {"z": "ü"}, {"a": [1], "z": {"b": None, "a": 2}}):
        assert digests(shared, "m", [1, "x"]) == [
            digest({**shared, "m": each}) for each in (1, "x")
        ]
