"""`compare` and `report --fail-on` where contexts have nothing to be judged by: that passes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from conftest import Shell
from support.report_frames import make_frames

from ablate.commands.report import refuse_unjudged
from ablate.errors import OptionError
from ablate.page import canvas
from ablate.page.vector import Picture
from ablate.plan import make_plan
from ablate.report.summary import Summary, summarize
from ablate.result import Failed, Finished
from ablate.store.writing.store import Store
from ablate.study.file import load_study

STUDY = """
name = "many"
dataset = "digits"
backbone = "cbam_cnn(width=0.25)"
seeds = 2
[recipe]
epochs = 1
label_smoothing = [0.0, 0.1]
[[grid]]
attention = "none"
[[grid]]
attention = "se"
position = "pool3"
"""
PAIR = ("compare", "none", "se(pool3, r=16)", "--study", "many.toml")
FIRST, SECOND = ("recipe.label_smoothing=0.0",), ("recipe.label_smoothing=0.1",)


def test_a_study_is_judged_where_its_baseline_and_a_variant_have_a_finished_run() -> None:
    full = summarize(make_frames({"none": 0.8, "se": 0.9, "cbam": 0.9}))
    refuse_unjudged([full, without(full, "se")], 2)
    refuse_unjudged([summarize(make_frames({"none": 0.8}))], 1)  # nothing is to be compared
    for lacking in (without(full, "none"), without(full, "se", "cbam")):
        with pytest.raises(
            OptionError, match="--fail-on: 1 of 1 context asked for: no finished run"
        ):
            refuse_unjudged([lacking], 1)
        with pytest.raises(
            OptionError, match="--fail-on: 2 of 3 contexts asked for: no finished run"
        ):
            refuse_unjudged([full, lacking], 3)


def without(summary: Summary, *names: str) -> Summary:
    """As if no run of these variants had finished."""
    variants = (replace(v, accuracies={}) if v.name in names else v for v in summary.variants)
    return replace(summary, variants=tuple(variants))


@pytest.fixture
def ablate(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """No figure is drawn; the first context has only been begun."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))
    (shell.folder / "many.toml").write_text(STUDY)
    (shell.folder / "results").mkdir()
    end(shell, FIRST, None)
    return shell


def end(
    shell: Shell,
    context: tuple[str, ...],
    accuracy: float | None,
    fail: bool = False,
    name: str = "many.toml",
) -> None:
    """Register a context, and end its runs with this accuracy, or as failed."""
    plan = make_plan(load_study(shell.folder / name, context))
    store = Store(f"sqlite:///{shell.folder / 'results' / 'ablation.db'}")
    store.register(plan)
    for cell in plan.cells if accuracy is not None or fail else ():
        [claim] = store.claim_cohort([str(cell.run_key)], 1, lambda _: 0)
        if fail:
            store.fail(claim, Failed("diverged", "nan"), {})
        else:
            done = Finished(accuracy, accuracy, 1.8, b"\xf0" * 45, 4.0, 500.0, "m", "fp32")
            store.finish(claim, done, {})
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["words", "json"])
def test_a_pair_that_is_compared_in_no_context_is_an_error(ablate: Shell, format: str) -> None:
    code, out, err = ablate(*PAIR, "--format", format, "--fail-on", "worse")
    assert code == 2
    assert "can be compared in none of the contexts: in label_smoothing=0.0 none has no" in err
    assert "next:" not in out
    assert '"contexts"' not in out
    end(ablate, SECOND, None, fail=True)
    code, _, err = ablate(*PAIR, "--format", format)
    assert (code, "2 of its 2 runs failed (2 × diverged)" in err) == (2, True)


@pytest.mark.slow
def test_a_context_that_was_not_compared_does_not_pass_fail_on(ablate: Shell) -> None:
    end(ablate, SECOND, 0.5)
    assert ablate(*PAIR)[0] == 0
    code, _, err = ablate(*PAIR, "--fail-on", "worse")
    assert (code, "which they were not in 1 context" in err) == (2, True)
    assert ablate(*PAIR, "--fail-on", "worse", "--set", *SECOND)[0] == 0
    found = json.loads(ablate(*PAIR, "--format", "json")[1])
    assert [each["context"] for each in found["contexts"]] == [{"recipe.label_smoothing": 0.1}]
    assert [each["context"] for each in found["not_compared"]] == [{"recipe.label_smoothing": 0.0}]
    verdict = found["contexts"][0]["effect"]["verdict"]
    assert ablate(*PAIR, "--fail-on", verdict)[0] == 4


@pytest.mark.slow
@pytest.mark.parametrize("way", [("--format", "json"), ("--comment",)])
def test_a_report_without_a_verdict_does_not_pass_fail_on(
    ablate: Shell, way: tuple[str, ...]
) -> None:
    report = ("report", "many.toml", *way, "--fail-on", "worse")
    code, _, err = ablate(*report)
    assert (code, "2 of 2 contexts asked for: no finished run" in err) == (2, True)
    code, _, err = ablate(*report, "--set", *FIRST)
    assert (code, "--fail-on: 1 of 1 context asked for: no finished run" in err) == (2, True)
    end(ablate, SECOND, 0.5)
    assert ablate(*report, "--set", *SECOND)[0] == 0
    code, _, err = ablate(*report)
    assert (code, "1 of 2 contexts asked for: no finished run" in err) == (2, True)


@pytest.mark.slow
def test_a_context_that_a_report_over_studies_leaves_out_does_not_pass_fail_on(
    ablate: Shell,
) -> None:
    end(ablate, SECOND, 0.5)
    text = STUDY.replace('"many"', '"other"').replace("[0.0, 0.1]", "0.1")
    (ablate.folder / "other.toml").write_text(text)
    end(ablate, (), None, name="other.toml")  # of runs that are there
    report = ("report", "many.toml", "other.toml", "--format", "json", "--fail-on", "worse")
    code, _, err = ablate(*report)
    assert (code, "1 of 3 contexts asked for: no finished run" in err) == (2, True), err
    assert ablate(*report, "--set", *SECOND)[0] == 0


@pytest.mark.slow
def test_reports_of_one_context_of_all_and_of_others_do_not_take_each_others_place(
    ablate: Shell,
) -> None:
    end(ablate, SECOND, 0.5)
    report = ("report", "many.toml")
    assert "of its own" not in ablate(*report)[1]
    reports = ablate.folder / "reports"
    before = (reports / "many" / "report.json").read_bytes()
    code, out, _ = ablate(*report, "--set", *SECOND)
    assert (code, "this report has a folder of its own" in " ".join(out.split())) == (0, True)
    assert ablate(*report, "--set", *SECOND, "--check")[0] == 0
    for one in ("0.2", "0.3"):
        end(ablate, (f"recipe.label_smoothing={one}",), 0.5)
    others = (*report, "--set", "recipe.label_smoothing=[0.2,0.3]")
    code, out, _ = ablate(*others)
    assert (code, "reports/many-contexts-" in out) == (0, True)
    assert ablate(*others, "--check")[0] == 0
    assert ablate(*report, "--check")[0] == 0
    assert (reports / "many" / "report.json").read_bytes() == before
    assert len(list(reports.iterdir())) == 3
