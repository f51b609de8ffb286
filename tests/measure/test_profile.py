"""Profiles: operators, and modules forward and backward; traces; what happens when they fail."""

from __future__ import annotations

import errno
import gzip
import io
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import claim_one, machine_of, message, small_plan
from rich.console import Console
from support.report_frames import TWO, make_frames, page
from torch import nn
from torch.nn import functional as F
from torch.profiler import profile

from ablate.commands.chosen import frames_of
from ablate.commands.profile import above, compare_times, difference, noise, noise_us
from ablate.drive import costs
from ablate.drive.costs import measure_costs
from ablate.errors import DatabaseError, UnknownNameError
from ablate.measure import profile as profile_module
from ablate.measure import profile_trace
from ablate.measure.bench import Conditions, Network
from ablate.measure.profile import PATHS, Profile
from ablate.measure.profile_ranges import Owners, Ranges
from ablate.measure.profile_rows import (
    PYTHON,
    NothingRecordedError,
    Spent,
    by_module,
    make_rows,
)
from ablate.plan import Plan
from ablate.report.cost import families
from ablate.report.cost.families import attended_module, is_attention, module_times
from ablate.report.summary import summarize
from ablate.result import Cost, Finished, Profiled, ProfileRow, Trace
from ablate.result.architecture import ATTACHED_AS
from ablate.result.cost import AUGMENTATION, NETWORK, OPTIMIZER, STEP
from ablate.store.writing.store import Store
from ablate.system.hardware.machine import find_machine
from benchmarks.calibrate_profile import BeforeAndAfter, Shares

FINISHED = Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


def few() -> Plan:
    """One seed of a small network: its profiles are taken quickly."""
    return small_plan(seeds=1)


def cbam_plan() -> Plan:
    grid = [{"attention": "none"}, {"attention": "cbam", "position": "pool1+pool3"}]
    return small_plan(backbone="cbam_cnn(width=0.5)", seeds=1, grid=grid)


def job(plan: Plan, folder: Path, **kernels: str) -> Profile:
    cells = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    networks = tuple(Network(variant, fingerprint) for fingerprint, variant in cells.items())
    return Profile(networks, Conditions(plan.study.recipe, plan.dataset, "cpu", kernels), folder)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], Profiled]]:
    """The profiles of a network without and with CBAM, trained with its fused kernel, by name and path."""
    folder, plan = tmp_path_factory.mktemp("profile") / "traces", cbam_plan()
    asked = job(plan, folder, cbam="fused")
    names = {network.fingerprint: network.variant.attention for network in asked.networks}
    found = list(asked())
    return folder, {(names[p.trace.fingerprint], p.trace.path): p for p in found}


def of(rows: tuple[ProfileRow, ...], module: str | None, operator: str = "") -> list[ProfileRow]:
    return [row for row in rows if row.module == module and operator in row.operator]


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_as_trained_has_the_operators_of_a_step(taken: Any) -> None:
    rows = taken[1]["none", "as_trained"].rows
    names = {row.operator for row in rows}
    assert any("max_pool2d" in name for name in names)
    assert any("dam" in name for name in names), "the optimizer is part of the step"
    assert {row.module for row in rows} == {None}
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)
    [convolutions] = of(rows, None, "aten::convolution_backward")
    assert convolutions.calls == 3, "per step"
    assert convolutions.self_cpu_us > 0
    assert convolutions.memory_kib is not None
    assert sum(row.memory_kib or 0 for row in rows) > 64 * 32 * 32 * 32 * 4 / 1024, "one map"


def test_as_trained_takes_the_fused_path_and_eager_the_plain_one(taken: Any) -> None:
    fused, plain = (taken[1]["cbam", path].rows for path in PATHS)
    assert any("Backward" in row.operator and "autograd" not in row.operator for row in fused)
    assert len(of(plain, "pool1.attention.channel", "AdaptiveMaxPool2DBackward")) > 0
    assert not any("AdaptiveMaxPool2DBackward" in row.operator for row in fused)


def test_eager_puts_forward_and_backward_under_the_module_that_caused_them(taken: Any) -> None:
    rows = taken[1]["cbam", "eager"].rows
    for module in ("conv1", "conv2", "conv3"):
        [forward] = of(rows, module, "aten::conv2d")
        [backward] = of(rows, module, "aten::convolution_backward")
        assert forward.calls in (1, 2), "autocast calls it again"
        assert backward.calls == 1
        assert backward.self_cpu_us > 0
    for module in ("pool1", "pool3"):
        assert of(rows, f"{module}.attention.spatial", "aten::convolution_backward")
        assert of(rows, f"{module}.attention.channel", "aten::adaptive_max_pool2d_backward")
        assert of(rows, module, "aten::max_pool2d_with_indices_backward")
    assert not [row for row in rows if "pool2.attention" in (row.module or "")]
    assert of(rows, OPTIMIZER, "dam")
    assert of(rows, STEP, "cross_entropy")
    assert of(rows, AUGMENTATION)
    gradients = [row for row in rows if "AccumulateGrad" in row.operator]
    assert {row.module for row in gradients} >= {"conv1", "fc1", "pool1.attention.channel"}
    assert sum(row.share for row in rows if row.module != AUGMENTATION) == pytest.approx(1)
    attention = sum(row.share for row in rows if row.module and is_attention(row.module))
    assert 0.02 < attention < 0.9


def test_what_was_not_attributed_is_little(taken: Any) -> None:
    rows = taken[1]["none", "eager"].rows
    assert sum(row.share for row in of(rows, STEP)) < 0.3
    assert sum(row.calls for row in rows if "Backward" in row.operator and row.module == STEP) <= 8


class Odd(nn.Module):
    """A name that breaks quotes and brackets, a function called by a block itself, a module run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module('we"ird]', nn.Linear(4, 4))
        self.twice = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.twice(self.twice(self.get_submodule('we"ird]')(x))))


def test_modules_with_odd_names_and_modules_called_twice(tmp_path: Path) -> None:
    net, x = Odd(), torch.randn(8, 4)
    expected = net(x)
    with Ranges(net) as ranges, profile(acc_events=True) as profiler:
        given = net(x)
        given.sum().backward()
    assert torch.equal(given, expected)
    events = profiler.events()
    found = by_module(events, 1, Owners(events, ranges.paths), ranges.paths)
    assert found['we"ird]', "aten::linear"].calls == 1
    assert found["twice", "aten::linear"].calls == 2
    assert found["twice", "AddmmBackward0"].calls == 2
    assert found[NETWORK, "aten::relu"].calls == found[NETWORK, "ReluBackward0"].calls == 1
    assert found["twice", PYTHON].calls == 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    profile_trace.write_trace(profiler, tmp_path / "odd.pt.trace.json.gz")
    names = {
        e["name"]
        for e in json.loads(gzip.decompress((tmp_path / "odd.pt.trace.json.gz").read_bytes()))[
            "traceEvents"
        ]
    }
    assert "module 1 we_ird_" in names


def test_no_kernel_on_a_gpu_is_no_profile() -> None:
    totals = {(None, "aten::mm"): Spent(0.0, 10.0, 1), (None, "a kernel"): Spent(0.0, 0.0, 1)}
    text = message(
        NothingRecordedError, lambda: make_rows(totals, "f", "a GPU", "eager", on_gpu=True)
    )
    assert "no kernels on the GPU: CUPTI is missing" in text
    assert len(make_rows(totals, "f", "a CPU", "eager", on_gpu=False)) == 2


def test_shares_on_a_gpu_are_of_its_own_time() -> None:
    totals = {
        (None, "a kernel"): Spent(30.0, 0.0, 1),
        (None, "another"): Spent(10.0, 0.0, 2),
        (None, "aten::mm"): Spent(0.0, 500.0, 1),
    }
    rows = make_rows(totals, "f", "a GPU", "as_trained", on_gpu=True)
    assert [(row.operator, row.share) for row in rows] == [
        ("a kernel", 0.75), ("another", 0.25), ("aten::mm", 0.0),
    ]  # fmt: skip


@pytest.mark.gpu
def test_on_a_gpu_kernels_have_the_time_on_both_paths(tmp_path: Path) -> None:
    asked = job(cbam_plan(), tmp_path)
    found = list(replace(asked, conditions=replace(asked.conditions, device="cuda"))())
    assert [profiled.trace.reason for profiled in found] == [None] * 4
    for profiled in found:
        step = [row for row in profiled.rows if row.module != AUGMENTATION]
        assert sum(row.share for row in step) == pytest.approx(1)
        assert sum(row.self_device_us for row in step) > 0
    with_attention = [row for row in found[-1].rows if is_attention(row.module or "")]
    assert 0 < sum(row.share for row in with_attention) < 1


# ── traces and trouble ────────────────────────────────────────────────────────────────────────────


def test_traces_have_names_of_ids_alone_and_the_modules_inside(taken: Any) -> None:
    folder, found = taken
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(str(profiled.trace.file) for profiled in found.values())
    trace = found["cbam", "eager"].trace
    assert trace.file == f"{trace.fingerprint}-eager.pt.trace.json.gz"
    assert trace.reason is None
    document = json.loads(gzip.decompress((folder / str(trace.file)).read_bytes()))
    events = {event["name"] for event in document["traceEvents"]}
    assert any(name.endswith("pool1.attention.channel") for name in events)
    assert any(name.startswith("ProfilerStep#") for name in events)
    assert "[memory]" in events
    assert document["traceName"] == trace.file


@pytest.mark.slow
def test_a_full_disk_costs_the_trace_and_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(profile_trace, "write_whole", full)
    found = list(job(few(), tmp_path / "traces")())
    assert all(profiled.rows for profiled in found)
    assert {(p.trace.file, p.trace.reason) for p in found} == {
        (None, "no trace: No space left on device")
    }


@pytest.mark.slow
def test_a_trace_that_was_cut_off_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_profiler: profile, path: str) -> None:
        Path(path).write_text('{"traceEvents": [{"name": "aten::')

    monkeypatch.setattr(profile, "export_chrome_trace", cut)
    [first, *_] = job(few(), tmp_path / "traces")()
    assert str(first.trace.reason).startswith("no trace: JSONDecodeError")
    assert not (tmp_path / "traces").exists()


@pytest.mark.slow
def test_a_profiler_that_fails_or_sees_nothing_leaves_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "events", lambda _self: [])
    [first, *others] = job(few(), tmp_path)()
    assert first.rows == ()
    assert "the profiler recorded no operators" in str(first.trace.reason)
    assert len(others) == 5, "the job goes on"

    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("CUPTI_ERROR_NOT_INITIALIZED\nmore")

    monkeypatch.setattr(profile_module, "profile", broken)
    reasons = {p.trace.reason for p in job(few(), tmp_path)()}
    assert reasons == {"RuntimeError: CUPTI_ERROR_NOT_INITIALIZED"}


# ── database ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stored(url: str, plan: Plan) -> Iterator[tuple[Store, str]]:
    store = Store(url)
    store.register(plan)
    yield store, plan.cells[0].architecture.fingerprint
    store.close()


def traces(url: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        return database.execute("SELECT device, path, file, reason FROM traces").fetchall()


def test_a_network_counts_as_profiled_once_its_modules_are_or_have_failed(
    stored: tuple[Store, str], url: str
) -> None:
    store, mark = stored
    store.costs.add_trace(Trace(mark, "m", "as_trained", "a.gz"))
    assert store.costs.profiled("m") == set()
    store.costs.add_trace(Trace(mark, "m", "eager", reason="no kernels"))
    assert store.costs.profiled("m") == {mark}
    assert store.costs.profiled("another") == set()
    assert ("m", "eager", None, "no kernels") in traces(url)


def test_a_trace_of_another_device_that_was_overwritten_says_so(
    stored: tuple[Store, str], url: str
) -> None:
    store, mark = stored
    for device in ("one", "two"):
        store.costs.add_trace(Trace(mark, device, "eager", "a.gz"))
    assert traces(url) == [
        ("one", "eager", None, "overwritten by that of two"), ("two", "eager", "a.gz", None),
    ]  # fmt: skip


def finish_all(plan: Plan, store: Store) -> None:
    store.register(plan)
    for claim in iter(lambda: claim_one(store, [str(cell.run_key) for cell in plan.cells]), None):
        store.finish(claim, FINISHED, {})


@pytest.fixture
def measured(url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Store]:
    """A study that was trained and whose throughput is not of interest."""
    plan, store = cbam_plan(), Store(url)
    finish_all(plan, store)
    monkeypatch.setattr(costs, "_measure", lambda *_arguments: [])
    return plan, store


@pytest.mark.slow
def test_profiles_and_their_traces_are_stored(
    measured: tuple[Plan, Store], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = measured
    monkeypatch.setattr(costs.LocalExecutor, "results", lambda _process, asked, **_how: asked())
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    rows = traces(url)
    assert sorted(path for _, path, _, _ in rows) == ["as_trained", "as_trained", "eager", "eager"]
    assert all((tmp_path / "traces" / file).exists() for _, _, file, _ in rows)
    monkeypatch.setattr(
        costs.LocalExecutor, "results", lambda _process, asked: pytest.fail("profiled twice")
    )
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))


def test_a_reason_is_said_once_and_the_study_goes_on(
    measured: tuple[Plan, Store], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = measured

    def events(_process: object, asked: Profile) -> Iterator[Profiled]:
        for network in asked.networks:
            for path in PATHS:
                yield Profiled(Trace(network.fingerprint, "m", path, reason="no kernels"), ())

    monkeypatch.setattr(costs.LocalExecutor, "results", events)
    console = Console(file=io.StringIO(), width=200)
    measure_costs(plan, store, machine_of(plan), console)
    assert console.file.getvalue().count("no kernels") == 1
    assert len(traces(url)) == 4


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_two_variants_are_compared_module_by_module(
    measured: tuple[Plan, Store],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan, store = measured
    name = plan.cells[1].variant.name
    monkeypatch.setenv("COLUMNS", "200")
    none = message(DatabaseError, lambda: compare_times("none", name, plan.study, None, url))
    assert "no profile by module in the database" in none
    monkeypatch.setattr(costs.LocalExecutor, "results", lambda _process, asked, **_how: asked())
    measure_costs(plan, store, machine_of(plan), Console(quiet=True))
    base, other = (plan.cells[i].architecture.fingerprint for i in (0, 1))
    device = find_machine("cpu").name
    rest = ("amp-bf16", "train", 64, 1000.0, 900.0, 1100.0, None, None, 9, "quick")
    ratio = {"baseline": base, "baseline_ratio": 0.95, "ratio_low": 0.91, "ratio_high": 0.99}
    ratio |= {"processes": 4}
    store.costs.add_costs([Cost(base, device, *rest), Cost(other, device, *rest, **ratio)], {})
    capsys.readouterr()
    compare_times("none", name, plan.study, None, url)
    said = capsys.readouterr().out
    both = difference(module_times(summarize(frames_of(plan.study, None, url))), "none", name)
    assert "pool1.attention.channel" in both.index
    # One profiled step on a busy machine: any module may stand above the noise, or none.
    assert all(module in said for module in above(both, noise_us(both)).index)
    assert "the step, without (augmentation)" in said
    assert re.search(
        r"same work in both differ by up to [\d.]+\sms in one profiled step: \d+ modules? stands? "
        r"above that, the rest \(\d+\) is noise|Nothing stands above the noise",
        said,
    )
    assert "within the noise" in said
    assert f"Measured in turns, {name} trains 0.95× (0.91 to 0.99) as fast as none: slower." in said
    unknown = message(UnknownNameError, lambda: compare_times("nane", name, plan.study, None, url))
    assert "did you mean 'none'" in unknown


def test_a_profile_that_failed_is_named_with_its_reason(
    measured: tuple[Plan, Store], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = measured
    for cell in plan.cells:
        store.costs.add_trace(
            Trace(cell.architecture.fingerprint, "m", "eager", reason="no kernels")
        )
    name = plan.cells[1].variant.name
    text = message(DatabaseError, lambda: compare_times("none", name, plan.study, None, url))
    assert text == "none has no profile by module: no kernels"


def test_differences_by_hand() -> None:
    rows = [("a", "conv", 10.0), ("a", "pool", 5.0), ("b", "conv", 8.0), ("b", "att", 30.0)]
    times = pd.DataFrame(rows, columns=["variant", "module", "us"])
    table = difference(times, "a", "b")
    assert table["difference"].to_dict() == {"att": 30.0, "pool": -5.0, "conv": -2.0}
    assert list(table.index) == ["att", "pool", "conv"]


def test_what_stands_above_the_noise_is_shown_and_the_rest_is_counted() -> None:
    """Noise is what modules of the same work differ by; attention of both, and the optimizer, are none."""
    rows = [
        ("a", "conv1", 400.0), ("b", "conv1", 403.0), ("a", "bn", 50.0), ("b", "bn", 45.0),
        ("a", "pool1.attention.fc", 10.0), ("b", "pool1.attention.fc", 90.0),
        ("a", OPTIMIZER, 80.0), ("b", OPTIMIZER, 95.0), ("b", "pool3.attention.gate", 4.0),
        ("a", AUGMENTATION, 300.0), ("b", AUGMENTATION, 900.0),
    ]  # fmt: skip
    both = difference(pd.DataFrame(rows, columns=["variant", "module", "us"]), "a", "b")
    assert noise_us(both) == 5.0
    assert list(above(both, noise_us(both)).index) == ["pool1.attention.fc", OPTIMIZER]
    said = noise(both, noise_us(both))
    assert "differ by up to 0.005 ms" in said
    assert "2 modules stand above that, the rest (3) is noise" in said
    quiet = both.drop(index=["pool1.attention.fc", OPTIMIZER])
    assert noise(quiet, noise_us(quiet)).startswith("Nothing stands above the noise")
    alone = both.loc[["pool3.attention.gate"]]
    assert "the noise is unknown" in noise(alone, noise_us(alone))


# ── the report ────────────────────────────────────────────────────────────────────────────────────

EAGER = [
    ("conv1", "aten::mkldnn_convolution", 400.0),
    ("conv1", "aten::copy_", 50.0),
    ("bn1", "aten::native_batch_norm", 100.0),
    (NETWORK, "aten::relu", 40.0),
    (NETWORK, "aten::add", 20.0),
    ("pool1", "aten::max_pool2d_with_indices", 90.0),
    ("fc1", "aten::addmm", 60.0),
    (OPTIMIZER, "aten::_fused_adam_", 80.0),
    (STEP, "aten::nll_loss", 10.0),
    (AUGMENTATION, "aten::grid_sampler", 300.0),
]  # fmt: skip
INSERTED = [("pool1.attention.channel", "aten::mul", 100.0), ("pool1.attention", PYTHON, 50.0)]


def eager_frame(number: int, rows: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    return [
        {
            "fingerprint": f"f{number}", "device": "NVIDIA H200", "path": "eager", "module": module,
            "operator": operator, "self_device_us": us, "self_cpu_us": 1.0, "calls": 1.0,
            "share": us / 1000,
        }
        for module, operator, us in rows
    ]  # fmt: skip


def test_families_by_operator_and_by_module() -> None:
    frame = pd.DataFrame([*EAGER, *INSERTED], columns=["module", "operator", "us"])
    found = frame.assign(family=families.families(frame, inserted=True))
    sums = found.groupby("family")["us"].sum().to_dict()
    assert sums == {
        "convolution": 450.0, "norm": 100.0, "activation": 40.0, "pool": 90.0, "linear": 60.0,
        "optimizer": 80.0, "augmentation": 300.0, "attention": 150.0, "other": 30.0,
    }  # fmt: skip
    without = frame.assign(family=families.families(frame, inserted=False))
    assert "attention" not in set(without["family"]), "a backbone's own module of that name"


def test_the_names_that_a_profile_and_the_report_share() -> None:
    assert families.ATTACHED_AS == ATTACHED_AS
    assert set(families.OUTSIDE) == {STEP, OPTIMIZER, AUGMENTATION}
    assert attended_module("pool1.attention.channel") == "pool1"
    assert attended_module("layer1.0.bn2.attention") == "layer1.0.bn2"
    assert not is_attention("encoder.self_attention.q")


@pytest.mark.slow
def test_the_report_tells_attentions_share_and_where_it_is() -> None:
    frames = make_frames(TWO)
    rows = [*eager_frame(0, EAGER), *eager_frame(1, [*EAGER, *INSERTED])]
    profile_rows = pd.concat([frames.profile, pd.DataFrame(rows)], ignore_index=True)
    failed = {"fingerprint": "f1", "device": "m", "path": "eager", "reason": "the disk was full"}
    told = page(replace(frames, profile=profile_rows, traces=pd.DataFrame([failed])))
    head, none, up = told.tables["profile"][:3]
    assert [cell for cell in head if cell.startswith("Attention")]
    assert none[3] == "–"
    # 150 of 1000 µs; making the batch is no part of the step.
    assert (up[3], up[4]) == ("15.0 %", "pool1 15.0 %")
    assert "1 profile without a trace: the disk was full" in told.sections["profile"]
    assert "kind of work" in str(told.tags)


# ── TensorBoard ───────────────────────────────────────────────────────────────────────────────────


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return 0, b""


@pytest.mark.slow
def test_the_plugin_of_tensorboard_shows_the_traces(taken: Any) -> None:
    folder, found = taken
    worker = str(found["cbam", "eager"].trace.file).removesuffix(".pt.trace.json.gz")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1",
         "--port", str(port), "--load_fast", "false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}/data/plugin/pytorch_profiler"
    try:
        runs: dict[str, Any] = {"runs": [], "loading": True}
        deadline = time.monotonic() + 90
        while (runs["loading"] or not runs["runs"]) and time.monotonic() < deadline:
            time.sleep(0.3)
            status, content = fetch(f"{base}/runs")
            runs = json.loads(content) if status == 200 else runs
        assert runs["runs"], "the plugin finds the folder"
        run = urllib.parse.quote(runs["runs"][0])
        _, content = fetch(f"{base}/workers?run={run}&view=Overview")
        assert worker in json.loads(content)
        query = f"run={run}&worker={worker}&span=default"  # as its page asks
        for route in (
            "overview",
            "operation",
            "operation/table",
            "trace",
            "memory",
            "memory_curve",
        ):
            status, content = fetch(f"{base}/{route}?{query}")
            assert (route, status) == (route, 200)
            assert len(content) > 100, route
        _, content = fetch(f"{base}/operation/table?{query}")
        assert b"aten::convolution_backward" in content
    finally:
        server.terminate()
        server.wait(timeout=20)


# ── the proof, in short: it runs; what it measures is asserted by benchmarks/calibrate_profile.py ──


@pytest.mark.slow
def test_the_calibration_runs() -> None:
    asked = job(cbam_plan(), Path())
    [(name, seen, real)] = Shares(asked.networks, asked.conditions, rounds=1)()
    assert name.startswith("cbam(")
    assert 0 < seen < 1
    assert -1 < real < 1
    [ratio] = BeforeAndAfter(asked.networks[1], asked.conditions, steps=1)()
    assert ratio > 0
