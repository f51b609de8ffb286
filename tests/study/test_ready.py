"""Recipes that a study includes by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import message

from ablate.errors import StudyError, UnknownNameError
from ablate.study import Recipe
from ablate.study.file import load_study, parse_study
from ablate.study.keys import setting_key
from ablate.study.names import check_recipe
from ablate.study.ready import ready_files, ready_folder, ready_recipe

NAMES = list(ready_files(ready_folder() / "recipes"))
DOCUMENT: dict[str, Any] = {
    "name": "mine",
    "dataset": "digits",
    "backbone": "cbam_cnn",
    "grid": [{"attention": "none"}],
}


def recipe_of(recipe: object) -> Recipe:
    return parse_study({**DOCUMENT, "recipe": recipe}, "test").recipe


@pytest.mark.parametrize("name", NAMES)
def test_every_ready_recipe_is_one_and_says_where_it_is_from(name: str) -> None:
    file = ready_recipe(name)
    assert set(file) == {"source", "reported", "differs", "recipe"}
    assert "arXiv:" in file["source"]
    assert "%" in file["reported"]
    check_recipe(recipe_of(name))
    assert recipe_of(name) == Recipe(**file["recipe"])


def test_there_are_the_customary_ones() -> None:
    assert set(NAMES) == {"a3-small", "airbench", "cifar-resnet", "fine-tuning"}


def test_keys_beside_a_base_go_before_it_and_the_resolved_recipe_makes_the_key() -> None:
    short = recipe_of({"base": "cifar-resnet", "epochs": 3})
    assert (short.epochs, short.weight_decay, short.schedule) == (3, 1e-4, "step")
    written_out = Recipe(**{**ready_recipe("cifar-resnet")["recipe"], "epochs": 3})
    assert setting_key("cbam_cnn", short, 32) == setting_key("cbam_cnn", written_out, 32)
    assert "base" not in short.model_dump()


def test_another_optimizer_leaves_what_it_does_not_have() -> None:
    other = recipe_of({"base": "cifar-resnet", "optimizer": "adamw"})
    assert (other.momentum, other.nesterov, other.weight_decay) == (None, None, 1e-4)
    check_recipe(other)


def test_phases_take_the_place_of_the_epochs_of_a_base() -> None:
    phased = recipe_of(
        {"base": "fine-tuning", "phases": [{"epochs": 2, "freeze": "x"}, {"epochs": 3}]}
    )
    assert (phased.epochs, phased.warmup_epochs) == (5, 1)
    assert recipe_of({"base": "fine-tuning", "phases": []}).epochs == 20
    said = message(
        StudyError, lambda: recipe_of({"base": "airbench", "epochs": 2, "phases": [{"epochs": 3}]})
    )
    assert "phases have 3 epochs and epochs = 2" in said


def test_a_base_is_named_and_changed_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    text = 'name = "mine"\ndataset = "digits"\nbackbone = "cbam_cnn"\nrecipe = "airbench"\n'
    file.write_text(f'{text}[[grid]]\nattention = "none"\n')
    assert load_study(file).recipe == recipe_of("airbench")
    changed = load_study(file, ["recipe.epochs=2"]).recipe
    assert changed == recipe_of({"base": "airbench", "epochs": 2})
    assert load_study(file, ["recipe=a3-small", "recipe.epochs=9"]).recipe.epochs == 9


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            {"base": "airbench", "optimizer": {"name": "sgd"}},
            "test: recipe.optimizer: must be text",
        ),
        (
            "cifar-resnt",
            "unknown recipe 'cifar-resnt' (did you mean 'cifar-resnet'?); there are: a3-small, "
            "airbench, cifar-resnet, fine-tuning",
        ),
        ({"base": "../digits"}, "unknown recipe '../digits'"),
        ({"base": "airbench", "epoch": 3}, "test: unknown key 'recipe.epoch'"),
        (7, "test: recipe: "),
    ],
)
def test_what_is_no_recipe_is_one_line(recipe: object, said: str) -> None:
    assert message(StudyError, lambda: recipe_of(recipe)).startswith(said)


def test_a_name_that_is_none_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError):
        ready_recipe("none")


def test_its_file_is_toml_and_no_study() -> None:
    for file in ready_files(ready_folder() / "recipes").values():
        assert "grid" not in tomllib.loads(file.read_text(encoding="utf-8"))
