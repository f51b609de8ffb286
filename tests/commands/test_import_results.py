"""`ablate import-results`: what becomes of a file, what the commands say of it, and what is refused."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Shell, rows_of, small_plan

from ablate.errors import StudyError
from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.store import Store

ROOT = Path(__file__).parents[2]
URL = "sqlite:///results/ablation.db"
HEAD = "variant,seed,test_accuracy"
SCORES = {"none": 0.90, "se": 0.93}


def table(seeds: int = 8, **more: float) -> str:
    """Runs of two variants that differ, or of those that are named."""
    lines = [
        f"{name},{seed},{value + 0.001 * (seed % 3):.4f}"
        for name, value in {**SCORES, **more}.items()
        for seed in range(1, seeds + 1)
    ]
    return "\n".join([HEAD, *lines, ""])


def images(wrong: int, seeds: int = 4) -> str:
    """Runs of two variants on 60 images; the second is wrong on fewer."""
    lines = ["variant,seed,image,label,predicted"]
    for name, few in (("none", wrong), ("se", 2)):
        for seed in range(1, seeds + 1):
            for i in range(60):
                said = "b" if (7 * i + seed) % 60 < few else "a"
                lines.append(f"{name},{seed},{i},a,{said}")
    return "\n".join([*lines, ""])


@pytest.fixture
def imports(shell: Shell) -> Any:
    """Imports a text as a study, and gives what the command did."""

    def run(
        text: str, *options: str, study: str = "mine", name: str = "r.csv"
    ) -> tuple[int, str, str]:
        (shell.folder / name).write_text(text)
        return shell("import-results", name, "--study", study, *options)

    return run


def one_line(found: tuple[int, str, str]) -> str:
    code, out, err = found
    assert (code, out) == (2, ""), found
    assert err.startswith("ablate: ")
    assert err.count("\n") == 1
    return err


def test_runs_become_a_study_that_says_it_was_trained_elsewhere(shell: Shell, imports: Any) -> None:
    code, out, err = imports(table(), "--trainer", "mine 2.0", "--dataset", "flowers")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "r.csv: 16 rows, 16 runs",
        "study mine in results/ablation.db: 16 added",
        "baseline none, 1 variant beside it; the report says that all of this was trained elsewhere",
        "next: ablate report mine",
    ]
    columns = "status, attempts, epochs, parameters, macs, backbone, attention"
    found = rows_of(URL, f"SELECT DISTINCT {columns} FROM v_runs")  # noqa: S608
    assert found == [("finished", 0, *[None] * 5)]
    environments = rows_of(URL, "SELECT content FROM environments")
    told = json.loads(environments[0][0])
    assert (told["trained"], told["trained_by"], told["file"]) == ("elsewhere", "mine 2.0", "r.csv")
    assert re.fullmatch("[0-9a-f]{64}", told["file_sha256"])
    assert check_integrity(URL) == []


@pytest.mark.slow
def test_its_report_says_so_and_has_no_empty_section(shell: Shell, imports: Any) -> None:
    imports(table(), "--trainer", "mine 2.0")
    assert shell("report", "mine")[0] == 0
    text = (shell.folder / "reports" / "mine" / "report.md").read_text()
    assert "Trained elsewhere by mine 2.0, and imported from r.csv (SHA-256 " in text
    assert "1 better" in text
    assert "the verdicts are about new seeds on these very images" in text.lower()
    assert "Variants of one seed share" not in text
    for never in (
        "None",
        "nan",
        "ablate run",
        "Parameters",
        "MACs",
        "| – |\n",
        "Backbone",
        "Speed",
    ):
        assert never not in text, never
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "The answer", "Results by variant", "Effects", "Metrics beside accuracy",
        "How complete the study is", "How to read this", "Recipe", "How to reproduce this",
    ]  # fmt: skip
    told = json.loads((shell.folder / "reports" / "mine" / "report.json").read_text())
    assert told["trained_elsewhere"]["files"][0]["name"] == "r.csv"
    assert told["effects"][0]["rule"] == "scores"
    assert "Trained elsewhere by mine 2.0." in (shell.folder / "reports/mine/table.tex").read_text()


def test_below_eight_seeds_accuracies_alone_bring_no_verdict(shell: Shell, imports: Any) -> None:
    imports(table(seeds=7))
    code, out, _ = shell("compare", "none", "se", "--study", "mine", "--format", "json")
    assert code == 0
    assert json.loads(out)["effect"]["verdict"] == "undecided"


def test_from_predictions_comes_a_verdict_about_new_images(shell: Shell, imports: Any) -> None:
    imports(images(30))
    code, out, _ = shell("compare", "none", "se", "--study", "mine", "--format", "json")
    effect = json.loads(out)["effect"]
    assert (code, effect["rule"], effect["verdict"]) == (0, "unpaired", "better")
    assert rows_of(URL, "SELECT COUNT(*), COUNT(probability) FROM v_predictions") == [(480, 0)]


@pytest.mark.slow
def test_its_report_has_what_predictions_tell(shell: Shell, imports: Any) -> None:
    imports(images(30))
    assert shell("report", "mine")[0] == 0
    text = (shell.folder / "reports" / "mine" / "report.md").read_text()
    assert "Images are numbered from 0 in the order of their names in the file." in text
    assert "Macro F1" in text
    assert "None" not in text


@pytest.mark.slow
def test_the_same_again_is_nothing_new(shell: Shell, imports: Any) -> None:
    for text in (table(), images(30)):
        study = f"s{len(text)}"
        imports(text, study=study)
        before = (shell.folder / "results" / "ablation.db").read_bytes()
        code, out, _ = imports(text, study=study)
        assert code == 0
        assert (
            f"nothing new: study {study} in results/ablation.db has all of it, imported at 20"
            in out
        )
        assert (shell.folder / "results" / "ablation.db").read_bytes() == before


@pytest.mark.slow
def test_more_runs_are_added_and_other_values_refused(shell: Shell, imports: Any) -> None:
    imports(table(seeds=8))
    code, out, _ = imports(table(seeds=9, eca=0.91))
    assert (code, "11 added, 16 there already as they are" in out) == (0, True)
    before = rows_of(URL, "SELECT * FROM v_runs")
    changed = table(seeds=9, eca=0.91).replace("se,2,0.9320", "se,2,0.9500")
    said = one_line(imports(changed))
    assert (
        "row 12: variant se, seed 2: test_accuracy is 0.95 here and 0.932 in the database" in said
    )
    assert rows_of(URL, "SELECT * FROM v_runs") == before
    code, out, _ = imports(changed, "--replace")
    assert (code, "1 replaced, 26 there already" in out) == (0, True)
    ((value,),) = rows_of(URL, "SELECT test_accuracy FROM v_runs WHERE variant = 'se' AND seed = 2")
    assert value == 0.95
    found = json.loads(rows_of(URL, "SELECT definition FROM studies")[0][0])
    assert [file["rows"] for file in found["elsewhere"]["files"]] == [16, 27, 27]


def test_what_was_not_known_is_added_to_what_is_there(shell: Shell, imports: Any) -> None:
    imports(f"{HEAD}\nnone,1,0.9\nse,1,0.9\n")
    code, out, _ = imports(f"{HEAD},parameters,seconds\nnone,1,0.9,1000,5\nse,1,0.9,1010,6\n")
    assert (code, "2 completed" in out) == (0, True)
    found = rows_of(URL, "SELECT parameters, seconds FROM v_runs ORDER BY ordinal")
    assert found == [(1000, 5.0), (1010, 6.0)]
    assert imports(f"{HEAD}\nnone,1,0.9\nse,1,0.9\n")[1].count("nothing new") == 1


def test_other_images_are_refused(imports: Any) -> None:
    imports(images(30))
    said = one_line(imports(images(30).replace(",a,", ",c,").replace(",a\n", ",c\n")))
    assert "its images or their labels are others than those of study mine" in said


@pytest.mark.slow
def test_a_failed_run_is_counted_as_failed(shell: Shell, imports: Any) -> None:
    imports(
        "variant,seed,accuracy,status\nnone,1,0.9,ok\nnone,2,0.91,ok\nse,1,0.9,ok\nse,2,,crashed\n"
    )
    found = rows_of(
        URL,
        "SELECT status, failure, error, test_accuracy FROM v_runs WHERE seed = 2 ORDER BY 1 DESC",
    )
    assert found == [("finished", None, None, 0.91), ("failed", "elsewhere", "crashed", None)]
    shell("report", "mine")
    text = (shell.folder / "reports" / "mine" / "report.md").read_text()
    assert "4 runs imported: 3 finished, 1 failed." in text
    assert "| se | 2 | elsewhere | crashed |" in text


def test_seeds_that_a_search_would_take_are_seeds_as_others(shell: Shell, imports: Any) -> None:
    rows = [
        f"{name},{seed},{v + seed % 7 / 1000}"
        for name, v in SCORES.items()
        for seed in range(1234, 1244)
    ]
    imports("\n".join([HEAD, *rows, ""]))
    _, out, _ = shell("compare", "none", "se", "--study", "mine", "--format", "json")
    assert (json.loads(out)["effect"]["n"], json.loads(out)["effect"]["verdict"]) == (10, "better")


@pytest.mark.slow
def test_runs_that_come_after_a_look_make_it_exploratory(shell: Shell, imports: Any) -> None:
    imports(table(seeds=8))
    shell("compare", "none", "se", "--study", "mine")
    assert "exploratory" not in shell("compare", "none", "se", "--study", "mine")[1]
    imports(table(seeds=9))
    assert (
        "exploratory: runs were imported after a look"
        in shell("compare", "none", "se", "--study", "mine")[1]
    )


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            f"{HEAD}\nse,1,0.9\neca,1,0.9\n",
            (),
            "which variant is the baseline? Name it with --baseline",
        ),
        (table(), ("--baseline", "nome"), "unknown baseline 'nome' (did you mean 'none'?)"),
        (table(), ("--margin", "0.5", "--percent"), "with --percent no value is above 1 %"),
        (table(), ("--trainer", " "), "--trainer: is a text of 1 to 200 letters"),
        (table(), ("--margin", "5"), "--margin 5: is a fraction above 0 and below 1"),
    ],
)
def test_what_cannot_be_is_one_line(
    text: str, options: tuple[str, ...], said: str, imports: Any
) -> None:
    assert said in one_line(imports(text, *options))


def test_what_is_not_there_and_what_is_no_name(shell: Shell) -> None:
    assert "no.csv: cannot be read: No such file" in one_line(
        shell("import-results", "no.csv", "--study", "s")
    )
    assert "is no name of a study" in one_line(shell("import-results", "no.csv", "--study", "S s"))


@pytest.mark.slow
def test_another_trainer_is_another_study(imports: Any) -> None:
    imports(table(), "--trainer", "a")
    assert "were imported by 'a'" in one_line(imports(table(), "--trainer", "b"))
    assert imports(table())[0] == 0


def test_they_are_never_put_among_runs_of_here(shell: Shell, imports: Any) -> None:
    plan = small_plan()
    store = Store(URL)
    store.register(plan)
    assert "are trained here" in one_line(imports(table(), study=plan.study.name))
    imports(table(), study="mine")
    theirs = {key for (key,) in rows_of(URL, "SELECT run_key FROM v_runs WHERE study = 'mine'")}
    assert not theirs & {cell.run_key for cell in plan.cells}
    with pytest.raises(StudyError, match="results under this name that were trained elsewhere"):
        store.register(small_plan(name="mine"))
    store.close()
    assert "its report stands by itself" in one_line(shell("report", "mine", plan.study.name))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["run mine", "plan mine", "measure mine", "search mine", "explain se --study mine",
     "take se --study mine --out n.safetensors", "profile none se --study mine", "tensorboard mine"],
)  # fmt: skip
def test_what_needs_a_network_says_why_not(words: str, shell: Shell, imports: Any) -> None:
    imports(table())
    said = one_line(shell(*words.split()))
    assert (
        f"{words.split(maxsplit=1)[0]}: needs the networks of study mine, and these were trained elsewhere"
        in said
    )


@pytest.mark.slow
def test_it_is_looked_after_as_any_other(shell: Shell, imports: Any) -> None:
    imports(table())
    (found,) = json.loads(shell("status", "--format", "json")[1])["studies"]
    assert (found["finished"], found["missing"], found["epochs"]) == (16, 0, None)
    assert "trained elsewhere" in shell("status")[1]
    assert shell("doctor", "--db", URL)[0] == 0
    code, out, _ = shell("study", "rename", "mine", "yours")
    assert (code, "study file" in out) == (0, False)
    assert "is called 'yours' now" in one_line(imports(table()))
    assert "nothing new" in imports(table(), study="yours")[1]
    assert shell("study", "delete", "yours", "--yes")[0] == 0
    assert rows_of(URL, "SELECT COUNT(*) FROM runs") == [(0,)]
    assert "16 added" in imports(table())[1]


@pytest.mark.slow
def test_an_export_and_a_merge_bring_it_whole(shell: Shell, imports: Any) -> None:
    imports(images(30))
    shell("report", "mine")
    assert shell("export", "--out", "out")[0] == 0
    assert shell("import", "out", "--db", "sqlite:///back.db")[0] == 0
    assert shell("report", "mine", "--db", "sqlite:///back.db", "--check")[0] == 0
    imports(images(30, seeds=6), "--paired", "--db", "sqlite:///more.db")
    code, out, _ = shell("merge", "back.db", "more.db")
    assert (code, "4 runs added" in out) == (0, True)
    with closing(sqlite3.connect("back.db")) as connection:
        ((text,),) = connection.execute("SELECT definition FROM studies").fetchall()
    told = json.loads(text)["elsewhere"]
    assert (told["paired"], len(told["files"])) == (False, 2)


@pytest.mark.slow
def test_a_merge_does_not_put_together_what_two_have_trained(shell: Shell, imports: Any) -> None:
    imports(table(seeds=8), "--trainer", "a")
    imports(table(seeds=9), "--trainer", "b", "--db", "sqlite:///other.db")
    assert shell("merge", "results/ablation.db", "other.db")[0] == 0
    counts = "SELECT COUNT(*) FROM v_runs GROUP BY dataset_hash ORDER BY 1"
    assert rows_of(URL, counts) == [(16,), (18,)]
    code, out, _ = shell("compare", "none", "se", "--study", "mine")
    assert code == 0
    assert out.startswith(
        "note: other results from elsewhere have this name too (unnamed (content "
    )
    assert "n = 9 against 9" in out


@pytest.mark.slow
def test_the_example_of_the_page(shell: Shell) -> None:
    """docs/database.md: its file, its commands, and what they say."""
    page = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
    page = page.partition("## Results from elsewhere")[2].partition("\n## ")[0]
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    (shell.folder / "results.csv").write_text(blocks["csv"])
    first, second, third = blocks["sh"].splitlines()
    assert (
        first
        == 'ablate import-results results.csv --study mine --trainer "my trainer 1.2" --dataset flowers'
    )
    words = (
        "results.csv",
        "--study",
        "mine",
        "--trainer",
        "my trainer 1.2",
        "--dataset",
        "flowers",
    )
    assert shell("import-results", *words) == (0, blocks["text"], "")
    assert (
        shell(*second.split()[1:])[0],
        (shell.folder / "reports/mine/report.html").is_file(),
    ) == (0, True)
    code, out, _ = shell(*third.split()[1:])
    assert (code, out.startswith("se is better than none by ")) == (0, True)
