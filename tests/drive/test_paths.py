"""A run goes on under the path that it was begun with, whatever would be chosen today."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import machine_of, rows_of, small_plan
from hypothesis import given
from hypothesis import strategies as st

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.drive.paths import Paths
from ablate.execute import InProcessExecutor
from ablate.job import find_path
from ablate.plan import Plan
from ablate.result import Checkpoint, ComputePath
from ablate.result.path import differences
from ablate.store.connection.address import files_folder
from ablate.store.writing.store import Claim, Store

PLAIN, FUSED = (dict.fromkeys(("cbam", "se"), kernel) for kernel in ("plain", "fused"))
GPU = ComputePath("a GPU", "amp-bf16", "2.9", (("se", "fused"),), "graph", deterministic=False)


class Watching:
    """A Progress that remembers what it was told, and can end the driver after an epoch."""

    def __init__(self, end_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.resumed_at: list[int] = []
        self.returned: list[str] = []
        self.epochs = 0
        self._end_after = end_after

    def started(self, cell: Any) -> None: ...

    def resumed(self, cell: Any, epoch: int) -> None:
        self.resumed_at.append(epoch)

    def given_back(self, cell: Any, why: str) -> None:
        self.returned.append(why)

    def epoch(self, cell: Any, epoch: Any) -> None:
        self.epochs += 1
        if self.epochs == self._end_after:
            raise KeyboardInterrupt

    def ended(self, cell: Any, result: Any) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


class Jobs(InProcessExecutor):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def submit(self, job_id: str, job: Any) -> None:
        self.given.append(job)
        super().submit(job_id, job)


@pytest.fixture
def plan() -> Plan:
    return small_plan(
        backbone="cbam_cnn(width=0.25)",
        seeds=1,
        recipe={"epochs": 2, "batch_size": 256, "augment": []},
        grid=[
            {"attention": "none"},
            {"attention": "se", "position": ["pool2", "pool3"]},
            {"attention": "cbam", "position": "pool3"},
        ],
    )


def drive(
    plan: Plan, url: str, kernels: Mapping[str, str], **changes: Any
) -> tuple[Watching, Jobs]:
    """Train what is missing, side by side; every epoch has its checkpoint."""
    watching, jobs, store = Watching(changes.pop("end_after", None)), Jobs(), Store(url)
    store.register(plan)
    how = TrainingOptions("cpu", 4, kernels=kernels, checkpoint_seconds=0, **changes)
    try:
        Driver(plan, store, jobs, watching, how).run()
    except KeyboardInterrupt:
        assert watching.epochs
    store.close()
    return watching, jobs


def begin(plan: Plan, url: str, kernels: Mapping[str, str] = PLAIN) -> None:
    """Every run of the plan has one epoch and its checkpoint when the driver is ended."""
    drive(plan, url, kernels, end_after=len(plan.cells) + 1)
    assert rows_of(url, "SELECT COUNT(*) FROM checkpoints") == [(len(plan.cells),)]


def weights(url: str) -> dict[str, str]:
    return dict(rows_of(url, "SELECT run_key, weights_sha256 FROM runs"))


def begun_with(url: str) -> dict[str, Any]:
    found = rows_of(url, "SELECT variant, path FROM runs JOIN cells USING (run_key)")
    return {variant: json.loads(path) if path else None for variant, path in found}


@pytest.mark.slow
def test_the_path_is_stored_when_a_run_begins(plan: Plan, url: str) -> None:
    drive(plan, url, FUSED, max_runs=0)
    assert set(begun_with(url).values()) == {None}, "nobody has begun them"
    drive(plan, url, FUSED, end_after=1)
    stored = begun_with(url)
    assert {name: path["kernels"] for name, path in stored.items()} == {
        "none": {},
        "se(pool2, r=16)": {"se": "fused"},
        "se(pool3, r=16)": {"se": "fused"},
        plan.cells[3].variant.name: {"cbam": "fused"},
    }
    machine = machine_of(plan)
    assert stored["none"] == find_path(machine, {}, deterministic=True).document()
    assert stored["none"]["precision"] == machine.precision.name


@pytest.mark.slow
def test_what_was_chosen_meanwhile_changes_no_run_that_was_begun(
    plan: Plan, tmp_path: Path
) -> None:
    """To the byte; and the choice does change bytes, or this would show nothing."""
    ended, peace, other = (
        f"sqlite:///{tmp_path / name}" for name in ("a/r.db", "b/r.db", "c/r.db")
    )
    for name in "abc":
        (tmp_path / name).mkdir()
    begin(plan, ended)
    watching, jobs = drive(plan, ended, FUSED)
    assert watching.resumed_at == [1] * len(plan.cells)
    assert watching.notes == watching.returned == []
    drive(plan, peace, PLAIN)
    drive(plan, other, FUSED)
    assert weights(ended) == weights(peace)
    changed = {key for key, sha in weights(other).items() if weights(peace)[key] != sha}
    assert changed == {c.run_key for c in plan.cells if c.variant.attention != "none"}
    assert begun_with(ended) == begun_with(peace) != begun_with(other)
    kernels = {run.variant.attention: job.kernels for job in jobs.given for run in job.runs}
    assert {name: kernels[name][name] for name in ("se", "cbam")} == PLAIN


@pytest.mark.slow
def test_a_run_that_was_not_begun_takes_the_path_of_today(plan: Plan, url: str) -> None:
    begin(plan, url)
    lost = next(cell for cell in plan.cells if cell.variant.position == "pool2")
    for file in (files_folder(url) / "checkpoints").glob(f"{lost.run_key}-*"):
        file.write_bytes(b"torn")
    watching, jobs = drive(plan, url, FUSED)
    assert begun_with(url)[lost.variant.name]["kernels"] == {"se": "fused"}
    on_se = [(run, job) for job in jobs.given for run in job.runs if run.variant.attention == "se"]
    latest = {run.run_key: job.kernels["se"] for run, job in on_se}
    assert latest.pop(str(lost.run_key)) == "fused"
    assert list(latest.values()) == ["plain"]
    assert rows_of(url, "SELECT DISTINCT status, epochs FROM v_runs") == [("finished", 2)]
    assert watching.notes == []


def make_other(url: str, **values: str) -> None:
    """What was begun was begun elsewhere."""
    for name, value in values.items():
        rows_of(url, f"UPDATE runs SET path = json_set(path, '$.{name}', '{value}')")  # noqa: S608


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"device": "an older GPU"}, "device an older GPU (here "),
        ({"torch": "1.0"}, "torch 1.0 (here "),
        ({"invented": "later"}, "invented later (here unknown)"),
    ],
)
@pytest.mark.slow
def test_what_cannot_go_on_here_begins_anew_and_says_so(
    values: dict[str, str], said: str, plan: Plan, url: str
) -> None:
    begin(plan, url)
    make_other(url, **values)
    watching, _ = drive(plan, url, FUSED)
    assert watching.resumed_at == []
    assert len(watching.notes) == len(plan.cells)
    assert all(" begins anew: " in note and said in note for note in watching.notes)
    assert watching.epochs == 2 * len(plan.cells)
    assert {str(path["kernels"].get("se")) for path in begun_with(url).values()} == {
        "None",
        "fused",
    }
    assert rows_of(url, "SELECT DISTINCT status, epochs FROM v_runs") == [("finished", 2)]


@pytest.mark.slow
def test_a_checkpoint_of_an_unknown_path_is_not_continued_in_silence(plan: Plan, url: str) -> None:
    """As those are that were written before paths were stored: the worker compares."""
    begin(plan, url)
    rows_of(url, "UPDATE runs SET path = NULL")
    watching, _ = drive(plan, url, FUSED)
    with_attention = [c for c in plan.cells if c.variant.attention != "none"]
    assert len(watching.notes) == len(with_attention)
    assert all("its checkpoint was made by kernels" in note for note in watching.notes)
    assert watching.epochs == 2 * len(with_attention) + 1
    assert rows_of(url, "SELECT DISTINCT status, epochs FROM v_runs") == [("finished", 2)]


@pytest.mark.slow
def test_a_run_whose_steps_are_no_graph_after_all_goes_on_eagerly(plan: Plan, url: str) -> None:
    """On a CPU there is none: its checkpoint was made eagerly, whatever the path in the database says."""
    begin(plan, url)
    make_other(url, step_path="graph")
    one, store, watching = replace(plan, cells=plan.cells[:1]), Store(url), Watching()
    how = TrainingOptions("cpu", checkpoint_seconds=0)
    Driver(one, store, Jobs(), watching, how).run()
    store.close()
    anew, fallen = watching.notes
    assert anew.endswith("begins anew: its checkpoint was made by step path eager (here graph)")
    assert fallen.startswith("a cohort is stepped eagerly, it cannot be a graph: ")
    name = plan.cells[0].variant.name
    assert {n: path["step_path"] == "eager" for n, path in begun_with(url).items()} == {
        cell.variant.name: cell.variant.name == name for cell in plan.cells
    }
    assert rows_of(url, "SELECT epochs FROM v_runs WHERE status = 'finished'") == [(2,)]


@pytest.mark.slow
def test_the_store_keeps_the_path_of_a_run_that_goes_on(
    plan: Plan, any_url: str, open_store: Callable[[str], Store]
) -> None:
    store, key = open_store(any_url), str(plan.cells[0].run_key)
    store.register(plan)

    def claimed() -> Claim:
        [claim] = store.claim_cohort([key], 1, str)
        return claim

    first = claimed()
    assert store.resume(first, GPU.document()) is None
    assert store.paths() == {}, "there is nothing to go on from"
    store.add_checkpoint(first, Checkpoint(1, b"state"))
    assert store.paths() == {key: GPU.document()}
    store.stop(first)
    second, other = claimed(), replace(GPU, step_path="eager")
    assert store.resume(second, other.document()) == Checkpoint(1, b"state")
    assert store.paths() == {key: GPU.document()}
    store.change_path(second, other.document())
    assert store.paths() == {key: other.document()}
    assert store.resume(second, GPU.document(), anew=True) is None
    assert rows_of(any_url, "SELECT COUNT(*) FROM checkpoints") == [(0,)]
    store.add_checkpoint(second, Checkpoint(1, b"other"))
    assert store.paths() == {key: GPU.document()}


def test_a_path_is_followed_where_the_machine_can(plan: Plan) -> None:
    se = next(cell for cell in plan.cells if cell.variant.attention == "se")

    class Begun:
        def __init__(self, path: ComputePath) -> None:
            self._path = path

        def paths(self) -> dict[str, Any]:
            return {str(se.run_key): self._path.document()}

    def followed(begun: ComputePath, today: ComputePath, **asked: bool) -> ComputePath | None:
        paths = Paths(Begun(begun), today, **asked)  # type: ignore[arg-type]
        paths.look_up()
        return None if paths.refusal(se) else paths.of(se)

    eager = replace(GPU, step_path="eager", kernels=(("cbam", "fused"), ("se", "plain")))
    assert followed(GPU, eager) == replace(GPU, kernels=(("cbam", "fused"), ("se", "fused")))
    compiled = replace(GPU, step_path="compiled", kernels=())
    assert followed(compiled, eager) == compiled
    assert followed(eager.of("se"), compiled) == eager.of("se")
    exact = replace(eager, deterministic=True)
    assert followed(exact.of("se"), eager) == exact
    assert followed(eager.of("se"), exact) is None, "it was asked to repeat to the byte"
    assert followed(GPU, eager, only_eager=True) is None, "no graph was asked for"
    assert followed(replace(GPU, device="another"), eager) is None


documents = st.builds(
    ComputePath,
    device=st.text(max_size=3),
    precision=st.sampled_from(["fp32", "amp-bf16"]),
    torch=st.text(max_size=3),
    kernels=st.dictionaries(st.text(max_size=2), st.sampled_from(["plain", "fused"])).map(
        lambda kernels: tuple(sorted(kernels.items()))
    ),
    step_path=st.sampled_from(["eager", "graph", "compiled"]),
    deterministic=st.booleans(),
)


@given(documents, documents)
def test_a_path_is_what_was_stored_and_two_differ_in_words(
    one: ComputePath, other: ComputePath
) -> None:
    assert ComputePath.read(json.loads(json.dumps(one.document()))) == one
    assert (differences(one.document(), other.document()) == "") == (one == other)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no terminals to close")
@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 0)])
def test_a_terminal_that_is_closed_ends_it_as_ctrl_c_does_but_not_under_nohup(
    ignored: bool, code: int
) -> None:
    hang = """
import signal, sys, time
from ablate import cli
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1] == "True" else signal.SIG_DFL)
def hang(**_):
    print("waiting", flush=True)
    sys.stdin.read(1)
cli.app = hang
cli.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hang, str(ignored)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate("x" if ignored else None, timeout=60)
    assert process.returncode == code
    assert errors == ("" if ignored else "ablate: interrupted\n")
