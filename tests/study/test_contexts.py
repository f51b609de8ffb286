"""Contexts: lists of backbones, data sets and keys of a recipe make plain studies of one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import message

from ablate.errors import StudyError
from ablate.study import Study
from ablate.study.contexts import (
    MOST,
    assignments_of,
    documents_of,
    folder_name,
)
from ablate.study.file import load_studies, load_study, parse_study
from ablate.system.messages.context import context_name

HEAD = 'name = "many"\ndataset = "digits"\n'
GRID = '[[grid]]\nattention = "none"\n[[grid]]\nattention = "se"\nposition = "pool3"\n'
BACKBONES = 'backbone = ["cbam_cnn(width=0.25)", "cbam_cnn"]\n'


def studies(tmp_path: Path, text: str, *assignments: str) -> list[Study]:
    file = tmp_path / "many.toml"
    file.write_text(text, encoding="utf-8")
    return load_studies(file, assignments)


def names(found: list[Study]) -> list[str]:
    return [context_name(study.context) for study in found]


def test_a_file_without_lists_is_one_study_without_a_context(tmp_path: Path) -> None:
    (study,) = studies(tmp_path, HEAD + 'backbone = "cbam_cnn"\n' + GRID)
    assert study.context == ()
    assert context_name(study.context) == ""
    assert load_study(tmp_path / "many.toml") == study


def test_the_product_of_all_lists_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = HEAD + BACKBONES + '"recipe.label_smoothing" = [0.0, 0.1]\n[recipe]\nepochs = 2\n' + GRID
    found = studies(tmp_path, text)
    assert names(found) == [
        "backbone=cbam_cnn(width=0.25), label_smoothing=0.0",
        "backbone=cbam_cnn(width=0.25), label_smoothing=0.1",
        "backbone=cbam_cnn, label_smoothing=0.0",
        "backbone=cbam_cnn, label_smoothing=0.1",
    ]
    assert [(s.backbone, s.recipe.label_smoothing, s.recipe.epochs) for s in found[1:3]] == [
        ("cbam_cnn(width=0.25)", 0.1, 2),
        ("cbam_cnn", 0.0, 2),
    ]
    assert len({study.setting for study in found}) == 4


def test_what_a_list_says_twice_is_one_context(tmp_path: Path) -> None:
    text = HEAD + 'backbone = ["cbam_cnn", "cbam_cnn"]\n'
    text += '"recipe.label_smoothing" = [0.0, 0]\n[recipe]\nbatch_size = [64, 32, 64]\n' + GRID
    found = studies(tmp_path, text)
    assert [study.recipe.batch_size for study in found] == [64, 32]


def test_tables_of_recipes_are_told_their_brackets(tmp_path: Path) -> None:
    text = HEAD + 'backbone = "cbam_cnn"\n[[recipe]]\nepochs = 1\n' + GRID
    assert "[recipe] in single brackets" in message(StudyError, lambda: studies(tmp_path, text))


def test_a_context_is_the_plain_study_that_set_makes(tmp_path: Path) -> None:
    text = HEAD + BACKBONES + "[recipe]\nlabel_smoothing = [0.0, 0.1]\nepochs = 2\n" + GRID
    for study in studies(tmp_path, text):
        plain = load_study(tmp_path / "many.toml", assignments_of(study.context))
        assert plain.context == ()
        assert plain == study.in_context(())
        assert plain.setting == study.setting


def test_a_context_of_tables_is_chosen_as_it_is_told(tmp_path: Path) -> None:
    """Rates and phases are tables, which TOML writes in another way than JSON."""
    text = HEAD + 'backbone = "cbam_cnn"\n[recipe]\n'
    text += 'rates = [{}, {conv1 = 0.1, "conv[23]" = 0.5}]\n'
    text += 'phases = [[{epochs = 1, freeze = "bn1"}, {epochs = 1}], [{epochs = 3}]]\n' + GRID
    found = studies(tmp_path, text)
    assert len(found) == 4
    for study in found:
        assert (
            load_study(tmp_path / "many.toml", assignments_of(study.context)).setting
            == study.setting
        )


def test_a_value_that_occurs_twice_counts_once(tmp_path: Path) -> None:
    text = HEAD + 'backbone = ["cbam_cnn", "cbam_cnn"]\n"recipe.epochs" = [2, 2]\n[recipe]\n'
    text += "label_smoothing = [0.1, 0.0, 0.1]\nrates = [{}, {}]\n" + GRID
    assert [study.recipe.label_smoothing for study in studies(tmp_path, text)] == [0.1, 0.0]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ('optimizer = ["sgd", "adam"]', ["optimizer=sgd", "optimizer=adam"]),
        ('augment = ["crop", "flip"]', [""]),
        ('augment = [["crop"], [], ["crop", "flip"]]', ["augment=crop", "augment=none", "augment=crop+flip"]),
        ('optimizer = "sgd"\nnesterov = [true, false]', ["nesterov=true", "nesterov=false"]),
        ('base = ["airbench", "a3-small"]', ["recipe=airbench", "recipe=a3-small"]),
    ],
)  # fmt: skip
def test_a_key_of_a_recipe_varies_where_its_value_is_no_list_itself(
    tmp_path: Path, recipe: str, expected: list[str]
) -> None:
    text = HEAD + 'backbone = "cbam_cnn"\n[recipe]\n' + recipe + "\n" + GRID
    assert names(studies(tmp_path, text)) == expected


def test_ready_recipes_and_data_sets_are_contexts_too(tmp_path: Path) -> None:
    text = (
        'name = "many"\ndataset = ["digits", "digits(test_fraction=0.5)"]\nbackbone = "cbam_cnn"\n'
    )
    found = studies(tmp_path, f'{text}recipe = ["airbench", "cifar-resnet"]\n{GRID}')
    assert [(s.dataset, s.recipe.optimizer) for s in found] == [
        ("digits", "muon"),
        ("digits", "sgd"),
        ("digits(test_fraction=0.5)", "muon"),
        ("digits(test_fraction=0.5)", "sgd"),
    ]


def test_a_table_of_the_grid_may_belong_to_some_contexts_alone(tmp_path: Path) -> None:
    grid = (
        '[[grid]]\nattention = "none"\n"recipe.label_smoothing" = [0.0, 0.1]\n'
        '[[grid]]\nattention = "se"\nposition = "pool3"\n"recipe.label_smoothing" = 0.1\n'
        '[[grid]]\nattention = "cbam"\nposition = "pool3"\n'
    )
    text = HEAD + 'backbone = "cbam_cnn"\n' + grid
    plain, smooth = studies(tmp_path, text)
    assert [v.attention for v in plain.variants()] == ["none", "cbam"]
    assert [v.attention for v in smooth.variants()] == ["none", "se", "cbam"]
    (chosen,) = studies(tmp_path, text, "recipe.label_smoothing=0.0")
    assert [v.attention for v in chosen.variants()] == ["none", "cbam"]
    assert chosen.setting == plain.setting


def test_what_takes_one_context_says_how_to_choose_it(tmp_path: Path) -> None:
    studies(tmp_path, HEAD + BACKBONES + GRID)
    said = message(StudyError, lambda: load_study(tmp_path / "many.toml"))
    assert said.endswith(
        "many.toml: has 2 contexts, and this is done in one at a time: choose it with --set "
        "'backbone=cbam_cnn(width=0.25)'"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backbone = []\n", "backbone is an empty list: leave the key out or fill it"),
        (
            f'backbone = "cbam_cnn"\n"recipe.epochs" = {list(range(1, MOST + 2))}\n',
            f"{MOST + 1} of recipe.epochs are {MOST + 1} contexts; at most {MOST} fit into one study",
        ),
        ('backbone = "cbam_cnn"\n"recipe.epoch" = [1, 2]\n', "unknown key 'recipe.epoch'"),
    ],
)
def test_what_is_no_context_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in message(StudyError, lambda: studies(tmp_path, HEAD + text + GRID))


def test_folders_of_contexts_have_plain_names_of_their_own() -> None:
    context = (("backbone", "torchvision:resnet18(stem=small)"), ("recipe.augment", ["crop"]))
    name = folder_name(context)
    assert name == "backbone=torchvision-resnet18-stem=small-augment=crop"
    assert folder_name(context, [name]) == f"{name}-2"
    assert "/" not in folder_name((("dataset", "../../x"),))
    assert len(folder_name((("backbone", "x" * 300),))) <= 60


def test_a_document_is_not_changed_by_being_split() -> None:
    document: dict[str, Any] = {
        "name": "many",
        "dataset": "digits",
        "backbone": ["a", "b"],
        "grid": [{"attention": "none", "backbone": ["a", "b"]}],
    }
    before = repr(document)
    for context, plain in documents_of(document):
        assert parse_study(plain, "test", context).backbone == dict(context)["backbone"]
    assert repr(document) == before
