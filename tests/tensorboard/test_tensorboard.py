"""TensorBoard's files follow the database, and TensorBoard shows them."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Shell, claim_one, message, run_events, small_plan
from support.small_files import files_of_at_most
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.hparams import plugin_data_pb2
from torch import nn

from ablate.commands.tensorboard import TensorBoardOptions, show_tensorboard
from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import DatabaseError, OutputError
from ablate.execute import make_executor
from ablate.job import Cohort, Run
from ablate.measure.graph import stored_graph
from ablate.plan import Plan, make_plan
from ablate.result import Checkpoint, Epoch, Failed, Finished, Histograms, Step
from ablate.result.histograms import unpack
from ablate.store.files.histograms import stored_steps
from ablate.store.reading.follow import followed_content, followed_runs
from ablate.store.writing.store import Claim, Store
from ablate.study.file import load_study
from ablate.tensorboard.events import decode
from ablate.tensorboard.follow import Follower
from ablate.tensorboard.log import FILE, safe
from ablate.tensorboard.traces import show_traces
from ablate.train.histograms import BINS, HistogramTaker, take_histograms

STEP = Step(step=1, batch_loss=2.0, batch_accuracy=0.25, learning_rate=1e-3)
EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0, (STEP,))
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")
TRAIN = ["Train/Batch_Accuracy", "Train/Batch_Loss", "Train/Learning_Rate"]
EPOCHS = ["Train/Epoch_Accuracy", "Train/Epoch_Loss"]
VALIDATION = ["Validation/Epoch_Accuracy", "Validation/Epoch_Loss"]


class Silent:
    def started(self, cell: object) -> None: ...
    def resumed(self, cell: object, epoch: int) -> None: ...
    def given_back(self, cell: object, why: str) -> None: ...
    def epoch(self, cell: object, epoch: Epoch) -> None: ...
    def ended(self, cell: object, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.fixture
def store(url: str, plan: Plan) -> Iterator[Store]:
    made = Store(url)
    made.register(plan)
    yield made
    made.close()


@pytest.fixture
def claim(store: Store, plan: Plan) -> Claim:
    return claimed(store, plan)


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def claimed(store: Store, plan: Plan) -> Claim:
    made = claim_one(store, [str(plan.cells[0].run_key)])
    assert made is not None
    return made


def train(store: Store, claim: Claim, *epochs: int, loss: float = 2.0) -> None:
    """Three steps an epoch; the loss falls with every epoch."""
    for number in epochs:
        steps = tuple(
            replace(STEP, step=3 * number - 2 + i, batch_loss=loss / number) for i in range(3)
        )
        store.add_epoch(claim, replace(EPOCH, epoch=number, train_loss=loss / number, steps=steps))


def follow(url: str, logdir: Path, **options: Any) -> Follower:
    """A process that starts, looks and ends."""
    follower = Follower(url, logdir, **options)
    follower.update()
    while follower.draw_next():
        pass
    return follower


def logs(logdir: Path) -> list[Path]:
    return sorted(logdir.rglob(FILE))


def written(file: Path) -> list[tuple[str, int]]:
    """Every (tag, step) of a file, HParams' left out."""
    events, end = decode(file.read_bytes())
    assert end == file.stat().st_size
    pairs = [(value.tag, event.step) for event in events for value in event.summary.value]
    return sorted(pair for pair in pairs if not pair[0].startswith("_hparams_"))


def values(file: Path, tag: str) -> dict[int, float]:
    events, _ = decode(file.read_bytes())
    return {e.step: v.simple_value for e in events for v in e.summary.value if v.tag == tag}


# ── what is written ───────────────────────────────────────────────────────────────────────────────


def test_a_run_has_the_tutorials_tags(
    url: str, store: Store, claim: Claim, plan: Plan, logdir: Path
) -> None:
    train(store, claim, 1, 2)
    follow(url, logdir)
    [file] = logs(logdir)
    assert file.parent == logdir / "small" / "none" / f"seed-1-{claim.run_key}"
    assert written(file) == sorted(
        [(tag, step) for tag in TRAIN for step in range(1, 7)]
        + [(tag, epoch) for tag in EPOCHS + VALIDATION for epoch in (1, 2)]
    )
    assert values(file, "Train/Epoch_Loss") == {1: 2.0, 2: 1.0}
    assert values(file, "Train/Batch_Loss")[4] == 1.0


def test_test_curves_are_there_in_the_tutorials_split_alone(url: str, logdir: Path) -> None:
    plan = small_plan(recipe={"split": "tutorial"})
    store = Store(url)
    store.register(plan)
    leaked = replace(EPOCH, val_loss=None, val_accuracy=None, test_loss=1.9, test_accuracy=0.5)
    store.add_epoch(claimed(store, plan), leaked)
    store.close()
    follow(url, logdir)
    tags = {tag for tag, _ in written(logs(logdir)[0])}
    assert tags == {*TRAIN, *EPOCHS, "Test/Epoch_Loss", "Test/Epoch_Accuracy"}


@pytest.mark.slow
def test_times_are_those_of_training(url: str, store: Store, claim: Claim, logdir: Path) -> None:
    train(store, claim, 1, 2)
    follow(url, logdir)
    events, _ = decode(logs(logdir)[0].read_bytes())
    times = [event.wall_time for event in events]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(4.0), "two epochs of two seconds"


def test_hparams_have_the_variants_options(
    url: str, store: Store, plan: Plan, logdir: Path
) -> None:
    keys = [str(cell.run_key) for cell in plan.cells if cell.variant.name == "se(pool3, r=8)"]
    for key in keys:
        made = claim_one(store, [key])
        assert made is not None
        train(store, made, 1)
    follow(url, logdir)
    found = [session(file) for file in logs(logdir)]
    assert len(found) == 2
    assert found[0].group_name == found[1].group_name, "seeds of a variant are one row"
    shown = found[0].hparams
    assert shown["reduction"].number_value == 8
    assert shown["position"].string_value == "pool3"
    assert shown["recipe.augment"].string_value == "crop"
    assert shown["recipe.learning_rate"].number_value == 1e-3


def session(file: Path) -> Any:
    events, _ = decode(file.read_bytes())
    [content] = [
        value.metadata.plugin_data.content
        for event in events
        for value in event.summary.value
        if value.tag == "_hparams_/session_start_info"
    ]
    return plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info


def test_one_study_can_be_shown_alone(
    url: str, store: Store, claim: Claim, plan: Plan, logdir: Path
) -> None:
    train(store, claim, 1)
    assert Follower(url, logdir, "other", plan.study.setting).update() == 0
    assert Follower(url, logdir, "small", "another setting").update() == 0
    setting, content = plan.study.setting, str(plan.dataset.content_hash())
    assert followed_content(url, "small", setting) is None
    for of in ({"content_hash": content}, {"name": "digits"}):
        assert followed_content(url, "small", setting, **of) == content
    assert Follower(url, logdir.parent / "one", "small", setting, content).update() == 1
    assert Follower(url, logdir, "small", setting, "0" * 64).update() == 0
    for how in (("small", "other"), ("small", setting, "0" * 64), ("small", setting, None, "cats")):
        said = message(DatabaseError, partial(followed_content, url, *how))
        assert (
            f"it has: digits (content {content[:8]}), cbam_cnn(width=0.25), 16×16, epochs=2" in said
        )
    said = message(DatabaseError, lambda: followed_content(url, "x", ""))
    assert said == "the database has no runs of study 'x': `ablate run` of its file trains them"
    assert logs(logdir) == []
    assert Follower(url, logdir, "small", plan.study.setting).update() == 1


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("none", "none"),
        ("cbam(pool*, r=16, k=7)", "cbam-poolX-r=16-k=7"),
        ("se(pool1+pool3, r=4)", "se-pool1_pool3-r=4"),
        ("se(layer*.*.bn2, r=16)", "se-layerX.X.bn2-r=16"),
        ("../..", "variant"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_become_folders(name: str, folder: str) -> None:
    assert safe(name) == folder


# ── going on ──────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_continued_and_nothing_is_written_twice(
    url: str, store: Store, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1)
    watching = follow(url, logdir)
    before = logs(logdir)[0].read_bytes()
    train(store, claim, 2)
    watching.update()
    watching.update()
    train(store, claim, 3)
    follow(url, logdir)  # another process
    follow(url, logdir)
    [file] = logs(logdir)
    assert file.read_bytes().startswith(before)
    assert len(written(file)) == len(set(written(file)))
    assert list(values(file, "Train/Epoch_Loss")) == [1, 2, 3]
    assert list(values(file, "Train/Batch_Loss")) == list(range(1, 10))


def test_after_a_resume_no_step_is_there_twice(
    url: str, store: Store, plan: Plan, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1, 2)
    store.add_checkpoint(claim, Checkpoint(2, b"state"))
    train(store, claim, 3)
    watching = follow(url, logdir)
    store.stop(claim)
    heir = claimed(store, plan)
    assert store.resume(heir) == Checkpoint(2, b"state")
    watching.update()
    train(store, heir, 3, 4)
    watching.update()
    [file] = logs(logdir)
    assert len(written(file)) == len(set(written(file)))
    assert list(values(file, "Train/Epoch_Loss")) == [1, 2, 3, 4]


def test_a_run_that_began_anew_with_other_numbers_gets_a_folder_of_its_own(
    url: str, store: Store, plan: Plan, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1, 2)
    watching = follow(url, logdir)
    [first] = logs(logdir)
    before = first.read_bytes()
    store.stop(claim)
    heir = claimed(store, plan)
    assert store.resume(heir) is None
    train(store, heir, 1, loss=2.5)
    watching.update()
    train(store, heir, 2, loss=2.5)
    follow(url, logdir)
    second = first.parent.with_name(first.parent.name + "-2") / FILE
    assert logs(logdir) == [second, first] or logs(logdir) == [first, second]
    assert first.read_bytes() == before
    assert values(second, "Train/Epoch_Loss") == {1: 2.5, 2: 1.25}


def test_somebody_elses_folder_is_left_alone(
    url: str, store: Store, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1)
    taken = logdir / "small" / "none" / f"seed-1-{claim.run_key}"
    taken.mkdir(parents=True)
    (taken / "events.out.tfevents.theirs").write_bytes(b"theirs")
    follow(url, logdir)
    assert [file.parent.name for file in logs(logdir)] == [f"{taken.name}-2"]
    assert [path.name for path in taken.iterdir()] == ["events.out.tfevents.theirs"]


@pytest.mark.parametrize("lost", [1, 20, 200])
def test_half_an_event_that_a_killed_process_left_is_cut_off(
    url: str, store: Store, claim: Claim, logdir: Path, lost: int
) -> None:
    train(store, claim, 1, 2)
    follow(url, logdir)
    [file] = logs(logdir)
    whole = written(file)
    file.write_bytes(file.read_bytes()[:-lost])
    follow(url, logdir)
    assert written(file) == whole


def test_it_can_be_deleted_or_rebuilt_from_the_database(
    url: str, store: Store, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1, 2)
    store.finish(claim, FINISHED, {})
    follow(url, logdir)
    [file] = logs(logdir)
    before = file.read_bytes()
    file.unlink()
    file.parent.rmdir()
    follow(url, logdir)
    assert file.read_bytes() == before
    (file.parent / "notes.txt").write_text("mine")
    file.write_bytes(b"spoilt")
    follow(url, logdir, rebuild=True)
    rebuilt = logs(logdir)
    assert [path.read_bytes() for path in rebuilt] == [before]
    assert (file.parent / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_two_at_a_time_would_write_everything_twice(
    url: str, store: Store, claim: Claim, logdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(store, claim, 1)
    options = TensorBoardOptions(logdir, 6006, rebuild=False, serve=False)
    show_tensorboard(None, url, options)
    assert capsys.readouterr().out.startswith(f"wrote {logdir}: event files of 1 run\nnext: ")
    with served(url, "--logdir", str(logdir)):
        said = message(OutputError, lambda: show_tensorboard(None, url, options))
    assert said.startswith(f"{logdir}: another `ablate tensorboard` keeps it up to date")
    show_tensorboard(None, url, options)


def test_without_a_database_it_says_so(url: str, logdir: Path) -> None:
    options = TensorBoardOptions(logdir, 6006, rebuild=False, serve=False)
    assert "there is no database yet" in message(
        DatabaseError, lambda: show_tensorboard(None, url, options)
    )
    assert not logdir.exists()


def test_traces_lie_where_the_plugin_looks_and_follow_new_ones(tmp_path: Path) -> None:
    traces, logdir = tmp_path / "traces", tmp_path / "logs"
    show_traces(traces, logdir, {"0"})
    assert not logdir.exists(), "there are none"
    traces.mkdir()
    (traces / "00-eager.pt.trace.json.gz").write_bytes(b"of another network")
    trace = traces / "0-eager.pt.trace.json.gz"
    for content in (b"old", b"old", b"new"):
        trace.unlink(missing_ok=True)
        trace.write_bytes(content)
        (traces / "notes.txt").write_text("no trace")
        show_traces(traces, logdir, {"0"})
        [shown] = (logdir / "traces").iterdir()
        assert (shown.name, shown.read_bytes()) == (trace.name, content)


def test_of_one_study_the_traces_of_its_own_networks_are_shown(
    url: str, store: Store, plan: Plan, claim: Claim, logdir: Path, tmp_path: Path
) -> None:
    train(store, claim, 1)
    [run] = followed_runs(url)
    traces = tmp_path / "traces"
    traces.mkdir()
    own, other = (f"{name}-eager.pt.trace.json.gz" for name in (run.fingerprint, "0" * 16))
    for name in (own, other):
        (traces / name).write_bytes(b"a profile")
    options = TensorBoardOptions(logdir, 6006, rebuild=False, serve=False)
    show_tensorboard(plan.study, url, options)
    assert [path.name for path in (logdir / "traces").iterdir()] == [own]


def test_what_does_not_fit_on_the_disk_leaves_the_events_that_were_there(
    url: str, store: Store, claim: Claim, logdir: Path
) -> None:
    train(store, claim, 1)
    with files_of_at_most(100), pytest.raises(OutputError, match="File too large"):
        follow(url, logdir)
    assert not list(logdir.rglob("seed-*")), "an empty folder would be somebody else's"
    follow(url, logdir)
    [file] = logs(logdir)
    before = file.read_bytes()
    train(store, claim, 2)
    with files_of_at_most(len(before) + 100), pytest.raises(OutputError, match="File too large"):
        follow(url, logdir)
    assert file.read_bytes() == before


# ── histograms ────────────────────────────────────────────────────────────────────────────────────


def test_histograms_count_every_weight_and_gradient() -> None:
    net = nn.Linear(40, 30)
    net(torch.randn(8, 40, generator=torch.Generator().manual_seed(1))).square().sum().backward()
    found = take_histograms(net)
    assert list(found) == ["weights/weight", "grads/weight", "weights/bias", "grads/bias"]
    for name, tensor in (
        ("weights/weight", net.weight.detach()),
        ("grads/weight", net.weight.grad),
    ):
        assert tensor is not None
        exact, _ = np.histogram(tensor.numpy(), bins=BINS)
        # In fp32 a value on a bin's edge may fall on its other side.
        assert np.abs(found[name].counts - exact).sum() <= 4
        assert found[name].counts.sum() == tensor.numel()
        assert found[name].low == tensor.min()
        assert found[name].high == tensor.max()
        assert found[name].total == pytest.approx(float(tensor.sum()), rel=1e-4, abs=1e-4)


def test_constant_and_broken_tensors() -> None:
    net = nn.Linear(4, 3)
    nn.init.zeros_(net.bias)
    nn.init.constant_(net.weight, torch.nan)
    found = take_histograms(net)
    assert list(found) == ["weights/bias"]
    assert found["weights/bias"].counts.sum() == 3


@pytest.mark.parametrize(("steps", "at"), [(704, 500), (500, 500), (7, 7)])
def test_they_are_taken_at_step_500_or_the_last(steps: int, at: int) -> None:
    taker, net = HistogramTaker(), nn.Linear(2, 2)
    seen = []
    for step in range(1, steps + 1):
        taker.take(net, 3, step, steps, train_seconds=1e9)
        seen.append(taker.latest is not None)
    assert seen.index(True) == at - 1
    assert taker.latest is not None
    assert (taker.latest.epoch, taker.latest.step) == (3, 2 * steps + at)


def test_they_take_a_hundredth_of_the_time_at_most() -> None:
    taker, net = HistogramTaker(seconds=1.0), nn.Linear(2, 2)
    taker.take(net, 2, 1, 1, train_seconds=99.0)
    assert taker.latest is None
    taker.take(net, 3, 1, 1, train_seconds=101.0)
    assert taker.latest is not None


@pytest.mark.slow
def test_a_result_does_not_depend_on_histograms(plan: Plan) -> None:
    def events(*, histograms: bool) -> list[Any]:
        run = Run("key", plan.cells[0].variant, histograms=histograms)
        job = Cohort((run,), 1, plan.study.recipe, plan.dataset, "cpu")
        return [event for _, event in run_events(job)]

    plain, watched = events(histograms=False), events(histograms=True)
    assert [type(event) for event in watched][:2] == [Epoch, Histograms]
    assert losses(plain) == losses(watched)
    assert plain[-1].test_loss == watched[-1].test_loss
    assert "weights/conv1.weight" in unpack(watched[1].content)


def losses(found: list[Any]) -> list[float]:
    return [step.batch_loss for e in found if isinstance(e, Epoch) for step in e.steps]


# ── a real run ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a run with attention, seed 1, and its files."""
    url = f"sqlite:///{tmp_path_factory.mktemp('trained') / 'results.db'}"
    plan = small_plan(seeds=1, recipe={"epochs": 2, "batch_size": 256, "augment": []})
    store = Store(url)
    store.register(plan)
    with make_executor("inprocess", 1) as executor:
        Driver(plan, store, executor, Silent(), TrainingOptions("cpu", max_runs=2)).run()
    store.close()
    return url


@pytest.mark.slow
def test_a_real_run_has_histograms_and_attention(trained: str, logdir: Path) -> None:
    follow(trained, logdir)
    [file] = [file for file in logs(logdir) if "se-pool1-r=8" in str(file)]
    pairs = written(file)
    [(run_key, last)] = query(
        trained,
        "SELECT run_key, MAX(step) FROM v_steps JOIN v_runs USING (run_key) "
        "WHERE variant LIKE 'se%' GROUP BY run_key",
    )
    histograms = stored_steps(trained, run_key)
    assert histograms[0] == (1, last // 2)
    for tag in ("weights/conv1.weight", "grads/conv1.weight", "weights/pool1.attention.fc1.weight"):
        assert [step for name, step in pairs if name == tag] == [step for _, step in histograms]
    pictures = {name for name, _ in pairs if name.startswith("Attention/")}
    assert pictures == {"Attention/Heat_Maps_1", "Attention/Heat_Maps_2", "Attention/Weights"}
    follow(trained, logdir)
    assert written(file) == pairs


@pytest.mark.slow
def test_the_graph_is_that_of_the_network_that_was_trained(trained: str, logdir: Path) -> None:
    show_tensorboard(None, trained, TensorBoardOptions(logdir, 6006, rebuild=False, serve=False))
    [file] = [file for file in logs(logdir) if "se-pool1-r=8" in str(file)]
    events, _ = decode(file.read_bytes())
    [content] = [event.graph_def for event in events if event.graph_def]
    nodes = [node.name for node in GraphDef.FromString(content).node]
    assert any("pool1" in name and "attention" in name for name in nodes)
    assert any("fc2" in name for name in nodes)


def test_no_graph_of_another_network_is_shown(plan: Plan) -> None:
    cell = plan.cells[0]
    layers = [{"count": 10}]
    mine = cell.architecture.fingerprint
    assert stored_graph(cell.variant, mine, layers, 16) is not None
    assert stored_graph(cell.variant, mine, [{"count": 11}], 16) is None
    own = replace(cell.variant, backbone="mypkg.nets:Net")
    assert stored_graph(own, mine, layers, 16) is None


@pytest.mark.slow
def test_a_port_in_use_is_passed_over_and_the_page_gives_what_is_stored(
    trained: str, logdir: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with served(trained, "--logdir", str(logdir), "--port", str(port)) as (address, line):
            assert f"(port {port} is in use)" in line
            assert not address.endswith(f":{port}/")
            run = str(logs(logdir)[0].parent.relative_to(logdir))
            points = loaded(address, "scalars", run, "Train/Epoch_Loss")
            assert tagged(address, "histograms", run) >= {"weights/conv1.weight"}
    key = run.rpartition("-")[2]
    stored = query(trained, "SELECT epoch, train_loss FROM v_epochs WHERE run_key = ?", key)
    assert [(step, value) for _, step, value in points] == [
        (epoch, pytest.approx(loss)) for epoch, loss in stored
    ]


@pytest.mark.slow
def test_the_scalars_are_seen_in_a_browser(
    trained: str, logdir: Path, tmp_path: Path, chromium: str
) -> None:
    with served(trained, "--logdir", str(logdir)) as (address, _):
        run = str(logs(logdir)[0].parent.relative_to(logdir))
        loaded(address, "scalars", run, "Train/Epoch_Loss")
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                    "--no-first-run", "--disable-background-networking", "--disable-sync",
                    "--disable-component-update", "--window-size=1600,1400",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    f"--user-data-dir={tmp_path / 'profile'}",
                    "--virtual-time-budget=30000", "--dump-dom"]  # fmt: skip
        page = subprocess.run(
            [chromium, *switches, f"{address}#timeseries"],
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout  # fmt: skip
    shown = re.sub(r"<[^>]+>", " ", page)
    assert "Epoch_Loss" in shown
    assert run in shown


@contextmanager
def served(url: str, *options: str) -> Iterator[tuple[str, str]]:
    """`ablate tensorboard` in a process of its own: its address, and the line that says it."""
    command = [sys.executable, "-m", "ablate", "tensorboard", "--db", url, *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("TensorBoard: "))
            address = re.findall(r"http://127\.0\.0\.1:\d+/", line)[0]
            yield address, line
        finally:
            process.terminate()  # a shell in the background hands on no Ctrl-C
            assert process.wait(30) == 0


def loaded(address: str, plugin: str, run: str, tag: str) -> Any:
    """The points of one tag, once TensorBoard has read the files."""
    for _ in range(100):
        if tag in tagged(address, plugin, run):
            break
        time.sleep(0.3)
    return fetched(f"{address}data/plugin/{plugin}/{plugin}", run=run, tag=tag)


def tagged(address: str, plugin: str, run: str) -> set[str]:
    return set(fetched(f"{address}data/plugin/{plugin}/tags").get(run, {}))


def fetched(address: str, **values: str) -> Any:
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(values)}") as answer:  # noqa: S310
        return json.load(answer)


def query(url: str, sql: str, *values: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        return connection.execute(sql, values).fetchall()


@pytest.mark.slow
def test_a_study_that_was_run_otherwise_is_told_with_its_settings(shell: Shell) -> None:
    study = str(Path(__file__).parents[2] / "studies" / "digits.toml")
    store = Store(f"sqlite:///{shell.folder / 'results' / 'ablation.db'}")
    store.register(make_plan(load_study(Path(study), ["recipe.epochs=1"])))
    store.close()
    code, _, err = shell("tensorboard", study, "--no-serve")
    assert (code, err.count("\n")) == (2, 1)
    assert "epochs=1, batch_size=" in err
    given = ("tensorboard", study, "--no-serve", "--set", "recipe.epochs=1")
    assert shell(*given)[:2] == (
        0,
        "wrote results/tensorboard: event files of 0 runs\n"
        "next: ablate tensorboard --db sqlite:///results/ablation.db --logdir results/tensorboard\n",
    )
    code, _, err = shell(*given, "--data", "nowhere.zip")
    assert (code, err.count("\n"), "on 'nowhere' with" in err) == (2, 1, True)
    code, _, err = shell("tensorboard", "--data", "nowhere.zip")
    assert (code, err.count("\n"), "name the study file too" in err) == (2, 1, True)
