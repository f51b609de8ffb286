"""A result belongs to the network that its key names, whatever happens to a user's files meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import message, rows_of, run_events, small_plan
from support.disturbed import Disturbed
from support.own_package import (
    DISTURBANCES,
    edit,
    forget_package,
    save_checkpoint,
    write_package,
    zero_checkpoint,
)

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import NetworkChangedError
from ablate.execute import make_executor
from ablate.explain.explanation import Request, explain_networks
from ablate.job import Cohort, Run
from ablate.measure.bench import Conditions, Network, make_bench
from ablate.network.fresh import _check_own, _shared_parts
from ablate.network.trace import trace
from ablate.plan import Plan
from ablate.result import Epoch
from ablate.store.writing.store import Store
from ablate.system.software.imports import ALLOWED

NONE = {"attention": "none"}
SE = {"attention": "se", "position": "conv", "reduction": 4}
DURING = [name for name in DISTURBANCES if name != "imported when called"]
REAL = ("swapped", "helper")
"""These happen to a worker process as `ablate run` has, too; one of each kind is enough."""


def in_processes(names: Iterable[str]) -> list[Any]:
    """Each of these in this process, and the real ones in one of their own."""
    real = [pytest.param(n, "local", marks=pytest.mark.slow) for n in names if n in REAL]
    return [*((name, "inprocess") for name in names), *real]


FAILED = ("failed", "network_changed", None, None)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(ALLOWED, "ownrun")
    forget_all()
    yield write_package(tmp_path)
    forget_all()


def forget_all() -> None:
    forget_package()
    for cache in (trace, _check_own, _shared_parts):
        cache.cache_clear()


def planned(*grid: dict[str, Any], **changes: Any) -> Plan:
    recipe = {"epochs": 2, "augment": [], "precision": "fp32", "learning_rate": 0.01}
    return small_plan(
        backbone="ownrun.nets:Net", grid=list(grid or [NONE]), recipe=recipe,
        **{"seeds": 1, **changes},
    )  # fmt: skip


def train(
    plan: Plan,
    url: str,
    executor: str = "inprocess",
    progress: Disturbed | None = None,
    **how: Any,
) -> list[tuple[Any, ...]]:
    """What is stored of the runs when everything is over."""
    store = Store(url)
    store.register(plan)
    store.retry_failed([str(cell.run_key) for cell in plan.cells])
    with make_executor(executor, 1) as made:
        options = TrainingOptions(device="cpu", **how)
        Driver(plan, store, made, progress or Disturbed(None, None), options).run()
    store.close()
    return rows_of(url, "SELECT status, failure, test_accuracy, test_loss FROM runs ORDER BY seed")


def error_of(url: str) -> str:
    [(error,)] = rows_of(url, "SELECT DISTINCT error FROM runs")
    assert "\n" not in error
    return str(error)


def disturbed(package: Path, name: str, *, start: bool = False, epoch: bool = False) -> Disturbed:
    """What happens before the start is found as by a new process; or it happens during training."""

    def happen() -> None:
        DISTURBANCES[name][0](package)
        if start:
            forget_all()

    return Disturbed(happen if start else None, happen if epoch else None)


@pytest.fixture
def undisturbed(package: Path, tmp_path: Path) -> list[tuple[Any, ...]]:
    """The result of the network as it is first."""
    found = train(planned(), f"sqlite:///{tmp_path / 'undisturbed.db'}", "inprocess")
    assert found[0][0] == "finished"
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "executor"), in_processes(DISTURBANCES))
def test_files_that_change_between_plan_and_start(
    package: Path, url: str, name: str, executor: str
) -> None:
    """All runs of a cohort fail, and no number is stored."""
    plan = planned(NONE, SE)
    found = train(plan, url, executor, disturbed(package, name, start=True), cohort=2)
    assert found == [FAILED, FAILED]
    error = error_of(url)
    assert error.startswith("ownrun.nets:Net: is not the network that this run was planned with (")
    assert DISTURBANCES[name][1] in error
    assert error.endswith("`ablate plan` again: another network has runs of its own")


@pytest.mark.slow
def test_brought_back_and_tried_again_it_is_the_same_run(
    package: Path, url: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    plan = planned()
    assert train(plan, url, progress=disturbed(package, "swapped", start=True)) == [FAILED]
    save_checkpoint(package, seed=1)
    assert train(plan, url) == undisturbed


@pytest.mark.slow
def test_the_next_plan_has_other_keys(package: Path, url: str) -> None:
    before = planned()
    train(before, url, progress=disturbed(package, "helper", start=True))
    forget_all()
    after = planned()
    assert after.cells[0].run_key != before.cells[0].run_key
    assert [row[0] for row in train(after, url)] != ["failed"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "executor"), in_processes(DURING))
def test_files_that_change_during_training_change_nothing(
    package: Path, url: str, undisturbed: list[tuple[Any, ...]], name: str, executor: str
) -> None:
    """The code that ran was imported, the weights were read: it is the network that the key names."""
    progress = disturbed(package, name, epoch=True)
    assert train(planned(), url, executor, progress) == undisturbed
    assert progress.at_epoch is None, "it has happened"


@pytest.mark.slow
def test_a_file_that_changes_before_a_call_imports_it(package: Path, url: str) -> None:
    plan = planned()
    forget_all()
    progress = disturbed(package, "imported when called", epoch=True)
    assert train(plan, url, progress=progress) == [FAILED]
    assert "other source ownrun.late" in error_of(url)


@pytest.mark.slow
def test_in_process_the_imported_code_counts_and_the_weights_that_lie_there(
    package: Path, url: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    plan = planned()
    progress = Disturbed(lambda: edit(package, "helper"), None)
    assert train(plan, url, progress=progress) == undisturbed, "edited after it was imported"
    other, progress = (
        url.replace("results", "other"),
        Disturbed(lambda: zero_checkpoint(package), None),
    )
    assert train(plan, other, progress=progress) == [FAILED]


@pytest.mark.slow
def test_a_plan_of_edited_source_is_not_trained_by_a_process_that_runs_the_old(
    package: Path, url: str
) -> None:
    planned()
    edit(package, "helper")
    stale = planned()
    assert train(stale, url) == [FAILED]
    assert "other source ownrun.helper" in error_of(url)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "second"), [("swapped", "failed"), ("helper", "finished")])
def test_files_that_change_between_two_runs_of_one_worker(
    package: Path, url: str, name: str, second: str
) -> None:
    found = train(planned(seeds=2), url, progress=disturbed(package, name, epoch=True))
    assert [row[0] for row in found] == ["finished", second]


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_network_alone(
    package: Path, url: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    plan = planned()

    class Stopped(Disturbed):
        def epoch(self, cell: object, epoch: Epoch) -> None:
            if epoch.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, url, progress=Stopped(None, None), checkpoint_seconds=0)
    edit(package, "helper")
    forget_all()
    assert train(plan, url) == [FAILED]
    (package / "helper.py").unlink()
    shutil.copy(package / "late.py", package / "helper.py")
    forget_all()
    progress = Disturbed(None, None)
    assert train(plan, url, progress=progress) == undisturbed
    assert progress.resumes == [1], "its checkpoint was kept"


def test_networks_of_ours_and_of_torchvision_need_no_proof(package: Path) -> None:
    assert small_plan().named is None
    plan = planned(identity="first")
    assert plan.named is not None
    assert plan.named.identity == "first"
    assert {"source ownrun.nets", "source ownrun.late", "weights conv.weight"} < set(
        plan.named.marks
    )


@pytest.mark.slow
def test_other_modules_than_the_fingerprint_says(package: Path) -> None:
    plan = planned()
    run = Run("key", plan.cells[0].variant, fingerprint="0" * 16)
    job = Cohort((run,), 1, plan.study.recipe, plan.dataset, "cpu", named=plan.named)
    [(key, end)] = run_events(job)
    assert (key, end.kind) == ("key", "network_changed")
    assert "(other modules or shapes in none)" in end.error


def test_what_is_measured_is_proven_too(package: Path) -> None:
    plan = planned(NONE, SE)
    conditions = Conditions(plan.study.recipe, plan.dataset, "cpu", named=plan.named)
    networks = [Network(c.variant, c.architecture.fingerprint) for c in plan.cells]
    bench = make_bench(conditions, networks)
    bench.build(networks[1])
    bench.check_code()
    save_checkpoint(package, seed=2)
    said = "other weights conv.weight, conv.bias"
    assert said in message(NetworkChangedError, lambda: bench.build(networks[1])), "as it was built"
    assert said in message(NetworkChangedError, lambda: make_bench(conditions, networks))


@pytest.mark.slow
def test_pictures_of_a_network_that_was_edited_since_say_so(package: Path, url: str) -> None:
    plan = planned()
    train(plan, url)
    key = str(plan.cells[0].run_key)

    def weights(target: str) -> str:
        [network] = explain_networks(Request((target,), plan.study, url, samples=1)).networks
        return network.weights

    assert weights("none") == weights(key) == f"trained: run {key}, seed 1"
    edit(package, "helper")
    forget_all()
    assert weights(key).endswith("have changed since: another network")
    assert weights("none").startswith("untrained: no weights of a run of it are stored; those")
    assert f"run {key} are of another network" in weights("none")
