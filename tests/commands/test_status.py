"""`ablate status`, `doctor` on a database, and `open_results`: what they say of runs in every state."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from conftest import Shell, message
from support.big_database import DEVICE, big_plan, fill
from support.real_database import FINISHED, change, real_database

import ablate
from ablate.commands import doctor
from ablate.commands import status as status_command
from ablate.errors import DatabaseError
from ablate.result import Checkpoint, Epoch, Failed, Finished
from ablate.store.connection.ask import asking
from ablate.store.connection.ask_file import Ask
from ablate.store.maintenance import health
from ablate.store.progress.status import Counted, RunningRun, Worker
from ablate.store.progress.watch import read_status
from ablate.store.views import VIEWS
from ablate.store.writing.store import Store
from ablate.system.messages.text import printable
from ablate.system.process.owner import current_owner, host_id

EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 3.0, 500.0, ())
FINISHED_RUN = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A study of 20 variants and 2 seeds of which nobody has trained anything."""
    url = f"sqlite:///{tmp_path / 'results.db'}"
    fill(url, big_plan(seeds=2, epochs=5), finished=0)
    return url


def keys() -> list[str]:
    return [str(cell.run_key) for cell in big_plan(seeds=2, epochs=5).cells]


# ── status ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_study_in_every_state(database: str) -> None:
    [new] = read_status(database)
    assert (new.study, new.epochs, new.counts) == ("big", 5, {"planned": 40})
    assert (new.work_seconds, new.eta_seconds) == (None, None), "nothing was measured"
    store, free = Store(database), keys()
    claims = store.claim_cohort(free, 5, lambda _: 0)
    store.add_epoch(claims[0], EPOCH)
    [begun] = read_status(database)
    assert begun.work_seconds == pytest.approx((40 * 5 - 1) * 3.0), "from an epoch that is stored"
    assert begun.eta_seconds == begun.work_seconds
    store.finish(claims[1], FINISHED_RUN, {})
    store.fail(claims[2], Failed("oom", "no memory"))
    for epoch in (1, 2, 3):
        store.add_epoch(claims[3], replace(EPOCH, epoch=epoch))
    store.add_checkpoint(claims[3], Checkpoint(2, b"state"))
    store.stop(claims[3])
    store.close()
    [found] = read_status(database)
    assert found.counts == {"planned": 35, "running": 2, "finished": 1, "failed": 1, "stopped": 1}
    assert found.failures == {"oom": 1}
    assert found.speeds["a machine"].seconds_per_epoch == pytest.approx(4.0 / 5)
    left = (35 + 2 + 1) * 5 - 1 - 2  # one epoch of a running run, and a checkpoint after two
    assert found.work_seconds == pytest.approx(left * 4.0 / 5)
    first = found.running[0]
    assert (first.run_key, first.epoch, first.device) == (claims[0].run_key, 1, "a machine")
    assert (first.owner, first.gone) == (current_owner(), False)
    assert read_status(database, "bi") == []
    assert read_status(database, "big") == [found]


def test_the_time_left_counts_processes_at_work_and_what_each_does_side_by_side() -> None:
    def run(pid: int, *, gone: bool = False) -> RunningRun:
        owner = replace(current_owner(), pid=pid)
        return RunningRun("v", 1, "k", owner, gone, None, 1, "")

    counted = Counted(("s", "d", "x"), epochs=10)
    counted.add("finished", None, "fast", 4, 4 * 10 * 0.5)
    counted.add("finished", None, "slow", 4, 4 * 10 * 2.0)
    counted.add("planned", None, None, 6, None)
    counted.add("running", None, None, 4, None)
    counted.running = [run(1), run(1), run(2), run(3, gone=True)]
    counted.epochs_done = 8
    host = host_id()
    workers = {(host, 1): Worker("fast", 9.0), (host, 2): Worker("slow", 0.3)}
    found = counted.conclude(workers)
    left = 10 * 10 - 8
    assert found.work_seconds == pytest.approx(left * 1.25)
    # Process 1 has two runs side by side on the fast device, 2 one on the slow one, 3 is gone.
    assert found.eta_seconds == pytest.approx(left / (2 / 0.5 + 1 / 2.0))
    counted.running = [run(3, gone=True)]
    assert counted.conclude(workers).eta_seconds is None, "nobody is at work"
    counted.counts.clear()
    counted.epochs_done = 0
    assert counted.conclude(workers).eta_seconds == 0.0


@pytest.mark.slow
def test_a_run_of_two_studies_is_in_both(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    fill(url, big_plan(2, 5), finished=3)
    fill(url, big_plan(1, 5, name="small"), finished=0)
    found = {each.study: each for each in read_status(url)}
    assert found["big"].counts == {"finished": 3, "planned": 37}
    assert found["small"].counts == {"finished": 3, "planned": 17}
    assert found["small"].speeds[DEVICE].finished == 3


@pytest.mark.slow
def test_a_narrow_terminal_gets_lines(
    shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = shell("status", "--db", database)
    assert code == 0
    assert " ".join(out.split()).startswith("big on digits (5 epochs, "), "nothing is squeezed out"
    assert "40 planned, 0 running" in " ".join(out.split())


def test_a_look_loads_no_large_library(database: str) -> None:
    code = (
        "import sys; from ablate.cli import main\n"
        f"sys.argv[1:] = ['status', '--db', {database!r}]\n"
        "try: main()\n"
        "finally: print(sorted({'sqlalchemy', 'torch', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "planned" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@contextmanager
def recording(asked: AbstractContextManager[Ask], record: Callable[[str], object]) -> Iterator[Ask]:
    with asked as ask:

        def recorded(sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
            record(sql)
            return ask(sql, values)

        yield recorded


@pytest.mark.slow
def test_no_row_is_read_for_a_run_that_is_not_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    fill(url, big_plan(seeds=20, epochs=5))
    statements: list[str] = []
    monkeypatch.setattr(
        "ablate.store.progress.watch.asking", lambda url: recording(asking(url), statements.append)
    )
    started = time.perf_counter()
    [found] = read_status(url)
    seconds = time.perf_counter() - started
    assert found.counts == {"finished": 400}
    assert not any(" e.seconds" in statement for statement in statements), "no epoch is looked at"
    assert len(statements) < 10
    assert seconds < 1.0


def test_the_command_prints_tables_and_json(shell: Shell, database: str) -> None:
    store = Store(database)
    claims = store.claim_cohort(keys(), 3, lambda _: 0)
    store.finish(claims[0], FINISHED_RUN, {})
    store.add_epoch(claims[1], EPOCH)
    store.close()
    change(
        Path(database.removeprefix("sqlite:///")),
        "UPDATE runs SET owner_pid = 1, owner_started = 1 WHERE run_key = ?",
        claims[2].run_key,
    )
    code, out, _ = shell("status", "--db", database)
    assert code == 0
    lines = [re.sub(r"[│┃\s]+", " ", line).strip() for line in out.splitlines()]
    assert any(
        re.match(r"big digits 5 epochs, [0-9a-f]{8} 37 2 0 1 0 2 min", line) for line in lines
    ), out
    host = host_id().partition("/")[0]
    assert any(f"1 of 5 {host} {os.getpid()} a machine" in line for line in lines), out
    assert any(f"0 of 5 {host} 1 (gone) –" in line for line in lines), out
    assert any("big a machine 1 0.8" in line for line in lines), out
    assert "gone: the process has ended; the next `ablate run` takes the run over" in out
    code, out, _ = shell("status", "big", "--db", database, "--format", "json")
    [found] = json.loads(out)["studies"]
    assert (found["planned"], found["running"], found["finished"]) == (37, 2, 1)
    assert [run["gone"] for run in found["now"]] == [False, True]
    assert found["now"][0]["epoch"] == 1
    assert found["devices"] == {"a machine": {"finished": 1, "seconds_per_epoch": 0.8}}
    assert found["eta_seconds"] > 0
    for arguments, said in (
        (["status", "bik", "--db", database], "nothing of study 'bik' (did you mean 'big'?)"),
        (["status", "--db", "absent.db"], "there is no database yet"),
        (["status", "--watch", "--format", "json", "--db", database], "leave --watch out"),
    ):
        code, _, errors = shell(*arguments)
        assert (code, errors.count("\n")) == (2, 1)
        assert said in errors
    assert shell.files() == []


@pytest.mark.slow
def test_watching_shows_what_is_new_until_it_is_interrupted(
    shell: Shell,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        store = Store(database)
        store.fail(store.claim_cohort(keys(), 1, lambda _: 0)[0], Failed("diverged", "nan"))
        store.close()

    monkeypatch.setattr(status_command.time, "sleep", sleep)
    code, out, errors = shell("status", "--watch", "--db", database)
    assert (code, errors) == (0, "")
    assert out.count("planned") == 2
    assert out.count("1 (1 diverged)") == 1


def test_text_from_a_database_does_not_move_the_cursor(shell: Shell, database: str) -> None:
    change(Path(database.removeprefix("sqlite:///")), "UPDATE cells SET study = char(27) || '[2J'")
    change(
        Path(database.removeprefix("sqlite:///")), "UPDATE studies SET study = char(27) || '[2J'"
    )
    code, out, _ = shell("status", "--db", database)
    assert code == 0
    assert "\x1b" not in out
    assert "[2J" in out
    assert printable("a\tb\x00\N{SNOWMAN}") == "a\ufffdb\ufffd\N{SNOWMAN}"


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────


def test_the_doctor_names_stale_runs_lost_files_and_the_journal(
    shell: Shell,
    tmp_path: Path,
) -> None:
    path = real_database(tmp_path / "results.db")
    code, out, _ = shell("doctor", "--db", str(path))
    assert code == 0
    assert f"ok     database: {path}: intact" in out
    assert "ok     journal: delete" in out
    assert "running: nothing" in out
    assert "SQLite: " in out
    assert "pyarrow: " in out
    assert "WRONG" not in out
    assert "warn" not in out
    started = psutil.Process(1).create_time() - 60
    change(path, "UPDATE runs SET status = 'running', owner_host = ?, owner_pid = 1, owner_started = ?"
           " WHERE run_key = ?", host_id(), started, FINISHED)  # fmt: skip
    (path.parent / "weights" / f"{FINISHED}.safetensors").unlink()
    change(path, "PRAGMA journal_mode = WAL")
    code, out, _ = shell("doctor", "--db", str(path))
    assert code == 0, "warnings are no errors"
    assert (
        "warn   stale runs: 1 run marked running by processes of this machine that have ended (1)"
        in out
    )
    assert (
        f"warn   weights: 1 file that the database names are not there: {FINISHED}.safetensors"
        in out
    )
    old = sqlite3.sqlite_version_info < health.WAL_SAFE_SINCE
    assert ("warn   journal: wal: SQLite before 3.51.3" in out) == old


def test_every_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(name="NVIDIA H200", major=9, minor=0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: found)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda i: (2**30 * (i + 1), 2**30 * 140))
    lines = {name: text for name, _, text in doctor._gpus()}
    assert lines["GPU 1"] == "NVIDIA H200, compute capability 9.0, 2.0 of 140.0 GiB free"
    assert lines["GPU 0"].endswith("1.0 of 140.0 GiB free")
    assert "CUDA" in lines


MOUNTS = {
    "/": "ext4",
    "/proc": "proc",
    "/home": "nfs4",
    "/home/me/my disk": "xfs",
    "/mnt": "tmpfs",
}
OVER_MNT = SimpleNamespace(mountpoint="/mnt", fstype="fuse.sshfs")


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/x.db", "ext4", False),
        ("/home/me/x.db", "nfs4", True),
        ("/home/me/my disk/x.db", "xfs", False),
        ("/homeless/x.db", "ext4", False),
        ("/mnt/x.db", "fuse.sshfs", True),
    ],
)
def test_the_filesystem_of_a_path(
    path: str, kind: str, network: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [SimpleNamespace(mountpoint=at, fstype=each) for at, each in MOUNTS.items()]
    monkeypatch.setattr(health.psutil, "disk_partitions", lambda all: [*mounts, OVER_MNT])
    assert health.filesystem_of(Path(path)) == kind
    assert health.is_network(kind) is network
    monkeypatch.setattr(health.psutil, "disk_partitions", lambda all: [])
    assert health.filesystem_of(Path(path)) is None


def test_a_network_filesystem_is_a_warning(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ablate.commands.doctor.filesystem_of", lambda _: "nfs4")
    code, out, _ = shell("doctor")
    assert code == 0
    assert "warn   filesystem: nfs4, a network filesystem" in out


# ── notebooks ─────────────────────────────────────────────────────────────────────────────────────


def test_results_are_frames_of_the_views(tmp_path: Path) -> None:
    path = real_database(tmp_path / "results.db")
    before = path.read_bytes()
    results = ablate.open_results(f"sqlite:///{path}")
    frames = dict(
        zip(
            VIEWS,
            (
                *(results.runs, results.epochs, results.steps, results.costs, results.profile),
                results.predictions,
                results.metrics,
                results.looks,
                results.datasets,
            ),
            strict=True,
        )
    )
    with sqlite3.connect(path) as connection:
        for view, frame in frames.items():
            assert len(frame) > 0
            wanted = pd.read_sql(f"SELECT * FROM {view}", connection)  # noqa: S608
            assert set(frame.columns) == set(wanted.columns)
            assert len(frame) == len(wanted)
    connection.close()
    means = results.runs.groupby("variant")["test_accuracy"].mean()
    assert means["none"] > 0.9
    assert results.runs is results.runs, "read once"
    assert path.read_bytes() == before
    assert repr(results) == f"StudyResults('{path}')"


def test_results_of_no_database(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    text = message(DatabaseError, lambda: ablate.open_results(str(path)))
    assert "there is no database yet" in text
    assert not path.exists()


def test_importing_ablate_loads_nothing() -> None:
    code = (
        "import sys, ablate; ablate.open_results;"
        "print([m for m in ('pandas', 'sqlalchemy', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_status_command_loads_no_torch() -> None:
    code = (
        "import sys, ablate.commands.status;"
        "print([m for m in ('pandas', 'torch', 'numpy', 'pydantic', 'alembic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
