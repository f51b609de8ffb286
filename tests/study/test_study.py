"""The words of a study: what a file may say, what a grid expands to, what a run's key depends on."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import message, small_plan, study_document

from ablate.errors import StudyError
from ablate.study import Recipe, Variant, run_key, stream_seed
from ablate.study.file import load_study, parse_study
from ablate.study.options import is_by_part, split_call
from ablate.study.recipe import STORED_ALWAYS
from ablate.study.study import MAX_CELLS

STUDIES = Path(__file__).parents[2] / "studies"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_that_ships_is_valid_and_named_after_its_file(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert study.question
    assert study.baseline in [variant.name for variant in study.variants()]


def test_the_reference_grid_has_27_variants_and_290_runs() -> None:
    study = load_study(STUDIES / "attention.toml")
    names = [variant.name for variant in study.variants()]
    assert len(names) == len(set(names)) == 27
    assert sum(study.seeds_of(name) for name in names) == 290
    assert {"none", "se(pool3, r=16)", "cbam(pool*, r=16, k=7)"} <= set(names)


def test_the_tutorial_study_is_the_tutorial() -> None:
    recipe = load_study(STUDIES / "tutorial.toml").recipe
    assert recipe.model_dump(include=set(STORED_ALWAYS) - {"validation_fraction"}) == {
        "epochs": 50,
        "batch_size": 64,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "plateau",
        "augment": ("crop", "flip", "color", "rotate"),
        "precision": "fp32",
        "split": "tutorial",
    }


def test_a_table_is_the_product_of_its_lists_and_the_study_the_union_of_its_tables() -> None:
    grid = [
        {"attention": "se", "position": ["a", "b"], "reduction": [4, 8]},
        {"attention": "se", "position": "b", "reduction": 8},
        {"attention": "none"},
    ]
    study = parse_study(study_document(grid=grid), "test")
    assert [v.name for v in study.variants()] == [
        "se(a, r=4)",
        "se(a, r=8)",
        "se(b, r=4)",
        "se(b, r=8)",
        "none",
    ]


def test_assignments_change_any_key(tmp_path: Path) -> None:
    study = load_study(
        STUDIES / "digits-grid.toml",
        ["recipe.epochs=3", "seeds=7", 'question="why?"', "recipe.schedule=cosine"],
    )
    assert (study.recipe.epochs, study.seeds, study.question) == (3, 7, "why?")
    assert study.recipe.schedule == "cosine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbon": "x"}, "unknown key 'backbon' (did you mean 'backbone'?)"),
        ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch' (did you mean 'epochs'?)"),
        (
            {"recipe": {"epochs": 0}},
            "recipe.epochs: input should be greater than or equal to 1, not 0",
        ),
        ({"seeds": 0}, "seeds: input should be greater than or equal to 1, not 0"),
        ({"seeds": "many"}, "seeds: input should be a valid integer"),
        ({"seeds": True}, "seeds: must be a number, not true"),
        ({"recipe": {"phases": [{"epochs": True}]}}, "epochs: must be a number, not true"),
        ({"data": {"channels": True}}, "channels: must be a number, not true"),
        ({"weights_partial": 2}, "weights_partial: must be true or false, not 2"),
        ({"name": "../up"}, "name: has up to 64 of a–z, 0–9, _ and -, a letter or digit first"),
        ({"seeds": date(2026, 1, 2)}, "not the date 2026-01-02"),
        ({"recipe": {"lr": 1}}, "unknown key 'recipe.lr' (did you mean 'learning_rate'?)"),
        ({"epochs": 3}, "unknown key 'epochs' (it belongs in [recipe])"),
        ({"Seeds": 3}, "unknown key 'Seeds' (did you mean 'seeds'?)"),
        ({"recipe": {"phases": 3}}, "recipe.phases: must be a list in square brackets, not 3"),
        ({"recipe": {"augment": "crop"}}, "recipe.augment: must be a list in square brackets"),
        ({"recipe": {"betas": [0.9]}}, "recipe.betas: value 2 of the list is missing"),
        ({"data": [{}]}, "data: must be one table, [data] in single brackets, not [{}]"),
        ({"grid": []}, "grid: write at least one [[grid]] table, in double brackets, not []"),
        ({"grid": {"attention": "none"}}, "grid: write at least one [[grid]] table"),
        (
            {"grid": [{"attention": 3}]},
            "[[grid]] table 1, attention: must be text in quotes, or a list",
        ),
        ({"grid": [{"attention": []}]}, "grid: attention is an empty list"),
        ({"grid": [{"attention": "se", "x": [[1]]}]}, "x must be a number, a string or a list"),
        ({"grid": [{"position": "pool1"}]}, "the key 'attention' is missing in [[grid]] table 1"),
        (
            {
                "grid": [
                    {
                        "attention": "se",
                        "position": "p",
                        "a": list(range(400)),
                        "b": list(range(400)),
                    }
                ]
            },
            f"160000 variants × 2 seeds = 320,000 cells; at most {MAX_CELLS:,} fit",
        ),
    ],
)
def test_a_bad_study_is_one_clear_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(study_document(**changes), "bad.toml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("bad.toml: ")
    assert "\n" not in text


def test_too_large_a_grid_is_refused_before_it_is_built() -> None:
    axes = {f"option{i}": list(range(50)) for i in range(8)}  # 50 to the power of 8
    with pytest.raises(StudyError, match="split it"):
        parse_study(study_document(grid=[{"attention": "se", "position": "p", **axes}]), "big")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not TOML"),
        ("a = " + "[" * 20 + "]" * 20, "nested deeper than 8 levels"),
        ("a = " + "[" * 5000, "is not TOML"),
        ("x = '" + "y" * 1_100_000 + "'", "a study file has at most 1,000,000 bytes"),
        ("seeds = " + "9" * 5000, "study.toml: a whole number of more than 4,300 digits"),
        ("x = [1, {y = -" + "9" * 5000 + "}]", "a whole number of more than 4,300 digits"),
    ],
)
def test_a_file_that_is_no_study_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        load_study(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_number_of_more_digits_than_python_reads_is_one_clear_line(tmp_path: Path) -> None:
    text = 'name = "s"\ndataset = "digits"\nbackbone = "cbam_cnn"\n[[grid]]\nattention = "none"\n'
    path, many = write(tmp_path, text), "9" * 5000
    for key, value in (("seeds", many), ("recipe.phases", f"[{{epochs={many}}}]")):
        told = message(StudyError, lambda change=f"{key}={value}": load_study(path, [change]))
        assert told.startswith(f"--set {key}: a whole number of more than 4,300 digits")
    told = message(StudyError, lambda: split_call(f"cbam_cnn(width={many})"))
    assert told.startswith("width: a whole number of more than 4,300 digits")


def test_a_value_by_part_with_that_many_digits_is_none() -> None:
    assert is_by_part("4+16")
    assert not is_by_part("4+" + "9" * 5000)


def test_the_mark_that_editors_of_windows_write_first_is_no_part_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    plain = (STUDIES / "digits-grid.toml").read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    assert load_study(path) == load_study(STUDIES / "digits-grid.toml")


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="is not UTF-8"):
        load_study(path)
    with pytest.raises(StudyError, match="cannot be read: No such file"):
        load_study(tmp_path / "absent.toml")
    with pytest.raises(StudyError, match="cannot be read: Is a directory"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("assignment", "glob"),
    [
        ("recipe.rates.conv1=0.5", "conv1"),
        ("recipe.rates.layer1.0.conv1=0.5", "layer1.0.conv1"),
        ("recipe.rates.layer*.*.bn[12]=0.5", "layer*.*.bn[12]"),
        ('recipe.rates."layer1.0"=0.5', "layer1.0"),
        ('"recipe.rates"={"layer1.0" = 0.5}', "layer1.0"),
        ("'recipe'.\"rates\".a = 0.5", "a"),
    ],
)
def test_keys_are_those_of_toml_and_what_is_below_rates_is_one_glob(
    assignment: str, glob: str
) -> None:
    assert load_study(STUDIES / "digits-grid.toml", [assignment]).recipe.rates == {glob: 0.5}


@pytest.mark.parametrize(
    "assignment",
    ["recipe.rates.=1", "epochs", "=3", "recipe..epochs=3", "name.x=3"],
)
def test_an_assignment_that_cannot_be_made(assignment: str) -> None:
    with pytest.raises(StudyError, match="--set"):
        load_study(STUDIES / "digits-grid.toml", [assignment])


def test_the_key_holds_what_can_change_the_number_and_nothing_else() -> None:
    recipe = Recipe(epochs=3)
    key = run_key("f", recipe, "d", 32, seed=1)
    assert key == run_key("f", Recipe(epochs=3), "d", 32, seed=1)
    others = [
        run_key("g", recipe, "d", 32, seed=1),
        run_key("f", Recipe(epochs=4), "d", 32, seed=1),
        run_key("f", recipe, "e", 32, seed=1),
        run_key("f", recipe, "d", 64, seed=1),
        run_key("f", recipe, "d", 32, seed=2),
    ]
    assert len({key, *others}) == 6
    # Names, questions and worker counts have no way in: the function does not take them.


def test_streams_differ_by_seed_and_by_name() -> None:
    seeds = {stream_seed(1), stream_seed(2), stream_seed(1, "order", 1), stream_seed(1, "order", 2)}
    assert len(seeds) == 4
    assert stream_seed(1, "order", 1) == stream_seed(1, "order", 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_names_of_variants() -> None:
    options = (("reduction", 16), ("kernel_size", 7))
    assert Variant("net", "cbam", "pool*", options).name == "cbam(pool*, r=16, k=7)"
    assert Variant("net").name == "none"
    assert Variant("net", "eca", "pool1", (("gamma", 2),)).name == "eca(pool1, gamma=2)"


def test_importing_ablate_and_its_words_loads_nothing_heavy() -> None:
    code = (
        "import sys, ablate, ablate.study, ablate.result, ablate.cli;"
        "heavy = {'torch', 'ray', 'sqlalchemy', 'optuna', 'pandas', 'matplotlib'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


PLACEBOS: dict[str, Any] = {
    "backbone": "cbam_cnn",
    "grid": [
        {"attention": "none"},
        {"attention": ["random_gate", "identity", "se"], "position": ["pool*", "pool1"]},
    ],
}


@pytest.mark.parametrize(
    ("controls", "meant"),
    [
        ([], []),
        (["random_gate(pool*)"], ["random_gate(pool*)"]),
        (
            ["identity*", "random_gate(pool?)"],
            ["random_gate(pool*)", "random_gate(pool1)", "identity(pool*)", "identity(pool1)"],
        ),
    ],
)
def test_controls_are_variants_by_name_or_glob(controls: list[str], meant: list[str]) -> None:
    plan = small_plan(**PLACEBOS, controls=controls)
    assert plan.definition["controls"] == list(plan.controls) == meant
    without = small_plan(**PLACEBOS)
    assert [c.run_key for c in plan.cells] == [c.run_key for c in without.cells]
    assert plan.study.setting == without.study.setting


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (
            "random_gates(pool*)",
            "the control 'random_gates(pool*)' is no variant of the grid (did you mean "
            "'random_gate(pool*)'?)",
        ),
        (
            "none",
            "the control 'none' names the baseline, and nothing is its own control: name a placebo",
        ),
        ("*", "the control '*' names the baseline, and nothing is its own control: name a placebo"),
    ],
)
def test_a_control_that_is_none_is_refused(control: str, said: str) -> None:
    answer = message(StudyError, lambda: small_plan(**PLACEBOS, controls=[control]))
    assert answer.startswith(said)
    assert "\n" not in answer


def test_a_search_looks_for_the_metric_of_the_study_and_an_unknown_one_is_told() -> None:
    search = {
        "parameters": {"attention": "se", "position": "pool3", "reduction": [4, 8]},
        "trials": 2,
    }
    document = study_document(metric="macro_f1")
    assert parse_study(document, "test").metric == "macro_f1"
    for objectives, wanted in (
        ({}, ("val_macro_f1",)),
        ({"objectives": ["val_accuracy", "macs"]}, ("val_macro_f1", "macs")),
        ({"objectives": "val_log_loss"}, ("val_log_loss",)),
    ):
        own = parse_study({**document, "search": {**search, **objectives}}, "test").search
        assert own is not None
        assert (own.objectives, own.quality) == (wanted, wanted[0])
        assert (own.sign, own.directions[0]) == (
            (-1, "minimize") if wanted[0] == "val_log_loss" else (1, "maximize")
        )
    usual = parse_study({**study_document(), "search": search}, "test").search
    assert usual is not None
    assert "objectives" not in usual.identity, "a search by accuracy keeps its key"
    with pytest.raises(StudyError, match="val_macro_f1 is known at the end of a run"):
        parse_study({**document, "search": {**search, "pruner": "median"}}, "test")
    with pytest.raises(StudyError, match="did you mean 'macro_f1'"):
        parse_study({**document, "metric": "macro_f"}, "test")
    with pytest.raises(StudyError, match="of log_loss less is better"):
        parse_study({**document, "metric": "log_loss"}, "test")
