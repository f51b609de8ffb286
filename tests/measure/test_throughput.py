"""Throughput: by turns beside the baseline, drifted rounds dropped, ratios with honest intervals."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

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
from ablate.measure import throughput
from ablate.measure.bench import Conditions, Network, make_bench
from ablate.measure.probe import Probe, Reading, between, clock_mhz, steady_rounds
from ablate.measure.throughput import Protocol, Throughput, Turn, full, quick, ratio_of
from ablate.plan import Plan
from ablate.report.render import render
from ablate.result import Cost
from ablate.store.frames import read_frames
from ablate.store.store import Store
from ablate.study.file import parse_study
from ablate.system import lock
from ablate.system.environment import package_version

SHORT = Protocol("full", rounds=6, block_seconds=0.01)
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


def measured(job: Throughput) -> list[Cost]:
    return [event for event in job() if isinstance(event, Cost)]


def test_every_subject_in_both_modes_beside_the_baseline(plan: Plan, steady: list[Reading]) -> None:
    events = list(Throughput(networks(plan), baseline_of(plan), conditions(plan), SHORT)())
    turns = [event for event in events if isinstance(event, Turn)]
    of = SHORT.rounds * (len(networks(plan)) + 1)
    assert [turn.number for turn in turns] == list(range(1, of + 1))
    assert {turn.of for turn in turns} == {of}
    found = [event for event in events if isinstance(event, Cost)]
    assert [(cost.fingerprint, cost.mode) for cost in found] == [
        (network.fingerprint, mode) for network in networks(plan) for mode in ("train", "infer")
    ]
    for cost in found:
        assert 0 < cost.p10 <= cost.images_per_second <= cost.p90
        assert (cost.batch_size, cost.protocol) == (64, "full")
        assert (cost.rounds, cost.rounds_dropped) == (SHORT.rounds, 0)
        assert (cost.latency_ms is not None) == (cost.mode == "infer")
        assert cost.peak_memory_mib is None, "a CPU does not say"
        assert cost.baseline == baseline_of(plan).fingerprint
        assert cost.ratio_low is not None
        assert cost.ratio_high is not None
        assert cost.baseline_ratio is not None
        assert cost.ratio_low <= cost.baseline_ratio <= cost.ratio_high
        assert cost.copy_gib_per_second == 2.0
    noise = [cost for cost in found if cost.fingerprint == baseline_of(plan).fingerprint]
    assert all(cost.baseline_ratio != 1 for cost in noise), "two measurements, not one by itself"


def test_the_baseline_takes_part_though_it_is_no_subject(plan: Plan, steady: list[Reading]) -> None:
    other = networks(plan)[-1]
    found = measured(Throughput((other,), baseline_of(plan), conditions(plan), SHORT))
    assert [cost.fingerprint for cost in found[::2]] == [
        baseline_of(plan).fingerprint,
        other.fingerprint,
    ]


class Recorded:
    """Entrants whose speed in each round is known: the first two are one network."""

    SPEEDS: ClassVar[dict[int, list[float]]] = {}
    made = 0

    def __init__(self, _bench: object, network: Network, _seconds: float) -> None:
        self.network, self.number = network, Recorded.made
        Recorded.made += 1
        self.speeds: dict[str, list[float]] = {"train": [], "infer": []}
        self.latencies_ms: list[float] = []
        self.peak_memory_mib = None

    def round(self) -> None:
        for speeds in self.speeds.values():
            speeds.append(Recorded.SPEEDS[self.number][len(speeds)])
        self.latencies_ms.append(1.0)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[float]]:
    monkeypatch.setattr(throughput, "_Timed", Recorded)
    monkeypatch.setattr(Recorded, "made", 0)
    monkeypatch.setattr(Recorded, "SPEEDS", {})
    return Recorded.SPEEDS


def test_a_drifted_round_is_dropped_and_counted(
    plan: Plan, steady: list[Reading], recorded: dict[int, list[float]]
) -> None:
    baseline, other = baseline_of(plan), networks(plan)[-1]
    # Baseline, variant, twin; in round 3 of 6 the machine is half as fast.
    recorded |= {0: [100.0] * 6, 1: [90, 91, 45, 89, 90, 90], 2: [101, 99, 300, 100, 101, 99]}
    steady += [STEADY] * 4 + [Reading(2.0, 1.0)] * 2
    found = measured(Throughput((baseline, other), baseline, conditions(plan), SHORT))
    assert {(cost.rounds, cost.rounds_dropped) for cost in found} == {(5, 1)}
    noise, variant = found[0], found[2]
    assert variant.images_per_second == 90
    assert variant.p10 >= 89, "the dropped round is in no number"
    assert variant.baseline_ratio == pytest.approx(0.9, abs=0.002)
    assert noise.ratio_low is not None
    assert noise.ratio_high is not None
    assert 0.98 < noise.ratio_low < 1 < noise.ratio_high < 1.02


def test_too_few_steady_rounds_give_no_interval(
    plan: Plan, steady: list[Reading], recorded: dict[int, list[float]]
) -> None:
    recorded |= {number: [100.0, 101, 102, 103, 104, 105] for number in (0, 1)}
    for factor in (1.0, 1.0, 1.0, 1.0, 2.0, 3.0):
        steady += [Reading(factor, 1.0)] * 2
    found = measured(Throughput((), baseline_of(plan), conditions(plan), SHORT))
    assert [cost.mode for cost in found] == ["train", "infer"]
    for cost in found:
        assert (cost.rounds, cost.rounds_dropped) == (4, 2)
        assert cost.images_per_second == 102.5, "the median of all rounds"
        assert cost.baseline_ratio == 1
        assert cost.ratio_low is cost.ratio_high is None


def readings(*products: float) -> list[Reading]:
    return [Reading(product, 1.0) for product in products]


def test_three_percent_on_a_gpu_and_more_where_cores_are_shared() -> None:
    drifting = readings(1.00, 1.01, 0.99, 1.00, 1.05, 1.01, 0.99)
    assert steady_rounds(drifting, shared=False) == [0, 1, 2, 3, 5, 6]
    noisy = readings(1.0, 1.1, 0.9, 1.05, 0.95, 1.12, 0.88)
    assert steady_rounds(noisy, shared=False) == [0]
    assert steady_rounds(noisy, shared=True) == list(range(7))
    assert steady_rounds([*noisy, *readings(2.0)], shared=True) == list(range(7))
    copies = [Reading(1.0, seconds) for seconds in (1.0, 1.0, 1.0, 1.0, 0.5)]
    assert steady_rounds(copies, shared=True) == [0, 1, 2, 3], "faster is drifted, too"


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


def test_the_interval_of_two_measurements_of_one_network_contains_one() -> None:
    """The proof on a real machine takes 25 minutes: `make calibrate`."""
    generator, held = np.random.default_rng(1), 0
    for _ in range(1000):
        drift = generator.normal(1, 0.1, 9)
        one, two = drift * np.exp(generator.normal(0, 0.03, (2, 9)))
        _, low, high = ratio_of(list(one), list(two))
        assert low is not None
        assert high is not None
        held += low <= 1 <= high
    assert 930 <= held <= 970, "95 % and no more"


def test_a_ratio_is_found_though_the_machine_drifts() -> None:
    drift = np.linspace(1, 2, 9)
    ratio, low, high = ratio_of(list(0.8 * drift), list(drift))
    assert (ratio, low, high) == pytest.approx((0.8, 0.8, 0.8))
    assert ratio_of([1.0] * 9, [2.0] * 9, told=False) == (0.5, None, None)


def test_quick_stays_below_a_minute_and_full_keeps_its_blocks() -> None:
    assert quick(11).seconds(11) <= throughput.QUICK_SECONDS + 1e-9
    assert quick(1000).rounds == full().rounds == 9
    assert quick(2).block_seconds == throughput.LONGEST_QUICK_BLOCK_SECONDS
    assert full().seconds(11) == 12 * 9 * 2 * 2.0


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
    measure_study(study, None, url, MeasureOptions("cpu", rounds=6, block_seconds=0.01))
    out = capsys.readouterr().out
    assert "measuring throughput of 3 variants (full: 6 rounds, blocks of 0.01 s" in out
    assert "se(pool1, r=8): train " in out
    assert "of the baseline" in out
    assert "none measured twice: train " in out
    assert "rounds count" in out
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = connection.execute(
            "SELECT variant, mode, protocol, torch FROM v_costs ORDER BY variant, mode"
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
        (["absent.toml", "--rounds", "8"], "--rounds"),
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
