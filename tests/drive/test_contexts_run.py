"""A study in several contexts is trained seed by seed, its runs are those of the plain studies, and every
command speaks of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Shell, rows_of, small_plan

from ablate.drive import contexts
from ablate.drive.options import RunOptions, TrainingOptions
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import find_machine

STUDY = """
name = "many"
dataset = "digits"
image_size = 8
backbone = "cbam_cnn(width=0.25)"
seeds = 2

[recipe]
epochs = 1
batch_size = 256
augment = []
precision = "fp32"
label_smoothing = [0.0, 0.1]

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = "pool3"
"""
RUN = ["--no-measure", "--no-probe", "--device", "cpu", "--executor", "inprocess"]
URL = "sqlite:///results/ablation.db"


@pytest.fixture
def ablate(shell: Shell) -> Shell:
    (shell.folder / "many.toml").write_text(STUDY)
    return shell


def done(ablate: Shell, *arguments: str) -> str:
    code, out, errors = ablate(*arguments)
    assert (code, errors) == (0, "")
    return out


def test_each_context_has_its_own_cells_in_a_plan(ablate: Shell) -> None:
    found = json.loads(done(ablate, "plan", "many.toml", "--format", "json", "--no-probe"))
    assert found["missing"] == 8
    keys = [[cell["run_key"] for cell in each["cells"]] for each in found["contexts"]]
    assert len(set(keys[0]) | set(keys[1])) == 8
    plain = ["--set", "recipe.label_smoothing=0.1", "--format", "json", "--no-probe"]
    alone = json.loads(done(ablate, "plan", "many.toml", *plain))
    assert [cell["run_key"] for cell in alone["cells"]] == keys[1]
    out = done(ablate, "plan", "many.toml", "--no-probe")
    assert "context label_smoothing=0.1" in out
    assert "2 contexts, 8 runs missing" in out


@pytest.mark.slow
def test_runs_go_seed_by_seed_through_all_contexts_and_are_those_of_the_plain_studies(
    ablate: Shell,
) -> None:
    out = done(ablate, "run", "many.toml", *RUN, "--max-runs", "5")
    assert "many: 2 contexts, 8 runs, 5 to train" in out
    trained = "SELECT setting, seed FROM v_runs WHERE status = 'finished' ORDER BY seed, setting"
    seeds = [seed for _, seed in rows_of(URL, trained)]
    assert seeds == [1, 1, 1, 1, 2], "a study that is cut short is a smaller one"
    plain = done(ablate, "plan", "many.toml", "--format", "json", "--no-probe",
                 "--set", "recipe.label_smoothing=0.1")  # fmt: skip
    cells = json.loads(plain)["cells"]
    assert [cell["status"] for cell in cells] == ["finished", "finished", "planned", "planned"]
    found = json.loads(done(ablate, "plan", "many.toml", "--format", "json", "--no-probe"))
    assert found["missing"] == 3
    assert found["contexts"][1]["cells"] == cells
    states = json.loads(done(ablate, "status", "--format", "json"))["studies"]
    assert sorted(each["context"]["recipe.label_smoothing"] for each in states) == [0.0, 0.1]
    assert "label_smoothing=0.1" in done(ablate, "status")
    done(ablate, "run", "many.toml", *RUN)
    assert rows_of(URL, "SELECT COUNT(*) FROM v_runs WHERE status = 'finished'") == [(8,)]
    told = done(ablate, "compare", "none", "se(pool3, r=16)", "--study", "many.toml")
    assert [line for line in told.splitlines() if line.startswith("context")] == [
        "context label_smoothing=0.0",
        "context label_smoothing=0.1",
    ]
    assert done(ablate, "report", "many.toml").endswith("open reports/many/report.html\n")
    folder = ablate.folder / "reports/many"
    assert "Where it holds" in (folder / "report.md").read_text()
    one = (folder / "contexts/label_smoothing=0.1/report.md").read_text()
    assert "Context: label\\_smoothing=0.1" in one
    assert done(ablate, "report", "many.toml", "--check") == ""
    (folder / "report.md").write_text("")
    assert ablate("report", "many.toml", "--check")[0] == 1


PLACEBO = """
[[grid]]
attention = "identity"
position = "pool3"
"recipe.label_smoothing" = 0.1
"""


@pytest.mark.slow
def test_a_control_of_one_context_is_not_there_in_another(ablate: Shell) -> None:
    text = STUDY.replace("seeds = 2", 'seeds = 2\ncontrols = ["identity*"]') + PLACEBO
    (ablate.folder / "many.toml").write_text(text)
    done(ablate, "run", "many.toml", *RUN)
    assert rows_of(URL, "SELECT COUNT(*) FROM v_runs WHERE status = 'finished'") == [(10,)]
    told = done(ablate, "compare", "none", "se(pool3, r=16)", "--study", "many.toml")
    assert told.count("context ") == 2
    done(ablate, "report", "many.toml")
    folder = ablate.folder / "reports/many"
    without, with_it = (
        (folder / f"contexts/label_smoothing={value}/report.md").read_text()
        for value in ("0.0", "0.1")
    )
    assert "## Against the controls" in with_it
    assert "Against the control identity(pool3)." in with_it
    assert "Against the control" not in without
    assert "names no variant" not in without
    one = ["--set", "recipe.label_smoothing=0.0"]
    assert done(ablate, "run", "many.toml", *RUN, *one).count("4 of 4 runs finished") == 1
    said = refused(ablate, "run", "many.toml", *RUN, "--set", 'controls=["cbam*"]')
    assert "the control 'cbam*' is no variant of the grid" in said


def refused(ablate: Shell, *arguments: str) -> str:
    code, _, errors = ablate(*arguments)
    assert code == 2
    assert errors.count("\n") == 1
    return errors


@pytest.mark.slow
def test_what_cannot_be_in_several_contexts_is_one_line(ablate: Shell) -> None:
    said = refused(ablate, "explain", "none", "--study", "many.toml")
    assert "has 2 contexts" in said
    assert "--set recipe.label_smoothing=0.0" in said
    same = STUDY.replace('"cbam_cnn(width=0.25)"', '["cbam_cnn", "cbam_cnn(width=1.0)"]')
    (ablate.folder / "many.toml").write_text(same)
    said = refused(ablate, "run", "many.toml", *RUN, "--set", "recipe.label_smoothing=0.1")
    assert (
        "the contexts 'backbone=cbam_cnn' and 'backbone=cbam_cnn(width=1.0)' have the same runs"
        in said
    )
    said = refused(ablate, "run", "many.toml", *RUN, "--until-decided", "--max-runs", "3")
    assert "choose one of them with --set" in said
    assert not Path("results/ablation.db").exists()


@pytest.mark.slow
def test_data_sets_are_contexts(ablate: Shell) -> None:
    text = STUDY.replace('dataset = "digits"', 'dataset = ["digits", "digits(test_fraction=0.5)"]')
    (ablate.folder / "many.toml").write_text(text.replace("[0.0, 0.1]", "0.1"))
    done(ablate, "run", "many.toml", *RUN, "--seeds", "1")
    assert rows_of(URL, "SELECT COUNT(*), COUNT(DISTINCT dataset_hash) FROM v_runs") == [(4, 2)]
    done(ablate, "report", "many.toml", "--set", "seeds=1")
    page = (ablate.folder / "reports/many/report.md").read_text()
    assert "Contexts of different images are not compared" in page


@pytest.mark.parametrize("more", [[], ["--until-decided"], ["--set", "recipe.label_smoothing=0.1"]])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray-address", "head:6379"], "--ray-address belongs to --executor ray, not to local"),
        (["--gpu-share", "0.5"], "--gpu-share belongs to --executor ray, not to local"),
        (["--executor", "ray", "--ray-address", "head"], "--ray-address head: write HOST:PORT"),
    ],
)
def test_where_to_train_is_heard_in_every_way_of_training(
    ablate: Shell, options: list[str], said: str, more: list[str]
) -> None:
    code, _, errors = ablate("run", "many.toml", "--no-probe", "--no-measure", *options, *more)
    assert code == 2
    assert said in errors
    assert not (ablate.folder / "results" / "ablation.db").exists()


@pytest.mark.slow
def test_failed_runs_are_tried_again_up_to_max_runs_in_all_contexts_together(
    ablate: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("ablate.job.session.build", lambda *_: 1 / 0)
        code, out, _ = ablate("run", "many.toml", *RUN)
    assert code == 1
    assert "many: 0 of 8 runs finished" in out
    code, out, _ = ablate("run", "many.toml", *RUN, "--retry-failed", "--max-runs", "3")
    assert "many: 3 of 8 runs finished" in out
    assert "5 failed" in out
    rows = rows_of(URL, "SELECT status, error IS NOT NULL FROM v_runs")
    assert sorted(rows) == [("failed", 1)] * 5 + [("finished", 0)] * 3


def test_runs_that_another_process_took_do_not_count_for_max_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    class Beaten:
        """A driver that gets one run; another process has the others."""

        taken = 1

        def __init__(self, *given: Any) -> None:
            asked.append(given[-1].max_runs)

        def run(self) -> None: ...

    monkeypatch.setattr(contexts, "Driver", Beaten)
    monkeypatch.setattr(contexts, "choose_training", lambda *_: TrainingOptions())
    parts = [
        contexts._Part(small_plan(recipe={"label_smoothing": each}), find_machine("cpu", "auto"))
        for each in (0.0, 0.1)
    ]
    store = Store(f"sqlite:///{tmp_path / 'r.db'}")
    for part in parts:
        store.register(part.plan)
    given: Any = store, None, SimpleNamespace(note=lambda _text: None)
    contexts._Training(parts, *given, RunOptions(max_runs=3)).run()
    assert asked == [3, 2, 1]
    store.close()
