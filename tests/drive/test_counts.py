"""Where runs stand, counted after a process was killed with SIGKILL, and shown as they are trained."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Shell, claim_one, small_plan, study_document
from rich.console import Console
from support.search_processes import (
    EPOCHS,
    PARAMETERS,
    Instant,
    make_searcher,
    run_search,
)

from ablate.drive.counts import Counts, count_runs
from ablate.drive.progress import StudyProgress
from ablate.plan import Plan, make_plan
from ablate.result import Epoch, Failed, Finished, RunStatus
from ablate.result.status import MISSING, READY
from ablate.store.writing.store import Claim, Store
from ablate.study.file import load_study
from ablate.system.messages.text import duration

FINISHED = Finished(0.5, 0.5, 1.0, b"\xf0", 1.0, 100.0, "a machine", "fp32")

CLAIM_AND_HANG = """
import sys, time
from ablate.store.writing.store import Store
store = Store(sys.argv[1])
print(len(store.claim_cohort(sys.argv[3:], int(sys.argv[2]), lambda key: 0)), flush=True)
time.sleep(600)
"""


def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]


def claim_and_be_killed(url: str, run_keys: list[str], count: int) -> None:
    """A process that takes runs and is killed with SIGKILL while it has them."""
    command = [sys.executable, "-c", CLAIM_AND_HANG, url, str(count), *run_keys]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{count}\n"
        process.kill()


@pytest.mark.slow
def test_what_a_killed_process_had_is_to_be_trained(url: str) -> None:
    plan, store = small_plan(), Store(url)
    store.register(plan)
    done, failed, ours = (claim_one(store, keys(plan)) for _ in range(3))
    assert done is not None
    assert failed is not None
    store.finish(done, FINISHED, {})
    store.fail(failed, Failed("diverged", "nan"))
    claim_and_be_killed(url, keys(plan), 2)
    counts = count_runs(store, keys(plan))
    assert counts == Counts(finished=1, failed=1, elsewhere=1, ready=3)
    assert counts.runs == len(plan.cells) == 6
    assert str(counts) == "6 runs, 2 done, 1 in training by another process"
    assert ours is not None


@pytest.mark.slow
@pytest.mark.parametrize("killed", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_run_after_a_kill_counts_to_its_end(shell: Shell, killed: int) -> None:
    document = study_document(
        backbone="cbam_cnn(width=0.25)", seeds=1,
        recipe={"epochs": 1, "batch_size": 256, "augment": []},
    )  # fmt: skip
    plan = small_plan(**{k: v for k, v in document.items() if k != "name"})
    Path("s.toml").write_text(toml_of(document))
    url = f"sqlite:///{shell.folder / 'r.db'}"
    store = Store(url)
    store.register(plan)
    claim_and_be_killed(url, keys(plan), killed)
    code, out, err = shell(
        "run", "s.toml", "--db", url, "--device", "cpu", "--executor", "inprocess", "--no-measure"
    )
    assert code == 0, err
    assert "3 runs, 0 done, 3 to train" in out
    counted = re.findall(r"^\[(\d+)/(\d+)\]", out, re.MULTILINE)
    assert counted[-1] == ("3", "3")
    assert {total for _, total in counted} == {"3"}
    assert "3 of 3 runs finished" in out


def toml_of(document: dict[str, object]) -> str:
    """A study file with a grid and a recipe."""
    flat = {k: v for k, v in document.items() if k not in ("recipe", "grid")}
    lines = [f"{key} = {json.dumps(value)}" for key, value in flat.items()]
    tables = [("[recipe]", document["recipe"]), *(("[[grid]]", t) for t in document["grid"])]  # type: ignore[misc]
    for head, table in tables:
        lines += [head, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


def test_a_bar_grows_when_there_is_more_to_do_than_was_known(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of another process are taken over when it dies; those that are given back count once."""
    monkeypatch.setattr("ablate.drive.progress.seconds_between_lines", lambda _console: 0.0)
    said = io.StringIO()
    progress = StudyProgress(Console(file=said, width=200), runs=2, epochs=1, workers=1)
    first, second, third = plan.cells[:3]
    with progress:
        progress.started(first)
        progress.given_back(first, "its process is gone")
        for cell in (first, second, third):
            progress.started(cell)
            progress.ended(cell, FINISHED)
    assert re.findall(r"\[(\d)/(\d)\]", said.getvalue()) == [("1", "2"), ("2", "2"), ("3", "3")]


def test_the_first_epoch_of_a_run_counts_for_the_time_left_only_until_there_are_others(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort may compile for minutes in its first epoch."""
    monkeypatch.setattr("ablate.drive.progress.seconds_between_lines", lambda _console: 0.0)
    progress = StudyProgress(Console(file=io.StringIO(), width=200), 2, epochs=11, workers=1)
    seen, cell = [], plan.cells[0]
    with progress:
        progress.started(cell)
        for number, seconds in ((1, 100.0), (2, 1.0), (3, 2.0)):
            progress.epoch(cell, Epoch(number, 1, 1, 1, 1, None, None, 0.1, seconds, 1))
            seen.append(progress.eta())
    assert seen == [f"{duration(left)} left" for left in (21 * 100, 20 * 1, 19 * 1.5)]


@pytest.mark.parametrize("status", RunStatus)
def test_every_status_is_ready_running_or_over(status: RunStatus) -> None:
    assert [status.is_ready, status is RunStatus.RUNNING, status.is_over].count(True) == 1
    assert (status in READY) is status.is_ready
    assert (status in MISSING) is not status.is_over
    assert status == status.value, "as it stands in the database and in frames"


@pytest.mark.slow
def test_commands_agree_on_a_study_in_every_state(shell: Shell) -> None:
    """Finished, failed, stopped, planned, in training by a living process, and left by a killed one."""
    document = study_document(seeds=2, recipe={"epochs": 1, "batch_size": 256, "augment": []})
    plan = small_plan(**{k: v for k, v in document.items() if k != "name"})
    Path("s.toml").write_text(toml_of(document))
    url = f"sqlite:///{shell.folder / 'r.db'}"
    store = Store(url)
    store.register(plan)
    done, failed, stopped, ours = (claim_one(store, keys(plan)) for _ in range(4))
    assert done is not None
    assert failed is not None
    assert stopped is not None
    assert ours is not None
    store.finish(done, FINISHED, {})
    store.fail(failed, Failed("diverged", "nan"))
    claim_and_be_killed(url, keys(plan), 1)
    store.stop(stopped)
    _, out, _ = shell("plan", "s.toml", "--db", url, "--format", "json", "--no-probe")
    planned = json.loads(out)
    _, out, _ = shell("status", "--db", url, "--format", "json")
    [status] = json.loads(out)["studies"]
    for state in RunStatus:
        assert [cell["status"] for cell in planned["cells"]].count(state) == status[state]
    assert [status[state] for state in RunStatus] == [1, 2, 1, 1, 1], "in the order of RunStatus"
    assert planned["missing"] == sum(status[state] for state in MISSING) == 4
    assert sum(run["gone"] for run in status["now"]) == 1
    options = ("--max-runs", "0", "--no-measure", "--no-probe", "--device", "cpu")
    _, out, _ = shell("run", "s.toml", "--db", url, *options, "--executor", "inprocess")
    assert "6 runs, 2 done, 1 in training by another process, 0 to train" in out
    assert "1 of 6 runs finished" in out
    assert "1 failed" in out
    counts = count_runs(store, keys(plan))
    assert counts == Counts(finished=1, failed=1, elsewhere=1, ready=3)
    assert counts.elsewhere + counts.ready == planned["missing"] == status["missing"]
    [bar] = set(
        re.findall(r"6 runs planned: [^.]*\.", reported(shell, url))
    )  # in the answer and where runs are counted
    assert bar == "6 runs planned: 1 finished, 1 failed, 1 running, 2 stopped, 1 missing."


def reported(shell: Shell, url: str) -> str:
    """The report of `s.toml`, as Markdown."""
    code, _, err = shell("report", "s.toml", "--db", url, "--out", "report")
    assert code == 0, err
    return Path("report/report.md").read_text()


@pytest.mark.slow
def test_commands_agree_on_a_search_in_every_state(shell: Shell) -> None:
    """Its grid, its trials (complete, pruned, under way), and the baseline's fresh seeds."""
    table = {"parameters": PARAMETERS, "trials": 12, "seeds": 1, "pruner": "median",
             "sampler": "grid", "confirm": 1}  # fmt: skip
    document = study_document(
        backbone="cbam_cnn", grid=[{"attention": "none"}], recipe={"epochs": EPOCHS}
    )
    search = Path("s.toml")
    search.write_text(toml_of(document) + "\n[search]\n" + "\n".join(
        f"{k} = {json.dumps(v)}" for k, v in table.items() if k != "parameters"
    ) + "\n[search.parameters]\n" + "\n".join(
        f"{k} = {json.dumps(v)}" for k, v in PARAMETERS.items()
    ))  # fmt: skip
    plan = make_plan(load_study(search))
    run_search(plan, shell.folder, Instant(worse="k=7"))
    url = f"sqlite:///{shell.folder / 'r.db'}"
    store = Store(url)
    searcher = make_searcher(make_plan(load_study(search, ["search.trials=13"])), shell.folder)
    searcher.more(1)
    maker, network = searcher.parts.cell_of, plan.variants["none"].fingerprint
    searcher.parts.store.add_cells(plan, [maker.named(network, seed) for seed in (1001, 1002)])
    fresh = str(maker.named(network, 1001).run_key)
    store.finish(claim_this(store, fresh), FINISHED, {})
    _, out, _ = shell("status", "--db", url, "--format", "json")
    [status] = json.loads(out)["studies"]
    _, out, _ = shell("plan", "s.toml", "--db", url, "--format", "json", "--no-probe")
    planned = json.loads(out)
    outside = planned["outside_grid"]
    for state in RunStatus:
        inside = [cell["status"] for cell in planned["cells"]].count(state)
        assert inside + outside.get(state, 0) == status[state], state
    assert planned["of_other_networks"] == {}
    trials = [row.state for row in searcher.trials]
    pruned, complete = trials.count("pruned"), trials.count("complete")
    assert pruned > 0
    assert status["pruned"] == status["stopped"] == pruned
    assert status["finished"] == complete + 1, "and one fresh seed"
    assert status["missing"] == status["planned"] == planned["missing"] + 1 + 1
    bar = (
        f"{complete + pruned + 5} runs planned: {complete + 1} finished, 0 failed, {pruned} stopped, "
        "4 missing."
    )
    assert bar in reported(shell, url)
    _, out, _ = shell("status", "s.toml", "--db", url)
    assert f"{pruned} ({pruned} pruned)" in out
    assert out.splitlines()[-1] == f"next: ablate search s.toml --db {url}"


def claim_this(store: Store, run_key: str) -> Claim:
    claim = claim_one(store, [run_key])
    assert claim is not None
    return claim
