"""A study by a metric of the user's: trained, stored, judged, read by who lacks the code, and never mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Shell, rows_of
from support.own_metrics import KAPPA, MODULE, STUDY, forget_module, write_module

from ablate.system.software.imports import ALLOWED

RUN = ("--no-measure", "--executor", "inprocess", "--no-probe", "--device", "cpu")
SEARCH = """
[search]
trials = 2
seeds = 1
confirm = 1
confirm_seeds = 2
parameters = { attention = ["se"], position = ["pool1", "pool2"], reduction = [4] }
"""
ALLOW = ("--allow-import", MODULE)


@pytest.fixture
def mine(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv(ALLOWED, "")
    monkeypatch.syspath_prepend(str(shell.folder))
    (shell.folder / "mine.toml").write_text(STUDY)
    write_module(shell.folder)
    yield shell
    forget_module()


def stored(shell: Shell, split: str = "test") -> list[tuple[str, float]]:
    return rows_of(
        f"sqlite:///{shell.folder}/results/ablation.db",
        "SELECT run_key, value FROM v_metrics JOIN v_runs USING (run_key) "  # noqa: S608
        f"WHERE split = '{split}' AND metric = '{MODULE}:kappa' ORDER BY run_key",
    )


def planned(shell: Shell, *more: str) -> dict[str, object]:
    code, told, errors = shell("plan", "mine.toml", "--no-probe", "--format", "json", *more)
    assert code == 0, errors
    found: dict[str, object] = json.loads(told)
    return found


@pytest.mark.slow
def test_it_is_judged_by_and_read_without_its_code_and_an_edit_trains_again(mine: Shell) -> None:
    code, told, errors = mine("plan", "mine.toml", "--no-probe")
    assert (code, told) == (2, "")
    assert f"add --allow-import {MODULE}" in errors
    code, told, errors = mine("run", "mine.toml", *ALLOW, *RUN)
    assert code == 0, errors
    assert "called" not in told
    before = stored(mine)
    assert len(before) == len(stored(mine, "validation")) == 4

    (mine.folder / f"{MODULE}.py").unlink()
    forget_module()
    for line in (
        ("report", "mine.toml"),
        ("compare", "none", "identity(pool1)", "--study", "mine.toml"),
        ("status",),
    ):
        code, told, errors = mine(*line)
        assert code == 0, (line, errors)
    report = json.loads((mine.folder / "reports" / "mine" / "report.json").read_text())
    assert report["metric"] == f"test_{MODULE}:kappa"
    page = (mine.folder / "reports" / "mine" / "report.md").read_text()
    assert "The verdicts are about kappa" in page
    assert "test_kappa_mean" in (mine.folder / "reports" / "mine" / "variants.csv").read_text()

    edited = KAPPA.replace("return (float", "return 0.5 * (float")
    write_module(mine.folder, edited)
    found = planned(mine)
    assert found["missing"] == 4
    assert found["of_other_code"] == {"finished": 4}
    code, _, errors = mine("run", "mine.toml", *RUN)
    assert code == 0, errors
    after = stored(mine)
    assert len(after) == 4
    assert not {key for key, _ in before} & {key for key, _ in after}
    # The same networks, half as good by the edited function.
    halves = sorted(round(value / 2, 9) for _, value in before)
    assert sorted(round(value, 9) for _, value in after) == halves
    write_module(mine.folder)
    assert planned(mine)["missing"] == 0


@pytest.mark.slow
def test_runs_that_lack_it_are_told_and_not_judged(mine: Shell) -> None:
    code, _, errors = mine("run", "mine.toml", "--set", "metric=accuracy", *RUN)
    assert code == 0, errors
    forget_module()
    code, _, errors = mine("report", "mine.toml")
    assert code == 0, errors
    page = (mine.folder / "reports" / "mine" / "report.md").read_text()
    assert "4 runs finished without a value of kappa" in page
    code, told, errors = mine("compare", "none", "identity(pool1)", "--study", "mine.toml")
    assert (code, told) == (2, "")
    assert "4 runs finished without a value of kappa" in errors
    assert planned(mine, *ALLOW)["missing"] == 4


@pytest.mark.slow
def test_one_that_fails_on_real_images_fails_its_runs_in_one_line(mine: Shell) -> None:
    late = ("--set", f"metric={MODULE}:late", "--set", "grid=[{attention='none'}]", "--seeds", "1")
    code, _, _ = mine("run", "mine.toml", *ALLOW, *late, *RUN)
    assert code == 1
    [(status, failure, error)] = rows_of(
        f"sqlite:///{mine.folder}/results/ablation.db", "SELECT status, failure, error FROM v_runs"
    )
    assert (status, failure) == ("failed", "error")
    assert error.startswith(f"{MODULE}:late gives 87.5")


def test_a_wrong_one_ends_plan_with_one_line(mine: Shell) -> None:
    code, told, errors = mine(
        "plan", "mine.toml", "--no-probe", *ALLOW, "--set", f"metric={MODULE}:percent"
    )
    assert (code, told) == (2, "")
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"ablate: {MODULE}:percent gives 87.5")


@pytest.mark.slow
def test_a_search_looks_for_it(mine: Shell) -> None:
    (mine.folder / "mine.toml").write_text(STUDY + SEARCH)
    code, told, errors = mine(
        "search", "mine.toml", *ALLOW, "--executor", "inprocess", "--no-probe"
    )
    assert code == 0, errors
    assert f"val_{MODULE}:kappa" in told
    assert "validation kappa" in told
    (mine.folder / f"{MODULE}.py").unlink()
    forget_module()
    code, _, errors = mine("report", "mine.toml")
    assert code == 0, errors
    assert "alidation kappa" in (mine.folder / "reports" / "mine" / "report.md").read_text()


@pytest.mark.slow
def test_a_merge_puts_no_runs_of_another_function_into_a_study(mine: Shell) -> None:
    dbs = [f"sqlite:///{mine.folder}/{name}.db" for name in ("a", "b")]
    alone = ("--set", "grid=[{attention='none'}]", "--seeds", "1")
    for db, text in zip(dbs, (KAPPA, KAPPA + "# another\n"), strict=True):
        write_module(mine.folder, text)
        code, _, errors = mine("run", "mine.toml", *ALLOW, *alone, *RUN, "--db", db)
        assert code == 0, errors
    code, told, errors = mine("merge", dbs[0], dbs[1])
    assert code == 1
    assert "or trained or measured by other code: their 1 run came along" in told + errors
    assert len(rows_of(dbs[0], "SELECT run_key FROM runs")) == 2
    assert len(rows_of(dbs[0], "SELECT run_key FROM v_runs")) == 1


@pytest.mark.slow
def test_no_cells_of_a_search_stay_that_another_function_measured(mine: Shell) -> None:
    (mine.folder / "mine.toml").write_text(STUDY + SEARCH)
    line = ("search", "mine.toml", *ALLOW, "--executor", "inprocess", "--no-probe")
    code, _, errors = mine(*line)
    assert code == 0, errors
    write_module(mine.folder, KAPPA + "# another\n")
    code, told, errors = mine(*line)
    assert code == 0, errors
    assert "2 trials (2 now)" in told  # another search, with its own trials
    twice = rows_of(
        f"sqlite:///{mine.folder}/results/ablation.db",
        "SELECT variant, seed FROM v_runs GROUP BY variant, seed HAVING COUNT(*) > 1",
    )
    assert twice == []
