"""The benchmarks run, count right and say in the docs what is in their file. No speed is asserted."""

from __future__ import annotations

import json
import math
import re
import resource
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.real_database import results_alone

from ablate.datasets.augment import AUGMENTS
from ablate.datasets.images import ImageFiles
from ablate.job import Cohort, Run
from ablate.store.transfer.export import export_database
from ablate.study import Variant
from ablate.system.hardware.precision import FP32
from benchmarks import __main__ as command
from benchmarks import (
    against,
    engine,
    everyday,
    gpu,
    gpu_table,
    kernels,
    memory,
    publish,
    record,
    reference,
    roofline,
    table,
)
from benchmarks.field import RECIPE, VARIANTS, Entry, Field
from benchmarks.options import Options
from benchmarks.race import PLAYERS, BenchmarkError, Player, interleaved, race
from benchmarks.same import (
    FAST,
    FLOAT64_TOLERANCE,
    TOLERANCE,
    difference,
    engine_losses,
    reference_losses,
    thinned_data,
)
from benchmarks.statistics import ratio_of

STEPS = 4
EARLIER_STUDY = """
name = "earlier"
question = "Does a database of revision 0001 open?"
dataset = "digits"
backbone = "cbam_cnn(width=0.25)"
seeds = 2

[recipe]
epochs = 2
augment = []
schedule = "plateau"
precision = "amp"

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = "pool3"
"""
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """SteppedCohorts take all cores, which other tests use now."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
def test_every_contestant_trains_all_images_and_learns() -> None:
    entries = [Entry(player, cohort=2, workers=2) for player in PLAYERS]
    field = Field("cbam", STEPS)
    found = race([(entry, field) for entry in entries], 2, "test")
    laps = dict(zip(PLAYERS, found, strict=True))
    for player, own in laps.items():
        assert [lap.images for lap in own] == [STEPS * RECIPE.batch_size] * 2, player
        assert all(lap.seconds > 0 for lap in own), player
        assert own[1].loss < own[0].loss < math.log(10), player
    # Same weights, same order, same draws, same arithmetic: Lightning trains as the tutorial does.
    for ours, theirs in zip(laps["today"], laps["lightning"], strict=True):
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-4)


def test_options_of_the_grid_are_not_ignored_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["race", "--cohort", "8", "--device", "cpu"])
    assert (
        "--cohort and --step-path are of grid and kernels, not of race" in capsys.readouterr().err
    )
    with pytest.raises(BenchmarkError, match="a cpu steps by eager alone"):
        gpu.measure_grid(Options(device="cpu", attention=("none",), step_paths=("graph",)), 64)


@pytest.mark.slow
def test_this_engine_beside_itself_ends_at_the_same_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(against, "count_cores", lambda: 1)  # each has a process for every core
    monkeypatch.setattr(against, "COHORT", 2)
    short = ["--attention", "se", "--rounds", "2", "--steps", str(STEPS)]
    assert against.main([str(against.HERE), *short]) == 0
    assert re.search(r"^se: ×\d\.\d{3} \(.*\) as fast, the same losses, 2 rounds$",
                     capsys.readouterr().out, re.MULTILINE)  # fmt: skip
    assert against.main([str(tmp_path), *short]) == 2
    assert "is it a checkout of this project" in capsys.readouterr().err


@pytest.mark.slow
def test_a_contestant_that_fails_says_why() -> None:
    # Nothing in the dataset's place: the first thing that a contestant reads.
    field = Field("none", STEPS, Path("absent.zip"))
    with (
        Player(Entry("today"), field) as player,
        pytest.raises(BenchmarkError, match=r"absent.zip"),
    ):
        player.lap()


def test_rounds_go_forwards_and_backwards() -> None:
    assert [list(interleaved(3, number)) for number in range(3)] == [
        [0, 1, 2],
        [2, 1, 0],
        [0, 1, 2],
    ]


def test_a_lap_has_the_asked_number_of_images_of_mixed_classes() -> None:
    images = Field("none", 40).images()  # more than the digits have
    assert images.train_images.shape == (2560, 32, 32, 3)
    assert set(images.train_labels[:64]) == set(range(10))


def test_memory_is_measured_where_images_are_prepared_and_where_they_are_trained(
    tmp_path: Path,
) -> None:
    dataset = ImageFiles(memory.draw_pictures(tmp_path / "noise", 40, 32, 20), 32)
    run = Run("memory", Variant("cbam_cnn(width=0.25)"))
    cohort = Cohort((run,), 1, memory.RECIPE.model_copy(update={"epochs": 1}), dataset, "cpu")
    for job in (memory.Prepare(dataset), memory.Train(cohort, give_back=False)):
        [peak] = job()
        assert 100 < peak.vm_hwm_mib < 2**20
        assert 100 < peak.ru_maxrss_mib < 2**20
    images = dataset.load()
    assert (len(images.train_images), len(images.test_images)) == (40, 20)


@pytest.mark.slow
def test_two_workers_under_a_limit_train_and_hold_no_copy_of_the_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The short form of `--images 2000 20000 --size 160 --workers 2 --limit-gib 6`."""
    monkeypatch.setattr(memory, "TEST_IMAGES", 40)
    monkeypatch.setenv("ABLATE_CACHE", "")  # put back afterwards: each row has one of its own
    sizes = ["--images", "800", "4000", "--size", "64", "--repeats", "1"]
    before = resource.getrlimit(resource.RLIMIT_AS)
    assert memory.main([*sizes, "--workers", "2", "--limit-gib", "6"]) == 0
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    few, many = (int(row[4].split()[0].replace(",", "")) for row in rows)
    pixels = [int(row[1].replace(",", "")) for row in rows]
    assert pixels[1] - pixels[0] == 38
    # Pages that are hashed count too, 64 MiB of them at most: a copy beside them would be more than this.
    assert many - few < 38


def test_the_ratio_of_known_numbers() -> None:
    found = ratio_of([2.0, 8.0], [1.0, 1.0])
    # Logarithms ln 2 and ln 8: mean ln 4, standard error ln 2, Student's t of 1 degree 12.706.
    assert found.ratio == pytest.approx(4.0)
    assert found.high == pytest.approx(4.0 * 2**12.7062, rel=1e-3)
    assert found.low == pytest.approx(4.0 / 2**12.7062, rel=1e-3)
    assert ratio_of([3.0], [2.0]).low is None
    # A drift that hits both alike leaves no interval.
    steady = ratio_of([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (steady.low, steady.high) == (pytest.approx(2.0), pytest.approx(2.0))


def test_the_interval_covers_the_ratio() -> None:
    generator = np.random.default_rng(0)
    noise = np.exp(generator.normal(0.0, 0.3, (2, 400, 8)))
    covered = [
        found.low <= 2.0 <= found.high
        for a, b in zip(2.0 * noise[0], noise[1], strict=True)
        if (found := ratio_of(a.tolist(), b.tolist())).low is not None and found.high is not None
    ]
    # 95 % of 400 with a standard deviation of 1.1 points.
    assert 0.915 <= np.mean(covered) <= 0.985


@pytest.mark.slow
def test_our_engine_trains_the_same_as_a_plain_loop() -> None:
    field = Field("cbam", STEPS)
    data, classes = thinned_data(field, 20), len(field.dataset.classes())
    plain = reference_losses(data, classes, 20, torch.float32)
    assert difference(engine_losses(data, classes, 20, FP32), plain) <= TOLERANCE
    assert plain[-1] < plain[0]


@pytest.mark.slow
def test_our_fast_path_trains_the_same_in_float64() -> None:
    field = Field("cbam", STEPS)
    data, classes = thinned_data(field, 4), len(field.dataset.classes())
    plain = reference_losses(data, classes, 4, torch.float64)
    fast = engine_losses(data, classes, 4, FAST, torch.float64)
    assert difference(fast, plain) <= FLOAT64_TOLERANCE


@pytest.mark.slow
def test_scaling_compares_with_one_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COHORTS", (1, 2))
    figures = engine.measure_scaling(Options(rounds=1, steps=2, attention=("none",)))
    first = figures["rows"][0]
    assert (first["workers"], first["cohort"], first["against_one"]["ratio"]) == (1, 1, 1.0)
    assert {row["cohort"] for row in figures["rows"]} == {1, 2}


@pytest.mark.slow
def test_a_short_command_writes_its_section(tmp_path: Path) -> None:
    out = tmp_path / "short.json"
    assert command.main(["augmentation", "--short", "--out", str(out)]) == 0
    assert command.main(["overhead", "--short", "--out", str(out)]) == 0
    assert command.main(["decoding", "--short", "--out", str(out)]) == 0
    sections = json.loads(out.read_text())
    assert set(sections) == {"augmentation", "overhead", "decoding"}
    decoding = sections["decoding"]["figures"]
    assert all(speed > 0 for speed in decoding["images_per_second"].values())
    assert "40 JPEGs" in "".join(table._decoding(decoding))
    place = sections["overhead"]["place"]
    assert {"date", "device", "cores", "precision", "dataset", "environment"} <= set(place)
    assert "command" not in place["environment"]
    assert sections["overhead"]["figures"]["digits"]["runs"] == 1
    assert 0 < sections["overhead"]["figures"]["digits"]["share"] < 1
    assert sections["augmentation"]["figures"]["ratio"]["rounds"] == 2
    each = sections["augmentation"]["figures"]["each"]
    assert each.keys() == AUGMENTS.keys()
    assert all(own["us_per_image"]["ours"] > 0 for own in each.values())
    assert "| `rand_augment` |" in "\n".join(
        table._augmentation(sections["augmentation"]["figures"])
    )


def test_figures_of_unlike_machines_are_not_mixed(tmp_path: Path) -> None:
    place = record.describe_conditions(Options())
    record.merge(tmp_path / "a.json", "amp", {}, place)
    with pytest.raises(BenchmarkError, match="give another --out"):
        record.merge(tmp_path / "a.json", "same", {}, place | {"device": "another"})
    assert set(record.load(tmp_path / "a.json")) == {"amp"}


def test_the_docs_say_what_the_figures_say() -> None:
    document = table.DOCUMENT.read_text()
    assert table.BEGIN in document
    gpus = gpu_table.load_all(table.FIGURES.parent)
    assert table.updated(document, record.load(table.FIGURES), gpus) == document


def test_the_readme_claims_what_was_measured() -> None:
    [claim] = re.findall(r"trains (×.*) as many images", README.read_text(encoding="utf-8"))
    figures = record.load(table.FIGURES)
    measured = [
        figures[f"engine/{name}"]["figures"]["ablate"]["against_today"]["ratio"]
        for name in table.NETWORKS
    ]
    assert re.findall(r"×([\d.]+)", claim) == [f"{ratio:.1f}" for ratio in measured]


def test_a_table_without_figures_says_so() -> None:
    written = table.updated(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", {})
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    # Every contestant and the row of the GPU, on every network, and the other parts.
    others = len(command.BENCHMARKS) - 1
    assert written.count("not measured") == (len(PLAYERS) + 1) * len(VARIANTS) + others


def test_the_table_shows_ratios_and_no_images_per_second() -> None:
    ratio = {"ratio": 3.9, "low": 3.7, "high": 4.1, "rounds": 8}
    one: dict[str, Any] = {"loader_workers": 2, "precision": "p", "workers": 2, "cohort": 4}
    players = {p: one | {"images_per_second": 987_654, "against_today": ratio} for p in PLAYERS}
    place = record.describe_conditions(Options())
    written = table.updated(
        f"{table.BEGIN}{table.END}", {"engine/none": {"place": place, "figures": players}}
    )
    assert "| **ablate** | ×3.90 (3.70–4.10) | not measured | not measured |" in written
    assert "987" not in written


# ── on a GPU ──────────────────────────────────────────────────────────────────────────────────────


def test_the_roofline_counts_every_pass_over_every_map() -> None:
    """By the formulas of its docstring, from the shapes of the tutorial's network."""
    blocks = [(3 * 1024, 32 * 1024, 32 * 256), (8192, 64 * 256, 64 * 64), (4096, 8192, 2048)]
    values = sum(3 * (x + y) + 5 * y + 3 * z for x, y, z in blocks)
    values += 3 * (2048 + 512) + 3 * (512 + 10)
    values -= 3 * 1024 + 32 * 1024  # the images get no gradient
    pooled = sum(z for _, _, z in blocks)
    image = torch.zeros(1, 3, 32, 32)
    for attention, passes in (("none", 0), ("se", 7), ("cbam", 11)):
        counted = roofline.bytes_per_image(Field(attention, STEPS).net(), image)
        assert counted == 2 * (values + passes * pooled), attention


@pytest.mark.slow
def test_the_grid_and_the_steps_run_on_this_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "COHORTS", (1, 2))
    monkeypatch.setattr("benchmarks.ours.measure_kernels", lambda *_: ())
    options = Options(rounds=1, steps=2, attention=("none",), short=True, device="cpu")
    figures = gpu.measure_grid(options, 64)["networks"]["none"]
    assert [(row["cohort"], row["step_path"]) for row in figures["rows"]] == [
        (1, "eager"), (2, "eager"),
    ]  # fmt: skip
    assert all(0 < row["share_of_roofline"] < 1 for row in figures["rows"])
    steps = kernels.measure_steps(options, 64)["none"]
    assert steps["kernels"] > 50
    assert sum(each["share"] for each in steps["top"]) <= 1 + 1e-9


@pytest.mark.slow
def test_a_cohort_is_profiled_kernel_by_kernel() -> None:
    options = Options(short=True, device="cpu")
    [(plan, found)] = kernels.measure_kernels(options, 16).items()
    assert plan == "eager 2"
    assert found["kernels"] > 50
    assert found["busy_us"] > 0
    assert any("conv" in each["name"] for each in found["top"])
    with pytest.raises(BenchmarkError, match="by eager alone"):
        kernels.measure_kernels(replace(options, step_paths=("graph",)), 16)


def test_kernels_are_counted_by_kind_and_what_overlaps_once() -> None:
    assert kernels.kind("triton_poi_fused_relu_12") == kernels.kind("triton_poi_fused_relu_3")
    assert kernels.kind("void copy<4, float_2>(int)") == "void copy<4, float_2>(int)"
    assert kernels.busy_us([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.5)]) == 5.0


@pytest.mark.slow
def test_the_paths_run_on_this_device() -> None:
    options = Options(rounds=1, steps=2, attention=("none",), short=True, device="cpu")
    [(path, measured)] = gpu.measure_paths(options, 16).items()
    assert (path, list(measured["us_a_run"])) == ("eager", ["1", "2"])
    assert measured["us_a_run"]["1"] > 0


def gpu_figures(short: bool) -> dict[str, Any]:
    """As `benchmarks.gpu` writes them, with made-up numbers."""
    ratio = {"ratio": 7.0, "low": 6.0, "high": 8.0, "rounds": 6}
    row = {"cohort": 4, "step_path": "graph", "against_first": ratio,
           "slower_than_plain": 1.25, "share_of_roofline": 0.45}  # fmt: skip
    place = record.describe_conditions(Options(device="cpu")) | {"device": "A GPU", "short": short}
    grid = {"copy_bytes_per_second": 2e12, "networks": {"se": {"rows": [row]}}}
    top = [{"name": "a kernel", "us": 1.0, "calls": 1, "share": 0.5}]
    figures: dict[str, Any] = {
        "gpu/paths/64": {
            "eager": {"seconds": 9.0, "us_a_run": {"1": 4053.2}},
            "graph": {"seconds": 9.0, "us_a_run": {"1": 672.0, "8": 250.3}},
        },
        "gpu/race/512": {"none": {"airbench": {"against_today": ratio}}},
        "gpu/grid/64": grid,
        "gpu/steps/64": {"cbam": {"kernels": 120, "us": 300.0, "top": top}},
        "gpu/kernels/64": {
            "compiled 27": {"kernels": 174, "us": 1200.0, "busy_us": 180.0, "top": top}
        },
    }
    return {name: {"place": place, "figures": each} for name, each in figures.items()}


def test_figures_of_a_gpu_are_shown_and_those_of_a_trial_are_not(tmp_path: Path) -> None:
    (tmp_path / "a-gpu.json").write_text(json.dumps(gpu_figures(short=False)))
    (tmp_path / "short.json").write_text(json.dumps(gpu_figures(short=True)))
    gpus = gpu_table.load_all(tmp_path)
    assert len(gpus) == 1
    written = table.updated(f"{table.BEGIN}{table.END}", {}, gpus)
    assert "### A GPU" in written
    assert "| step path | 1 of a seed | 8 of a seed |" in written
    assert "| eager | 4053 | not measured |" in written
    assert "| airbench-style eager loop | ×7.0 (6.0–8.0) | not measured | not measured |" in written
    assert "| 4, graph | ×7.00; 1.25; 45 % |" in written
    assert "| CBAM ×3 | 120 | 300 µs | `a kernel` 50 % |" in written
    assert "| compiled, 27 | 174 | 1200 µs | 180 µs | `a kernel` 50 % |" in written


def test_a_slice_that_is_over_says_that_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asleep = [reference.sys.executable, "-c", "import time; time.sleep(60)"]
    popen = reference.subprocess.Popen
    monkeypatch.setattr(reference.subprocess, "Popen", lambda _, **how: popen(asleep, **how))
    (tmp_path / "results").mkdir()
    (tmp_path / reference.DATABASE).write_bytes(b"what there is")
    seconds = str(reference.ENDING_SECONDS + 0.5)
    given = ["--folder", str(tmp_path), "--device", "cpu", "--slice-seconds", seconds]
    assert reference.main(given) == reference.EXIT_MISSING
    assert "start it again" in capsys.readouterr().out
    [piece] = (tmp_path / reference.PACKED).iterdir()
    assert piece.name == "reference.tar.xz.00"


def test_the_packed_pieces_make_one_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "PIECE_BYTES", 1000)
    database = tmp_path / reference.DATABASE
    database.parent.mkdir()
    database.write_bytes(np.random.default_rng(0).bytes(5000))
    pieces = reference.pack(tmp_path, "a-gpu")
    assert len(pieces) == 6
    whole = tmp_path / "whole.tar.xz"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(whole) as tar:
        member = tar.extractfile(str(reference.DATABASE))
        assert member is not None
        assert member.read() == database.read_bytes()
    monkeypatch.setattr(reference, "MOST_PIECES", 5)
    with pytest.raises(SystemExit, match="more than 5 pieces"):
        reference.pack(tmp_path, "a-gpu")


def test_where_nothing_is_published_there_is_nothing_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(["--check", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing is published\n"


@pytest.mark.slow
def test_published_results_give_their_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.db").write_bytes(results_alone())
    url = f"sqlite:///{tmp_path / 'results.db'}"
    export_database(url, tmp_path / "results" / "published" / "here", "csv", {})
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "earlier.toml").write_text(EARLIER_STUDY)
    root = ["--root", str(tmp_path)]
    assert publish.main(["--check", *root]) == publish.EXIT_CHANGED
    assert publish.main(root) == 0
    page = tmp_path / "reports" / "earlier-here" / "report.md"
    assert publish.main(["--check", *root]) == 0
    page.write_text(page.read_text() + "!")
    capsys.readouterr()
    assert publish.main(["--check", *root]) == publish.EXIT_CHANGED
    assert capsys.readouterr().out.startswith(
        f"{page}: not what the database gives; `make publish`"
    )
    assert publish.main(root) == 0
    (page.parent / "figures" / "renamed.png").write_bytes(b"of an earlier version")
    assert publish.main(["--check", *root]) == publish.EXIT_CHANGED


@pytest.mark.slow
def test_everyday_commands_have_a_row_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = ("-c", "import time; print('first', flush=True); time.sleep(0.5)")
    times = everyday.time_program(said, tmp_path)
    assert 0 < times.first < times.total - 0.4
    with pytest.raises(BenchmarkError, match="no such thing"):
        everyday.time_program(("-c", "raise SystemExit('no such thing')"), tmp_path)
    monkeypatch.setattr(
        everyday, "COMMANDS", {"status": ("doctor", "--help"), "plan": ("--version",)}
    )
    monkeypatch.setattr(everyday, "LOADING", everyday.YARDSTICK)
    figures = everyday.measure_everyday(Options(rounds=2))
    assert list(figures["commands"]) == ["status", "plan"]
    row = figures["commands"]["plan"]
    assert row["total_ratio"] == pytest.approx(row["total_seconds"] / figures["numpy_seconds"])
    written = list(table._everyday(figures))
    assert [line.split("|")[1].strip() for line in written[2:4]] == ["status", "plan"]
