"""Throughput: by turns beside the baseline, drifted rounds dropped, one number from each process."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import claim_one, machine_of, message, small_plan, study_document
from rich.console import Console

from ablate import cli
from ablate.attention.base import Attention
from ablate.commands.measure import MeasureOptions, measure_study
from ablate.drive import costs
from ablate.drive.costs import MeasuringError, baseline_of, measure_throughput
from ablate.errors import DeviceError
from ablate.measure import bench as bench_module
from ablate.measure import throughput
from ablate.measure.bench import Conditions, Network, make_bench
from ablate.measure.probe import Probe, Reading, between, clock_mhz, steady_rounds
from ablate.measure.throughput import Protocol, Throughput, Turn, Unrecorded, full, quick
from ablate.measure.timings import Entrant, Timings, costs_of
from ablate.plan import Plan
from ablate.report.render import render
from ablate.result import Cost, Started
from ablate.store.reading.frames import read_frames
from ablate.store.writing.store import Store
from ablate.study.file import parse_study
from ablate.system.files import lock
from ablate.system.hardware.device_errors import CaptureError, ProcessSpentError
from ablate.system.software.environment import package_version

SHORT = Protocol("full", processes=3, rounds=2, block_seconds=0.01)
STEADY = Reading(1.0, 1.0)


def conditions(plan: Plan) -> Conditions:
    return Conditions(plan.study.recipe, plan.dataset, "cpu")


def networks(plan: Plan) -> tuple[Network, ...]:
    cells = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    return tuple(Network(variant, fingerprint) for fingerprint, variant in cells.items())


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """A machine that reads what stands in this list, then is steady: whatever runs beside the test."""
    readings: list[Reading] = []

    class Fake:
        copied_gib = 2.0

        def __init__(self, _bench: object) -> None: ...

        def __call__(self) -> Reading:
            return readings.pop(0) if readings else STEADY

    monkeypatch.setattr(throughput, "Probe", Fake)
    return readings


def timed(events: Iterable[object]) -> Timings:
    """What a process timed."""
    [found] = [event for event in events if isinstance(event, Timings)]
    return found


@pytest.mark.slow
def test_every_subject_in_both_modes_beside_the_baseline(plan: Plan, steady: list[Reading]) -> None:
    job = Throughput(networks(plan), baseline_of(plan), conditions(plan), SHORT)
    events = list(job())
    turns = [event for event in events if isinstance(event, Turn)]
    of = (SHORT.rounds + 1) * (len(networks(plan)) + 1)
    assert [turn.number for turn in turns] == list(range(1, of + 1)), "warming up is a turn, too"
    assert {turn.of for turn in turns} == {of}
    timings = timed(events)
    everyone = [network.fingerprint for network in networks(plan)]
    twin = baseline_of(plan).fingerprint
    assert [entrant.fingerprint for entrant in timings.entrants] == [*everyone, twin]
    parts = [timings, timed(replace(job, process=1)()), timed(replace(job, process=2)())]
    found = costs_of(parts, twin, "full")
    assert [(cost.fingerprint, cost.mode) for cost in found] == [
        (fingerprint, mode) for fingerprint in everyone for mode in ("train", "infer")
    ]
    for cost in found:
        assert 0 < cost.p10 <= cost.images_per_second <= cost.p90
        assert (cost.batch_size, cost.protocol) == (64, "full")
        assert (cost.processes, cost.rounds, cost.rounds_dropped) == (3, 6, 0)
        assert (cost.latency_ms is not None) == (cost.mode == "infer")
        assert cost.peak_memory_mib is None, "a CPU does not say"
        assert cost.baseline == twin
        assert cost.ratio_low is not None
        assert cost.ratio_high is not None
        assert cost.baseline_ratio is not None
        assert cost.ratio_low <= cost.baseline_ratio <= cost.ratio_high
        assert cost.copy_gib_per_second == 2.0
    noise = [cost for cost in found if cost.fingerprint == twin]
    assert all(cost.baseline_ratio != 1 for cost in noise), "two measurements, not one by itself"


@pytest.mark.slow
def test_recorded_costs_have_eager_ones_beside_them(
    plan: Plan, steady: list[Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a recording that takes no time: what is published is that of the recorded work."""
    recorded: list[object] = []

    def record(_device: object, work: Callable[[], object]) -> Callable[[], object]:
        recorded.append(work())
        return lambda: None

    monkeypatch.setattr(bench_module, "record_alone", record)
    twin = baseline_of(plan)
    how = replace(conditions(plan), recorded=True)
    job = Throughput((twin,), twin, how, replace(SHORT, rounds=1))
    parts = [timed(replace(job, process=number)()) for number in range(3)]
    found = {cost.mode: cost for cost in costs_of(parts, twin.fingerprint, "full")}
    assert set(found) == {"train", "infer", "eager"}
    assert found["train"].images_per_second > 10 * found["eager"].images_per_second
    assert found["train"].latency_ms is None
    assert found["infer"].latency_ms is not None
    assert found["eager"].latency_ms is not None
    assert found["eager"].latency_ms > 10 * found["infer"].latency_ms
    assert recorded, "the work itself, a step and inference"


def test_a_network_that_cannot_be_recorded_is_told_and_spends_the_process(
    plan: Plan, steady: list[Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(_device: object, _work: object) -> Callable[[], object]:
        raise CaptureError("it syncs")

    monkeypatch.setattr(bench_module, "record_alone", record)
    twin, how = baseline_of(plan), replace(conditions(plan), recorded=True)
    events = Throughput((twin,), twin, how, SHORT)()
    assert isinstance(next(events), Started)
    assert next(events) == Unrecorded("it syncs")
    with pytest.raises(ProcessSpentError):
        next(events)


def test_the_baseline_takes_part_though_it_is_no_subject(plan: Plan, steady: list[Reading]) -> None:
    other = networks(plan)[-1]
    job = Throughput((other,), baseline_of(plan), conditions(plan), replace(SHORT, rounds=1))
    baseline = baseline_of(plan).fingerprint
    found = [entrant.fingerprint for entrant in timed(job()).entrants]
    assert found == [baseline, other.fingerprint, baseline]


def test_each_process_has_an_order_of_its_own(plan: Plan) -> None:
    job = Throughput(networks(plan), baseline_of(plan), conditions(plan), SHORT)
    orders = [tuple(replace(job, process=number)._order()) for number in range(8)]
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3)}
    assert len(set(orders)) > 4
    assert replace(job, process=3)._order() == list(orders[3]), "and the same whenever it is asked"


def part(*speeds: list[float], drifted: tuple[int, ...] = ()) -> Timings:
    """What a process timed of the baseline, perhaps others, and the baseline's twin."""
    names = ["base", *(f"other{n}" for n in range(len(speeds) - 2)), "base"]
    entrants = [
        Entrant(name, {"train": each, "infer": each}, {"infer": [1.0] * len(each)}, None)
        for name, each in zip(names, speeds, strict=True)
    ]
    seen = [Reading(2.0, 1.0) if n in drifted else STEADY for n in range(len(speeds[0]))]
    return Timings("m", "fp32", 64, True, entrants, seen, [None] * len(seen), 2.0)


def test_a_drifted_round_is_dropped_and_counted() -> None:
    base, twin = [100.0] * 4, [101.0, 99, 101, 99]
    other = [[90.0, 91, 90, 89], [89.0, 90, 45, 90], [91.0, 90, 90, 91]]
    parts = [part(base, each, twin, drifted=(2,) if 45 in each else ()) for each in other]
    found = costs_of(parts, "base", "full")
    assert {(c.processes, c.rounds, c.rounds_dropped) for c in found} == {(3, 11, 1)}
    variant = found[2]
    assert variant.images_per_second == pytest.approx(90, abs=0.2)
    assert variant.p10 >= 89, "the dropped round is in no number"
    assert variant.baseline_ratio == pytest.approx(0.9, abs=0.002)


def test_a_ratio_is_the_quotient_of_the_two_speeds() -> None:
    """One estimator: where rounds are skewed, medians and ratios would tell two stories in one row."""
    rng = np.random.default_rng(3)
    parts = []
    for keeps in (1.0, 0.8, 1.3, 1.1):
        base = (100 * keeps * rng.lognormal(0, 0.3, 5)).tolist()
        other = [each * skew for each, skew in zip(base, rng.lognormal(0.2, 0.4, 5), strict=True)]
        parts.append(part(base, other, base))
    found = {(c.fingerprint, c.mode): c for c in costs_of(parts, "base", "full")}
    quotient = found["other0", "train"].images_per_second / found["base", "train"].images_per_second
    assert quotient == pytest.approx(found["other0", "train"].baseline_ratio, rel=1e-12)


def test_the_interval_is_over_processes_and_not_over_rounds() -> None:
    """Rounds of one process agree to the last digit; the processes do not."""
    parts = [part([100.0] * 4, [100.0 * keeps] * 4) for keeps in (1.1, 0.9, 1.02)]
    noise = costs_of(parts, "base", "full")[0]
    assert noise.ratio_low is not None
    assert noise.ratio_high is not None
    assert (noise.ratio_low < 0.9, noise.ratio_high > 1.1) == (True, True)


def test_too_few_processes_with_steady_rounds_give_no_interval() -> None:
    speeds = [102.0, 103, 104, 105]
    steady = replace(part(speeds, speeds), shared=False)
    drifting = replace(steady, readings=readings(1.0, 1.2, 1.4, 1.6))
    found = costs_of([steady, steady, drifting], "base", "quick")
    assert [cost.mode for cost in found] == ["train", "infer"]
    for cost in found:
        assert (cost.processes, cost.rounds, cost.rounds_dropped) == (2, 8, 4)
        assert cost.images_per_second == pytest.approx((102 * 103 * 104 * 105) ** 0.25)
        assert cost.baseline_ratio == 1
        assert cost.ratio_low is cost.ratio_high is None


def readings(*products: float) -> list[Reading]:
    return [Reading(product, 1.0) for product in products]


def test_three_percent_on_a_gpu_and_more_where_cores_are_shared() -> None:
    drifting = readings(1.00, 1.01, 0.99, 1.00, 1.05, 1.01, 0.99)
    assert steady_rounds([drifting], shared=False) == [[0, 1, 2, 3, 5, 6]]
    noisy = readings(1.0, 1.1, 0.9, 1.05, 0.95, 1.12, 0.88)
    assert steady_rounds([noisy], shared=False) == [[0]]
    assert steady_rounds([noisy], shared=True) == [list(range(7))]
    assert steady_rounds([[*noisy, *readings(2.0)]], shared=True) == [list(range(7))]
    copies = [Reading(1.0, seconds) for seconds in (1.0, 1.0, 1.0, 1.0, 0.5)]
    assert steady_rounds([copies], shared=True) == [[0, 1, 2, 3]], "faster is drifted, too"


def test_drift_is_from_the_median_of_the_own_process() -> None:
    """What a process keeps, the probe keeps too: where its memory lies is no drift."""
    slower = readings(1.30, 1.31, 1.29)
    assert steady_rounds([readings(1.0, 1.01, 0.99), slower], shared=False) == [[0, 1, 2]] * 2
    few = [readings(1.0, 1.1, 0.9), readings(1.0, 1.05, 0.96), readings(1.0, 0.92, 2.0)]
    assert steady_rounds(few, shared=True) == [[0, 1, 2], [0, 1, 2], [0, 1]]


def test_a_round_lies_between_its_two_readings() -> None:
    assert between(Reading(1.0, 4.0), Reading(4.0, 1.0)) == Reading(2.0, 2.0)


def test_the_probe_times_this_machine(plan: Plan) -> None:
    probe = Probe(make_bench(conditions(plan)))
    reading = probe()
    assert 0 < reading.product_seconds < 1
    assert 0 < reading.copy_seconds < 1
    assert probe.copied_gib == 64 / 1024
    clock = clock_mhz(torch.device("cpu"))
    assert clock is None or clock > 0


def test_quick_stays_short_and_full_keeps_its_blocks() -> None:
    assert quick(11).seconds(11) <= throughput.QUICK_SECONDS + 1e-9
    assert quick(1000).processes == quick(1).processes >= 3
    assert quick(2).block_seconds <= throughput.LONGEST_QUICK_BLOCK_SECONDS
    assert full().seconds(11) == 12 * 8 * 3 * 2 * 2.0


@pytest.mark.parametrize("kernel", ["plain", "fused"])
def test_timed_is_a_copy_with_the_paths_that_training_takes(kernel: str) -> None:
    plan = small_plan()
    bench = make_bench(Conditions(plan.study.recipe, plan.dataset, "cpu", {"se": kernel}))
    net = bench.build(networks(plan)[1])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trainer = bench.trainer_of(net)
    (attention,) = [m for m in trainer.net.modules() if isinstance(m, Attention)]
    assert attention.kernel == kernel
    trainer.step(bench.batch)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not torch.equal(next(trainer.net.parameters()), next(net.parameters()))


# ── ablate measure ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_measure_needs_no_finished_run_and_the_report_names_the_noise_floor(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    study = parse_study(study_document(recipe={"precision": "fp32"}), "test")
    measure_study(study, None, url, MeasureOptions("cpu", 3, 2, block_seconds=0.01))
    out = capsys.readouterr().out
    assert (
        "measuring throughput of 3 variants (full: 3 processes of 2 rounds, blocks of 0.01 s" in out
    )
    assert "se(pool1, r=8): train " in out
    assert "  of the baseline's: infer " in out
    assert "none measured twice: train " in out
    assert re.search(r"\d of 6 rounds count, in \d process", out)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = connection.execute(
            "SELECT variant, mode, protocol, torch FROM v_costs WHERE processes > 0 "
            "ORDER BY variant, mode"
        ).fetchall()
        statuses = connection.execute("SELECT DISTINCT status FROM v_runs").fetchall()
    assert rows == [
        (name, mode, "full", package_version("torch"))
        for name in ("none", "se(pool1, r=8)", "se(pool3, r=8)")
        for mode in ("infer", "train")
    ]
    assert statuses == [("planned",)]
    page = render(read_frames(url, "small", study.setting))["report.md"].decode()
    assert "Two measurements of the same network (none) differ by" in page
    assert "full" in page


def test_measure_waits_for_training_to_end(url: str) -> None:
    plan, store = small_plan(), Store(url)
    store.register(plan)
    assert claim_one(store, [str(cell.run_key) for cell in plan.cells]) is not None
    text = message(
        MeasuringError,
        lambda: measure_throughput(plan, store, machine_of(plan), Console(quiet=True), SHORT),
    )
    assert "is training small: measure when it has ended" in text


def test_a_measurement_says_that_it_waits_for_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held: list[float] = []

    def acquire(_lock: object, timeout: float = -1) -> None:
        held.append(timeout)
        if timeout == 0:
            raise lock.Timeout("measuring.lock")

    monkeypatch.setattr(lock.FileLock, "acquire", acquire)
    monkeypatch.setattr(lock.FileLock, "release", lambda _lock: None)
    with costs._alone(Console()):
        assert held == [0, -1]
    assert "waiting for it" in capsys.readouterr().out


def test_a_gpu_that_is_not_there_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    study = parse_study(study_document(), "test")
    text = message(
        DeviceError, lambda: measure_study(study, None, url, MeasureOptions(device="cuda"))
    )
    assert "torch finds no usable CUDA device" in text
    assert not Path(url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.toml"], "ablate: absent.toml: cannot be read"),
        (["absent.toml", "--rounds", "2"], "--rounds"),
        (["absent.toml", "--processes", "7"], "--processes"),
        (["absent.toml", "--block-seconds", "1"], "--block-seconds"),
        (["absent.toml", "--block-seconds", "nan"], "--block-seconds"),
    ],
)
def test_what_measure_refuses(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["ablate", "measure", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def cost_of(mark: str, **changes: Any) -> Cost:
    values: dict[str, Any] = {"baseline": mark, **changes}
    return Cost(mark, "m", "fp32", "train", 64, 2.0, 1.0, 3.0, None, None, 9, "quick", **values)


def test_what_was_measured_beside_another_baseline_or_torch_is_measured_again(url: str) -> None:
    plan, store = small_plan(), Store(url)
    store.register(plan)
    mark = baseline_of(plan).fingerprint
    store.costs.add_costs([cost_of(mark)], {"torch": "2.15.0"})
    assert store.costs.measured("m", "fp32", 64, mark, "2.15.0") == {mark}
    for changed in (
        ("another", "fp32", 64, mark, "2.15.0"),
        ("m", "amp-bf16", 64, mark, "2.15.0"),
        ("m", "fp32", 32, mark, "2.15.0"),
        ("m", "fp32", 64, "another", "2.15.0"),
        ("m", "fp32", 64, mark, "2.16.0"),
        ("m", "fp32", 64, mark, None),
    ):
        assert store.costs.measured(*changed) == set(), changed
    store.costs.add_costs([cost_of(mark)], {})
    assert store.costs.measured("m", "fp32", 64, mark, None) == {mark}
