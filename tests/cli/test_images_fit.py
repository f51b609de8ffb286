"""What images take on the disk and in memory is told; what cannot fit is one line before one is decoded."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Shell
from support.picture_sets import picture_set

from ablate.drive.space import Space, refuse_unfit, space_of, told_space
from ablate.errors import DataError
from ablate.plan import Plan, make_plan
from ablate.study.file import parse_study
from ablate.system.files.folders import cache_folder
from ablate.system.hardware import memory
from ablate.system.hardware.known_machine import KnownMachine
from ablate.system.hardware.memory import MemoryLimits, memory_limits

STUDY = """\
name = "mine"
dataset = "images"
backbone = "cbam_cnn(width=0.25)"
seeds = 1
[recipe]
epochs = 1
batch_size = 8
precision = "fp32"
[[grid]]
attention = "none"
"""
PIXELS = 28 * 32 * 32 * 3
CPU = KnownMachine("cpu", "CPU", "fp32", 2)


@pytest.fixture
def pictures(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATE_CACHE", str(shell.folder / "own-cache"))
    (shell.folder / "study.toml").write_text(STUDY)
    return picture_set(shell.folder / "set")


def decoded() -> list[Path]:
    return list(cache_folder().glob("images-*"))


@pytest.mark.slow
def test_plan_and_run_say_what_images_take(shell: Shell, pictures: Path) -> None:
    code, out, _ = shell("plan", "study.toml", "--data", "set", "--no-probe")
    assert code == 0
    assert "on the disk: 1 MiB of pixels, to be written to the cache, where" in out
    assert "in memory: at least 4" in out
    assert "in each worker, however many images there are" in out
    assert decoded() == []
    run = ["run", "study.toml", "--data", "set", "--max-runs", "0", "--no-probe", "--no-measure"]
    code, out, _ = shell(*run, "--executor", "inprocess")
    assert code == 0
    assert "in memory: at least" in out
    code, out, _ = shell("plan", "study.toml", "--data", "set", "--no-probe", "--format", "json")
    space = json.loads(out)["space"]
    assert (space["cached_bytes"], space["missing_bytes"]) == (PIXELS, 0)
    assert space["worker_bytes"] > 400 * 2**20


@pytest.mark.parametrize("command", [["plan"], ["run", "--no-measure", "--workers", "1"]])
def test_a_disk_without_room_is_one_line_before_an_image_is_decoded(
    shell: Shell, pictures: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(2**30, 2**30 - 4096, 4096))
    code, _, err = shell(*command, "study.toml", "--data", "set", "--no-probe")
    assert (code, decoded()) == (2, [])
    assert err.startswith("ablate: set at 32×32: its arrays take 1 MiB in the cache ")
    assert "set ABLATE_CACHE" in err
    assert err.count("\n") == 1
    assert not list(shell.folder.glob("**/*.db"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_limit_of_addresses_is_known_before_an_image_is_decoded(
    shell: Shell, pictures: Path
) -> None:
    """A real one, as `ulimit -v` sets it: below what augmenting images of this size takes."""
    limit = 2**32
    command = [sys.executable, "-m", "ablate", "plan", "study.toml", "--data", "set", "--no-probe"]
    larger = [
        "--set",
        "image_size=1024",
        "--set",
        'recipe.augment=["color"]',
        "--set",
        "recipe.batch_size=28",
    ]
    done = subprocess.run(
        [*command, *larger],
        cwd=shell.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ablate: set at 1024×1024: a worker needs at least 5.4 GiB of addresses")
    assert last.endswith("ulimit -v allows 4.0 GiB: raise it, or make image_size smaller")
    assert decoded() == []


@pytest.fixture
def plan(pictures: Path) -> Plan:
    document = {
        "name": "mine",
        "dataset": "images",
        "backbone": "cbam_cnn(width=0.25)",
        "grid": [{"attention": "none"}],
    }
    return make_plan(parse_study(document, "test"), pictures)


def space(plan: Plan, limits: MemoryLimits, machine: KnownMachine = CPU, workers: int = 4) -> Space:
    found = space_of(plan, machine, workers, limits)
    assert found is not None
    return found


def test_workers_that_do_not_fit_are_refused_with_the_number_that_does(plan: Plan) -> None:
    there = space(plan, MemoryLimits(2**30, None))
    with pytest.raises(DataError, match=r"4 workers need at least .* give --workers 2$"):
        refuse_unfit(plan, there, every_worker=True)
    refuse_unfit(plan, there, every_worker=False)  # a plan does not know how many there will be
    assert "warning: 4 workers do not fit into 1.0 GiB of memory: train with --workers 2" in list(
        told_space(there)
    )
    with pytest.raises(DataError, match=r"a worker needs .* and there are 200 MiB"):
        refuse_unfit(plan, space(plan, MemoryLimits(200 * 2**20, None)), every_worker=False)


def test_a_gpu_holds_all_pixels_or_refuses(plan: Plan) -> None:
    for memory_bytes, fits in ((PIXELS + 1, True), (PIXELS - 1, False)):
        gpu = KnownMachine("cuda", "GPU", "fp32", 2, memory_bytes)
        there = space(plan, MemoryLimits(None, None), gpu)
        assert (there.gpu, there.worker < space(plan, MemoryLimits(None, None)).worker) == (
            PIXELS,
            True,
        )
        if fits:
            refuse_unfit(plan, there, every_worker=True)
            assert any("of the GPU" in line for line in told_space(there))
        else:
            with pytest.raises(DataError, match="--device cpu"):
                refuse_unfit(plan, there, every_worker=True)


def test_a_worker_is_not_asked_for_more_where_there_are_more_images(plan: Plan) -> None:
    """But for 36 bytes each, where pixels are in the cache; where none are kept they are its own."""
    count, more = 28, 2_000_000
    dataset = plan.dataset
    few = space(plan, MemoryLimits(None, None)).worker

    class Larger(type(dataset)):  # type: ignore[misc]
        def image_count(self) -> int:
            return more

    grown = replace(plan, dataset=Larger(dataset.data, dataset.image_size))
    added = space(grown, MemoryLimits(None, None)).worker - few
    assert added < 36 * (more - count) + 2**30
    document = {"name": "d", "dataset": "digits", "backbone": "cbam_cnn", "image_size": 256}
    digits = make_plan(parse_study({**document, "grid": [{"attention": "none"}]}, "test"))
    there = space(digits, MemoryLimits(None, None))
    assert there.cached == 0
    assert there.worker > 1797 * 256 * 256 * 3


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    (groups / "box" / "job").mkdir(parents=True)
    (groups / "memory" / "old").mkdir(parents=True)
    monkeypatch.setattr(memory, "CGROUPS", groups)
    monkeypatch.setattr(memory, "OWN_CGROUP", own)
    own.write_text("0::/box/job\n")
    (groups / "box" / "memory.max").write_text(f"{6 * 2**20}\n")
    (groups / "box" / "job" / "memory.max").write_text("max\n")
    assert memory_limits().together == 6 * 2**20
    own.write_text("4:cpu,memory:/old\n")
    (groups / "memory" / "old" / "memory.limit_in_bytes").write_text(f"{5 * 2**20}\n")
    assert memory_limits().together == 5 * 2**20
    own.unlink()
    assert (memory_limits().together or 0) > 2**27
