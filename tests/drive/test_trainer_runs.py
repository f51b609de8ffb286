"""Runs that a user's own trainer trains: claimed, stopped, gone on with, proven and told as others are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Shell, machine_of, rows_of
from support import own_trainer
from support.disturbed import Disturbed
from support.own_trainer import HELPER, forget, planned

from ablate.drive.driver import Driver
from ablate.drive.options import RunOptions, TrainingOptions, choose_training
from ablate.errors import OptionError
from ablate.execute import make_executor
from ablate.plan import Plan
from ablate.result import Epoch
from ablate.store.writing.store import Store

TOLD = "SELECT v.variant, r.status, r.failure, r.error, r.test_loss FROM v_runs v JOIN runs r USING (run_key)"
EPOCHS = "SELECT train_loss, val_loss, learning_rate FROM epochs ORDER BY run_key, epoch"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from own_trainer.package(tmp_path, monkeypatch)


def train(
    plan: Plan, url: str, executor: str = "inprocess", progress: Disturbed | None = None, **how: Any
) -> dict[str, tuple[Any, ...]]:
    store = Store(url)
    store.register(plan)
    store.retry_failed([str(cell.run_key) for cell in plan.cells])
    with make_executor(executor, 1) as made:
        options = TrainingOptions(device="cpu", **how)
        Driver(plan, store, made, progress or Disturbed(None, None), options).run()
    store.close()
    return {name: tuple(rest) for name, *rest in rows_of(url, TOLD)}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inprocess", pytest.param("local", marks=pytest.mark.slow)])
def test_it_trains_every_variant_and_what_it_prints_is_no_output_of_ours(
    package: Path, url: str, executor: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = train(planned("plain"), url, executor)
    assert {status for status, *_ in found.values()} == {"finished"}
    printed = capfd.readouterr()
    assert "begins" in printed.err
    assert "begins" not in printed.out
    losses = rows_of(url, EPOCHS)
    assert len(losses) == 4
    assert {rate for *_, rate in losses} == {0.01}
    assert rows_of(url, "SELECT COUNT(*) FROM v_metrics WHERE split = 'test'")[0][0] > 0


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(package: Path, url: str) -> None:
    plan, other = planned("plain", epochs=3), url.replace("results", "whole")
    whole = train(plan, other)

    class Stopped(Disturbed):
        def epoch(self, cell: object, epoch: Epoch) -> None:
            if epoch.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, url, progress=Stopped(None, None), checkpoint_seconds=0)
    progress = Disturbed(None, None)
    assert train(plan, url, progress=progress) == whole
    assert progress.resumes
    assert rows_of(url, EPOCHS) == rows_of(other, EPOCHS)


@pytest.mark.slow
def test_what_it_raises_is_the_failure_of_its_run_alone(package: Path, url: str) -> None:
    found = train(planned("fails_in_epoch_2", epochs=3), url)
    for status, failure, error, _ in found.values():
        assert (status, failure) == ("failed", "error")
        assert "epoch 2 is too much" in error
        assert "train.py" in error, "with the way to it"


@pytest.mark.slow
def test_a_trainer_that_changes_between_plan_and_start_trains_nothing(
    package: Path, url: str
) -> None:
    plan = planned("plain")

    def edit() -> None:
        (package / "helper.py").write_text(HELPER + "\n# edited\n")
        forget()

    found = train(plan, url, progress=Disturbed(edit, None))
    assert {found_[:2] for found_ in found.values()} == {("failed", "code_changed")}
    assert all(
        error.startswith(
            "owntrain.train:plain: is not the trainer that this run was planned with (other source "
            "owntrain.helper): bring it back"
        )
        for _, _, error, _ in found.values()
    )
    assert rows_of(url, "SELECT COUNT(*) FROM epochs") == [(0,)]
    (package / "helper.py").write_text(HELPER)
    forget()
    assert {status for status, *_ in train(plan, url).values()} == {"finished"}


@pytest.mark.slow
def test_code_that_is_imported_in_the_middle_is_looked_at_before_a_checkpoint(
    package: Path, url: str
) -> None:
    """Its process may be gone before the end, and the next one proves the code that it has itself."""
    plan = planned("late", epochs=3)

    def edit() -> None:
        (package / "imported_late.py").write_text("x = 2\n")

    found = train(plan, url, progress=Disturbed(None, edit), checkpoint_seconds=0)
    assert found["none"][:2] == ("failed", "code_changed")
    [(epochs,)] = rows_of(
        url, "SELECT MAX(epoch) FROM checkpoints JOIN v_runs USING (run_key) WHERE variant = 'none'"
    )
    assert epochs == 1, "of what came before the import"


def test_steps_that_are_recorded_or_side_by_side_are_not_for_it(package: Path, url: str) -> None:
    plan, store = planned("plain"), Store(url)
    machine = machine_of(plan)
    with make_executor("inprocess", 1) as executor:
        asked = RunOptions(device="cpu", cohort=8)
        how = choose_training(asked, plan, store, machine, executor, print)
        assert (how.cohort, how.step_path) == (1, "eager")
        asked = RunOptions(step_path="graph")
        with pytest.raises(OptionError, match="--step-path graph is of our own training loop"):
            choose_training(asked, plan, store, machine, executor, print)
    store.close()


STUDY = """
name = "mine"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
seeds = 1
[recipe]
epochs = 1
augment = []
precision = "fp32"
trainer = "owntrain.train:plain"
[data]
train_images = 200
[[grid]]
attention = "none"
[search]
trials = 2
seeds = 1
confirm = 1
confirm_seeds = 2
parameters = { attention = ["se"], position = ["pool1", "pool2"], reduction = [4] }
"""
QUICK = ("--executor", "inprocess", "--no-probe", "--device", "cpu")


@pytest.fixture
def mine(shell: Shell, package: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(shell.folder)
    (shell.folder / "mine.toml").write_text(STUDY)
    return shell


def edit(package: Path) -> None:
    (package / "helper.py").write_text(HELPER + "\n# another\n")
    forget()


@pytest.mark.slow
def test_runs_of_another_trainer_are_in_no_study_and_plan_counts_them(
    mine: Shell, package: Path
) -> None:
    line = ("--allow-import", "owntrain")
    dbs = [f"sqlite:///{mine.folder}/{name}.db" for name in ("a", "b")]
    for db in dbs:
        code, _, errors = mine("run", "mine.toml", *line, *QUICK, "--no-measure", "--db", db)
        assert code == 0, errors
        if db == dbs[0]:
            edit(package)
    code, told, errors = mine("plan", "mine.toml", "--no-probe", "--db", dbs[0])
    assert code == 0, errors
    assert "1 run (1 finished) were trained or measured by other code of yours" in told
    code, told, errors = mine("merge", *dbs)
    assert code == 1
    assert "or trained or measured by other code: their 1 run came along" in told + errors
    assert len(rows_of(dbs[0], "SELECT run_key FROM v_runs")) == 1
    assert len(rows_of(dbs[0], "SELECT run_key FROM runs")) == 2


@pytest.mark.slow
def test_a_search_under_another_trainer_is_another_search(mine: Shell, package: Path) -> None:
    line = ("search", "mine.toml", "--allow-import", "owntrain", *QUICK)
    for edited in (False, True):
        if edited:
            edit(package)
        code, told, errors = mine(*line)
        assert code == 0, errors
        assert "2 trials (2 now)" in told
    twice = rows_of(
        f"sqlite:///{mine.folder}/results/ablation.db",
        "SELECT variant, seed FROM v_runs GROUP BY variant, seed HAVING COUNT(*) > 1",
    )
    assert twice == []


@pytest.mark.slow
def test_what_is_validated_in_the_end_is_what_is_tested(package: Path, url: str) -> None:
    """Whoever loads averaged weights at the end has them judged, also where seeds and trials are chosen."""
    train(planned("zeroes_at_its_end", epochs=3), url)
    found = rows_of(
        url,
        "SELECT r.val_accuracy, m.value FROM runs r JOIN metrics m USING (run_key) "
        "WHERE m.split = 'validation' AND m.metric = 'accuracy'",
    )
    assert len(found) == 2
    assert all(said == value for said, value in found)
    last = rows_of(url, "SELECT val_accuracy FROM epochs WHERE epoch = 3")
    assert {said for said, _ in found} != {value for (value,) in last}
