"""The documentation says what the software does: commands, options, keys, columns, links, examples."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel
from support.report_frames import csv_rows, make_frames, written

from ablate.attention import ATTENTION, complete
from ablate.backbones import BACKBONES
from ablate.cli import app
from ablate.datasets import DATASETS
from ablate.datasets.augment import AUGMENTS
from ablate.datasets.cifar import ARCHIVE_SHA256
from ablate.datasets.containers import CONTAINERS
from ablate.errors import AblateError
from ablate.measure.architecture import describe
from ablate.plan import make_plan
from ablate.store.views import VIEWS
from ablate.store.writing.store import Store
from ablate.study import DataTable, Recipe, Study, Variant
from ablate.study.file import load_study, parse_study
from ablate.study.options import keyword_options
from ablate.study.ready import ready_files, ready_folder
from ablate.study.recipe import PROTOCOL_DEFAULTS, STORED_ALWAYS
from ablate.train.optimizers import OPTIMIZERS
from ablate.train.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (ROOT, ROOT / "docs", ROOT / "results", ROOT / "reports")
    for path in sorted(folder.glob("*.md"))
}
README, STUDIES, DATABASE = PAGES["README.md"], PAGES["docs/studies.md"], PAGES["docs/database.md"]

ROOT_COMMAND: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {
    **{name: each for name, each in ROOT_COMMAND.commands.items() if not hasattr(each, "commands")},
    **{
        f"{group} {name}": each
        for group, of in ROOT_COMMAND.commands.items()
        for name, each in getattr(of, "commands", {}).items()
    },
}
"""By all the words that name them: `study list`, of a group, too."""
OPTIONS = sorted(
    {
        option
        for command in (ROOT_COMMAND, *COMMANDS.values())
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> Iterator[list[str]]:
    """Every command in the shell blocks, split into words; continued lines are joined."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", "").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def lines_of(program: str) -> list[Any]:
    return [
        pytest.param(words[1:], id=f"{page}: {' '.join(words)[:60]}")
        for page, text in PAGES.items()
        for words in shell_lines(text)
        if words[0] == program
    ]


def rows(text: str) -> dict[str, list[str]]:
    """Table rows whose first cell is one code span: that span → the other cells."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and re.fullmatch(r"`[^`]+`", cells[0]):
            name = cells[0].strip("`")
            assert name not in found, f"{name} has two rows"
            found[name] = cells[1:]
    return found


def section(text: str, heading: str) -> str:
    """What stands below the `##` heading that begins so, up to the next one."""
    (found,) = re.findall(
        rf"^## {re.escape(heading)}.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An empty database where the examples look for it."""
    path = tmp_path / "results" / "ablation.db"
    store = Store(f"sqlite:///{path}")
    store.close()
    return path


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """The name of a command, which has two words in a group, and what follows it."""
    both = " ".join(words[:2])
    return (both, words[2:]) if both in COMMANDS else (words[0], words[1:])


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def test_the_readme_has_a_row_for_every_command() -> None:
    named = [
        split_command(row.split()[1:])[0]
        for row in rows(section(README, "Commands"))
        if row.startswith("ablate")
    ]
    assert sorted(named) == sorted(COMMANDS)


def option_rows() -> Iterator[tuple[list[str], set[str]]]:
    """The options of each row of the table, and the commands that it says have them."""
    for line in section(PAGES["docs/commands.md"], "Options").splitlines():
        if line.startswith("| `--"):
            options, of = (cell.strip() for cell in line.strip("|").split("|")[:2])
            names = set(re.split(r", | and ", of.removeprefix("all but ")))
            yield (
                re.findall(r"`(--[\w-]+)", options),
                set(COMMANDS) - names if of == "all" or "all but" in of else names,
            )


def test_the_table_of_options_names_the_commands_that_have_them() -> None:
    named: dict[str, set[str]] = {}
    for options, commands in option_rows():
        for option in options:
            named[option] = named.get(option, set()) | commands
    have = {option: {n for n, c in COMMANDS.items() if has(c, option)} for option in OPTIONS}
    assert named == {o: commands for o, commands in have.items() if commands and o != "--help"}


def has(command: Any, option: str) -> bool:
    """Whether it may stand behind the command; `--language` is the program's, and may stand there too."""
    return option == "--language" or any(option in p.opts for p in command.params)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_documented(option: str) -> None:
    pattern = rf"{option}(?![\w-])"
    assert [page for page, text in PAGES.items() if re.search(pattern, text)]


@pytest.mark.parametrize("words", lines_of("ablate"))
def test_every_ablate_line_can_be_typed(words: list[str]) -> None:
    name, arguments = split_command(words)
    # Parses names, options and values as the program does, but calls nothing.
    given = COMMANDS[name].make_context(name, arguments).params
    study = given.get("study")
    if isinstance(study, Path) and study.parent == Path("studies"):
        load_study(ROOT / study, given["set"])


@pytest.mark.parametrize("words", lines_of("make"))
def test_every_make_line_names_a_target_and_variables(words: list[str]) -> None:
    variables = [word.partition("=")[0] for word in words if "=" in word]
    assert {word for word in words if "=" not in word} <= MAKE_TARGETS
    assert [v for v in variables if not re.search(rf"\b{v}\b", MAKEFILE)] == []


def test_commands_named_in_sentences_exist() -> None:
    text = "\n".join(PAGES.values())
    assert set(re.findall(r"`ablate ([a-z][a-z-]*)", text)) <= set(ROOT_COMMAND.commands)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= MAKE_TARGETS


# ── studies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("heading", "model"),
    [("The study", Study), ("The recipe", Recipe), ("Which images", DataTable)],
)
def test_every_key_is_documented_with_its_default(heading: str, model: type[BaseModel]) -> None:
    table = section(STUDIES, heading).partition("\n\n| optimizer")[0]
    documented = {key: cells[1] for key, cells in rows(table).items()}
    assert list(documented) == list(model.model_fields)
    for key, field in model.model_fields.items():
        shown = documented[key]
        if field.is_required():
            assert shown == "required", key
        elif field.default is None:
            assert shown == "not set", key
        elif isinstance(field.default, BaseModel):
            assert shown == "all defaults", key
        else:
            value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
            default = field.default
            assert value == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize(
    "table", [OPTIMIZERS, SCHEDULES, AUGMENTS], ids=["optimizers", "schedules", "augments"]
)
def test_what_a_recipe_can_name_has_a_row(table: dict[str, Any]) -> None:
    assert set(table) <= set(rows(section(STUDIES, "The recipe")))


def test_what_is_of_the_field_in_a_recipe_has_its_source() -> None:
    """Keys that came after those which every run is stored with, the optimizers and the schedules."""
    table = section(PAGES["docs/recipes.md"], "Keys")
    first = [line.strip("|").split("|")[0] for line in table.splitlines() if line.startswith("|")]
    named = {name.strip() for cell in first for name in cell.split(",")}
    later = set(PROTOCOL_DEFAULTS) - set(STORED_ALWAYS)
    # sgd is momentum, adamw the decay that it decouples, a constant rate is nobody's.
    assert later | (set(OPTIMIZERS) - {"sgd", "adamw"}) | (set(SCHEDULES) - {"constant"}) <= named


def test_every_ready_recipe_has_a_row() -> None:
    listed = rows(section(PAGES["docs/recipes.md"], "Ready recipes"))
    assert set(listed) == set(ready_files(ready_folder() / "recipes"))


def test_what_a_study_can_name_is_listed() -> None:
    named = rows(section(STUDIES, "The study"))["backbone"][2]
    assert set(re.findall(r"`(\w+)`", named)) == set(BACKBONES)
    assert set(re.findall(r"^## `(\w+)`", PAGES["docs/data.md"], re.MULTILINE)) == set(DATASETS)


def test_attention_is_documented_with_its_options() -> None:
    documented = rows(section(STUDIES, "The grid"))
    assert list(documented) == list(ATTENTION)
    for name, cells in documented.items():
        options = keyword_options(ATTENTION[name])
        assert cells[0] == ", ".join(f"`{key} = {value}`" for key, value in options.items())


@pytest.mark.parametrize(
    ("page", "said"),
    [("README.md", "= {} variants"), ("docs/studies.md", "= {} variants with 10 seeds each")],
)
def test_the_example_of_a_study_has_as_many_variants_as_is_said(page: str, said: str) -> None:
    (example,) = blocks(PAGES[page], "toml")
    plan = make_plan(parse_study(tomllib.loads(example), page))
    assert said.format(len(plan.variants)) in " ".join(PAGES[page].split())


def test_every_example_of_a_study_is_tried_above() -> None:
    assert {p for p, text in PAGES.items() if blocks(text, "toml")} == {
        "README.md",
        "docs/README.zh.md",  # the blocks of README.md: test_words.py
        "docs/own-attention.md",  # in test_own_attention_page.py
        "docs/own-trainer.md",  # in test_own_trainer_page.py
        "docs/own-metrics.md",  # in test_own_metrics_page.py
        "docs/studies.md",
        "docs/pretrained.md",  # in test_pretrained_page.py
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "said"), [("digits", "7 variants"), ("attention", "290 runs")])
def test_the_readme_counts_the_studies(name: str, said: str) -> None:
    plan = make_plan(load_study(ROOT / "studies" / f"{name}.toml"))
    assert said in (f"{len(plan.variants)} variants", f"{len(plan.cells)} runs")
    assert re.search(rf"`studies/{name}.toml`.*{said}", README)


REFUSED = rows(section(STUDIES, "What is refused"))


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_refused_is_answered_so(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(AblateError) as caught:
        make_plan(load_study(Path("studies/digits-grid.toml"), [change]))
    said = REFUSED[change][0].strip("`")
    answer = str(caught.value)
    assert answer.startswith(said[:-1]) if said.endswith("…") else answer == said


# ── data, tutorials ───────────────────────────────────────────────────────────────────────────────


def test_suffixes_and_the_archives_hash_are_those_of_the_code() -> None:
    text = PAGES["docs/data.md"]
    assert ARCHIVE_SHA256 in text
    assert [s for s in CONTAINERS if f"`{s}`" not in text] == []


def test_the_tutorials_table_of_parameters_is_that_of_the_network() -> None:
    counts: dict[str, list[str]] = {}
    found = describe(complete(Variant("cbam_cnn", "cbam", "pool*")), classes=10, image_size=32)
    for layer in found.layers:
        counts.setdefault(layer.path.split(".")[0], []).append(f"{layer.count:,}")
    table = rows(section(PAGES["docs/tutorials.md"], "3. CBAM"))
    assert {layer: cells[0].split(" + ") for layer, cells in table.items()} == counts
    assert f"| in all | {found.parameters:,} |" in PAGES["docs/tutorials.md"]


# ── database ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_is_documented_and_no_other(view: str, database: Path) -> None:
    connection = sqlite3.connect(database)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({view})")]
    connection.close()
    table = section(DATABASE, f"`{view}`").partition("\n\n| status")[0]
    assert list(rows(table)) == columns


@pytest.mark.slow
def test_every_column_of_the_reports_csv_is_documented_in_its_order_and_no_other() -> None:
    text = section(PAGES["docs/report.md"], "variants.csv")
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)))
    assert named == list(csv_rows(written(make_frames({"none": 0.8, "up": 0.9})))[0])


def test_every_view_is_documented_and_no_other() -> None:
    assert re.findall(r"^## `(\w+)`", DATABASE, re.MULTILINE) == list(VIEWS)


def statements() -> list[str]:
    """The statements of the SQL blocks, and those that are handed to sqlite3 in a shell."""
    texts = [block for page in PAGES.values() for block in blocks(page, "sql")]
    shells = (words for page in PAGES.values() for words in shell_lines(page))
    texts += [words[-1] for words in shells if words[0] == "sqlite3"]
    return [part.strip() for text in texts for part in text.split(";") if part.strip()]


@pytest.mark.parametrize("statement", statements())
def test_every_query_runs(statement: str, database: Path) -> None:
    connection = sqlite3.connect(database)
    assert connection.execute(statement).fetchall() == []
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/database.md", "docs/first-hour.md"])
def test_the_example_in_python_runs(page: str, database: Path) -> None:
    (code,) = blocks(PAGES[page], "python")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=database.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean" in done.stdout


# ── links ─────────────────────────────────────────────────────────────────────────────────────────

LINKS = [
    pytest.param(page, target, id=f"{page}: {target}")
    for page, text in PAGES.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", text)
    if not re.match(r"[a-z]+:|#", target)
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_relative_link_leads_somewhere(page: str, target: str) -> None:
    assert (ROOT / page).parent.joinpath(target.partition("#")[0]).exists()


NAMED_FILES = [
    pytest.param(name, id=f"{page}: {name}")
    for page, text in PAGES.items()
    for name in sorted(set(re.findall(r"`([\w-]+/[\w./-]*\w\.(?:py|sql|toml|c))`", text)))
    if any((above / name.split("/")[0]).is_dir() for above in (ROOT, ROOT / "ablate"))
]
"""Files that pages name by a room of ours, of the repository or of the package."""


@pytest.mark.parametrize("name", NAMED_FILES)
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    assert any((above / name).is_file() for above in (ROOT, ROOT / "ablate"))
