"""Contexts: lists of backbones, data sets and keys of a recipe make plain studies of one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import message

from ablate.errors import StudyError
from ablate.plan import make_plan
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
    text = HEAD + 'backbone = "cbam_cnn"\n"recipe.label_smoothing" = [0.0, 0.1]\n' + grid
    plain, smooth = studies(tmp_path, text)
    assert [v.attention for v in plain.variants()] == ["none", "cbam"]
    assert [v.attention for v in smooth.variants()] == ["none", "se", "cbam"]
    (chosen,) = studies(tmp_path, text, "recipe.label_smoothing=0.0")
    assert [v.attention for v in chosen.variants()] == ["none", "cbam"]
    assert chosen.setting == plain.setting


SE = '[[grid]]\nattention = "se"\nposition = "pool3"\n'
NONE = '[[grid]]\nattention = "none"\n'


def attention(found: list[Study]) -> list[list[str]]:
    return [[variant.attention for variant in study.variants()] for study in found]


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (
            'backbone = "cbam_cnn(width=0.25)"\n',
            'backbone = "cbam_cnn"',
            'backbone = "cbam_cnn" in a [[grid]] table: the study has only "cbam_cnn(width=0.25)"; write '
            'backbone = ["cbam_cnn(width=0.25)", "cbam_cnn"] at the top',
        ),
        (
            BACKBONES,
            'backbone = ["cbam_cnn", "se_cnn2"]',
            'backbone = "se_cnn2" in a [[grid]] table: the study has only "cbam_cnn(width=0.25)", '
            '"cbam_cnn"; write backbone = ["cbam_cnn(width=0.25)", "cbam_cnn", "se_cnn2"] at the top',
        ),
        (
            "",
            'backbone = "cbam_cnn"',
            'the study has none; write backbone = ["cbam_cnn"] at the top',
        ),
        (
            'backbone = "cbam_cnn"\n[recipe]\nlabel_smoothing = 0.0\n',
            '"recipe.label_smoothing" = 0.1',
            "the study has only 0.0; write label_smoothing = [0.0, 0.1] in [recipe]",
        ),
        (
            'backbone = "cbam_cnn"\n',
            '"recipe.augment" = [["crop"]]',
            'write augment = [["crop", "flip", "color", "rotate"], ["crop"]] in [recipe]',
        ),
        (
            'backbone = "cbam_cnn"\nrecipe = "a3-small"\n',
            '"recipe.mixup_alpha" = 0.5',
            'the study has only 0.1; write "recipe.mixup_alpha" = [0.1, 0.5] at the top',
        ),
        (
            'backbone = "cbam_cnn"\nrecipe = "airbench"\n',
            '"recipe.base" = "a3-small"',
            'the study has only "airbench"; write recipe = ["airbench", "a3-small"] at the top',
        ),
        (BACKBONES, "backbone = []", "grid: backbone is an empty list"),
        (
            'backbone = "cbam_cnn"\n[recipe]\nbase = "airbench"\noptimizer = {name = "sgd"}\n',
            '"recipe.epochs" = 3',
            "write epochs = [",
        ),
        (BACKBONES, '"recipe.epoch" = 1', "grid: unknown key 'recipe.epoch'"),
    ],
)
def test_a_table_is_for_contexts_that_the_study_has(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    """Its value went before the study's own, which nothing was trained with then, the baseline neither."""
    text = f"{HEAD}{text}{NONE}{SE}{key}\n"
    for assignments in ([], ["backbone=cbam_cnn"], ["recipe.label_smoothing=0.0"]):
        assert said in message(
            StudyError, lambda given=assignments: studies(tmp_path, text, *given)
        )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('backbone = "cbam_cnn"\n', 'backbone = "cbam_cnn"'),
        ('backbone = "cbam_cnn"\n', '"recipe.label_smoothing" = 0'),
        ('backbone = "cbam_cnn"\n', '"recipe.augment" = ["crop", "flip", "color", "rotate"]'),
        ('backbone = "cbam_cnn"\nrecipe = "a3-small"\n', '"recipe.mixup_alpha" = [0.1]'),
    ],
)
def test_a_table_may_say_what_the_whole_study_is(tmp_path: Path, text: str, key: str) -> None:
    (study,) = studies(tmp_path, f"{HEAD}{text}{NONE}{SE}{key}\n")
    assert attention([study]) == [["none", "se"]]
    assert study.context == ()


def test_what_ready_recipes_say_is_known_of_each_context(tmp_path: Path) -> None:
    text = HEAD + 'backbone = "cbam_cnn"\nrecipe = ["airbench", "cifar-resnet"]\n' + NONE + SE
    found = studies(tmp_path, text + '"recipe.optimizer" = "sgd"\n')
    assert [study.recipe.optimizer for study in found] == ["muon", "sgd"]
    assert attention(found) == [["none"], ["none", "se"]]
    said = message(StudyError, lambda: studies(tmp_path, text + '"recipe.optimizer" = "adam"\n'))
    assert 'the study has only "muon", "sgd"' in said


def test_a_key_of_the_recipe_is_said_once(tmp_path: Path) -> None:
    text = HEAD + 'backbone = "cbam_cnn"\n"recipe.epochs" = [1, 2]\n[recipe]\nepochs = 3\n' + GRID
    said = message(StudyError, lambda: studies(tmp_path, text))
    assert said.startswith("recipe.epochs is said twice")
    lists = HEAD + 'backbone = "cbam_cnn"\n"recipe.epochs" = [1, 2]\n' + GRID
    for assignment in ("recipe.epochs=3", "recipe={epochs=3}"):
        assert [study.recipe.epochs for study in studies(tmp_path, lists, assignment)] == [3]


A, B, C = "cbam_cnn(width=0.25)", "cbam_cnn", "cbam_cnn(width=2)"


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([f'backbone=["{A}"]'], [["none", "se"]]),
        ([f'backbone=["{B}"]'], [["none"]]),
        ([f'backbone=["{A}", "{B}"]'], [["none", "se"], ["none"]]),
        ([f'backbone=["{C}", "{A}"]'], [["none"], ["none", "se"]]),
        ([f"backbone={A}"], [["none", "se"]]),
        ([f"backbone={A}", f"backbone={B}"], [["none"]]),
        ([f"backbone={B}", f"backbone={A}"], [["none", "se"]]),
    ],
)
def test_lists_on_the_command_line_keep_the_tables_of_their_contexts(
    tmp_path: Path, assignments: list[str], expected: list[list[str]]
) -> None:
    text = f'{HEAD}{BACKBONES}{NONE}{SE}backbone = "{A}"\n'
    assert attention(studies(tmp_path, text, *assignments)) == expected


@pytest.mark.parametrize(
    ("head", "table", "assignment", "expected"),
    [
        ("dataset", '"digits"', 'dataset=["digits", "digits(test_fraction=0.2)"]', [2, 1]),
        ("recipe.epochs", "[1, 2]", "recipe.epochs=[3, 2]", [1, 2]),
        ("recipe.augment", '[["crop"]]', 'recipe.augment=[["crop"], ["flip"]]', [2, 1]),
        ("recipe.augment", '["crop"]', 'recipe.augment=["crop"]', [2]),
        ("recipe.augment", "[]", 'recipe.augment=[["crop"], []]', [1, 2]),
        ("recipe.augment", "[[]]", 'recipe.augment=["crop"]', [1]),
    ],
)
def test_lists_of_every_kind_of_key_keep_their_tables(
    tmp_path: Path, head: str, table: str, assignment: str, expected: list[int]
) -> None:
    text = 'name = "many"\nbackbone = "cbam_cnn"\n'
    text += (
        'dataset = ["digits", "digits(test_fraction=0.5)"]\n'
        if head == "dataset"
        else 'dataset = "digits"\n'
    )
    text += '"recipe.augment" = [["crop"], []]\n"recipe.epochs" = [1, 2]\n'
    text += f'{NONE}{SE}"{head}" = {table}\n'
    others = [] if head == "dataset" else ["dataset=digits"]
    others += [] if head == "recipe.augment" else ["recipe.augment=[]"]
    others += [] if head == "recipe.epochs" else ["recipe.epochs=1"]
    found = studies(tmp_path, text, *others, assignment)
    assert [len(study.variants()) for study in found] == expected


def test_a_grid_on_the_command_line_is_held_to_the_same(tmp_path: Path) -> None:
    grid = "grid=[{attention='none'}, {attention='se', position='pool3', backbone='se_cnn'}]"
    said = message(StudyError, lambda: studies(tmp_path, HEAD + BACKBONES + GRID, grid))
    assert 'backbone = "se_cnn" in a [[grid]] table' in said


@pytest.mark.parametrize("control", ["identity*", "identity(pool3)"])
@pytest.mark.parametrize("assignments", [[], [f"backbone={A}"], [f"backbone={B}"]])
def test_a_control_may_be_in_some_contexts_alone(
    tmp_path: Path, control: str, assignments: list[str]
) -> None:
    table = f'[[grid]]\nattention = "identity"\nposition = "pool3"\nbackbone = "{A}"\n'
    text = f'{HEAD}{BACKBONES}controls = ["{control}"]\n{NONE}{SE}{table}'
    for study in studies(tmp_path, text, *assignments):
        plan = make_plan(study)
        assert plan.controls == (("identity(pool3)",) if study.backbone == A else ())
        assert plan.definition["controls"] == list(plan.controls)


def test_a_control_is_in_one_context_at_least(tmp_path: Path) -> None:
    own = f'attention = "mypkg.att:Mine"\nposition = "pool3"\nbackbone = "{A}"\n'
    text = f'{HEAD}{BACKBONES}controls = ["placebo*"]\n{NONE}{SE}[[grid]]\n{own}'
    *_, other = studies(tmp_path, text)
    assert "no variant of the grid" in message(StudyError, lambda: make_plan(other))
    *_, other = studies(tmp_path, text.replace("placebo*", "mypkg.att:Mine(pool3, r=4)"))
    assert make_plan(other).controls == ()


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
