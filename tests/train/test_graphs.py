"""The step that a CUDA graph captures, here captured by a repeater: it trains what eager steps train.

What only a GPU can show, that CUDA captures it, is in test_gpu.py.
"""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from conftest import small_plan
from support.graphs import (
    SEED,
    Broken,
    Repeater,
    data,
    make_members,
    numbers,
    quickly,
    same,
    states,
    train,
)
from torch import nn

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.datasets.augment import AUGMENTS
from ablate.drive.driver import Driver
from ablate.execute import make_executor
from ablate.job import Cohort, Run
from ablate.job import session as session_module
from ablate.model import build
from ablate.result import Finished, Noted, Started
from ablate.store.writing.store import Store
from ablate.study import Recipe, Variant
from ablate.system.hardware.device_errors import CaptureError, out_of_memory
from ablate.system.hardware.precision import BF16, FP32, Precision
from ablate.train import graphs as graphs_module
from ablate.train.cohort import step_eagerly, train_epoch
from ablate.train.data import Data
from ablate.train.graphs import Graphs, compile_network
from ablate.train.histograms import HistogramTaker
from ablate.train.recorder import CudaRecorder
from ablate.train.step import Forward

__all__ = ["data"]  # a fixture


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adam", FP32), ("adamw", BF16), ("sgd", FP32)]
)
def test_a_recorded_step_trains_what_the_eager_one_trains(
    data: Data, optimizer: str, precision: Precision
) -> None:
    recipe = Recipe(optimizer=optimizer, schedule="cosine", epochs=2, augment=("crop",))
    eager, recorded = (make_members(recipe, precision) for _ in range(2))
    made: list[Repeater] = []

    def recorder(device: torch.device, branches: int) -> Repeater:
        made.append(Repeater(device, branches))
        return made[-1]

    expected = numbers(train(eager, data, recipe, step_eagerly))
    graphs = Graphs(recorder)
    assert numbers(train(recorded, data, recipe, graphs)) == expected
    assert same(states(recorded), states(eager))
    assert graphs.trouble is None
    # Recorded once for every whole batch, and once for the rest of 22 images.
    assert [each.repeats for each in made] == [4, 2]


def test_every_augmentation_is_the_same_on_a_recorded_path(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=tuple(AUGMENTS), label_smoothing=0.1)
    eager, recorded = (make_members(recipe, FP32, ["none"]) for _ in range(2))
    expected = numbers(train(eager, data, recipe, step_eagerly))
    assert numbers(train(recorded, data, recipe, Graphs(Repeater))) == expected
    assert same(states(recorded), states(eager))


@pytest.mark.slow
def test_a_member_that_leaves_has_the_others_recorded_anew(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=())
    eager, recorded = (make_members(recipe, FP32) for _ in range(2))
    graphs = Graphs(Repeater)
    for members, stepping in ((eager, step_eagerly), (recorded, graphs)):
        train_epoch(members, data, recipe, SEED, 1, stepping)
        train_epoch(members[1:], data, recipe, SEED, 2, stepping)
    assert same(states(recorded), states(eager))


@pytest.mark.slow
def test_a_step_that_cannot_be_recorded_is_stepped_eagerly_and_says_why(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=("crop",))
    eager, recorded = (make_members(recipe, FP32) for _ in range(2))
    error = RuntimeError("operation not permitted when stream is capturing\nmore")
    graphs = Graphs(lambda device, branches: Repeater(device, branches, error))
    expected = numbers(train(eager, data, recipe, step_eagerly))
    assert numbers(train(recorded, data, recipe, graphs)) == expected
    assert same(states(recorded), states(eager)), "what the warm-up did is undone"
    assert graphs.trouble == "RuntimeError: operation not permitted when stream is capturing"


def test_memory_that_runs_out_in_a_capture_is_no_reason_to_go_on(data: Data) -> None:
    broken = RuntimeError("capture failed")
    broken.__context__ = torch.OutOfMemoryError("out of memory")
    members = make_members(Recipe(), FP32, ["none"])
    graphs = Graphs(lambda device, branches: Repeater(device, branches, broken))
    with pytest.raises(RuntimeError, match="capture failed") as caught:
        train_epoch(members, data, Recipe(), SEED, 1, graphs)
    assert out_of_memory(caught.value) == "out of memory"


def test_a_capture_that_fails_and_a_broken_device_are_no_reason_to_go_on_either(data: Data) -> None:
    for error in (
        CaptureError("it syncs"),
        torch.AcceleratorError("CUDA error: an illegal access"),
    ):
        members = make_members(Recipe(), FP32, ["none"])
        before = {name: t.clone() for name, t in members[0].trainer.net.state_dict().items()}
        graphs = Graphs(lambda *given, error=error: Repeater(*given, error))
        with pytest.raises(type(error)):
            train_epoch(members, data, Recipe(), SEED, 1, graphs)
        assert graphs.trouble is None
        assert same([members[0].trainer.net.state_dict()], [before]), "the warm-up is undone"


def test_images_that_fill_no_batch_are_stepped_eagerly(data: Data) -> None:
    recipe = Recipe(epochs=1, batch_size=512)
    members = make_members(recipe, FP32, ["none"])
    graphs = Graphs(lambda *_: pytest.fail("nothing to record"))
    [done] = train_epoch(members, data, recipe, SEED, 1, graphs)
    assert len(done.losses) == 1
    assert graphs.trouble is None


@pytest.mark.parametrize("batch_size", [50, 64], ids=["no rest", "a rest"])
def test_histograms_are_those_of_the_step_that_was_recorded(data: Data, batch_size: int) -> None:
    recipe = Recipe(epochs=2, batch_size=batch_size, augment=())
    latest = []
    for stepping in (step_eagerly, Graphs(Repeater)):
        [member] = make_members(recipe, FP32, ["se"])
        member.histograms = HistogramTaker()
        member.train_seconds = 1e9
        train([member], data, recipe, stepping)
        latest.append(member.histograms.latest)
    assert latest[0] is not None
    assert latest[0] == latest[1]


@pytest.mark.slow
def test_a_compiled_step_trains_what_the_eager_one_trains(data: Data) -> None:
    recipe = Recipe(epochs=2, augment=())
    # The second would get the code of the first if its attention, which hangs on a hook, were not looked at.
    eager, compiled = (make_members(recipe, BF16, ["none", "se"]) for _ in range(2))
    made: list[nn.Module] = []

    def compiler(net: nn.Module) -> Forward:
        made.append(net)
        return quickly(net)

    expected = train(eager, data, recipe, step_eagerly)
    graphs = Graphs(Repeater, compiler)
    found = train(compiled, data, recipe, graphs)
    assert graphs.trouble is None
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.losses == pytest.approx(theirs.losses, abs=1e-3), "but for its rounding"
    assert made == [member.trainer.net for member in compiled], "once, not for each epoch"


@pytest.mark.slow
def test_more_networks_than_a_compiler_takes_by_itself_are_compiled() -> None:
    """Each is another architecture behind the same lines of code: torch gives up after eight."""
    variants = [Variant("cbam_cnn(width=0.25)")]
    variants += [
        Variant("cbam_cnn(width=0.25)", "se", position, (("reduction", r),))
        for position in ("pool1", "pool2", "pool3")
        for r in (1, 2, 4, 8)
    ]
    images = torch.rand(2, 3, 32, 32)
    for variant in variants:
        net = build(complete(variant), 10, 32, SEED).eval()
        compiled = compile_network(net, "eager")
        assert torch.equal(compiled(images), net(images)), "fullgraph: it raises where it gives up"


def test_a_cohort_that_cannot_be_a_graph_says_so_and_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "make_graphs", lambda _path: Graphs(Broken))
    run = Run("key", complete(Variant("cbam_cnn(width=0.25)")))
    recipe = Recipe(epochs=2, batch_size=256, augment=(), optimizer="sgd")
    job = Cohort((run,), 1, recipe, open_dataset("digits", None, 16), "cpu", step_path="graph")
    monkeypatch.setattr("ablate.train.graphs.set_learning_rate", lambda *_: None)  # a number here
    events = list(job())
    started, *notes = [event for key, event in events if key == ""]
    assert isinstance(started, Started)
    assert notes == [
        Noted("a cohort is stepped eagerly, it cannot be a graph: ValueError: it syncs", "eager")
    ]
    assert isinstance(events[-1][1], Finished)


def test_a_cohort_that_compiles_for_long_says_what_was_not_on_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = iter([Counter[str](), Counter({"compiled passes": 2})])
    monkeypatch.setattr(graphs_module, "misses", lambda: next(found))
    monkeypatch.setattr(graphs_module, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr("ablate.train.graphs.set_learning_rate", lambda *_: None)
    made = Graphs(Repeater, lambda net: net)
    monkeypatch.setattr(session_module, "make_graphs", lambda _path: made)
    run = Run("key", complete(Variant("cbam_cnn(width=0.25)")))
    recipe = Recipe(epochs=2, batch_size=256, augment=(), optimizer="sgd")
    job = Cohort((run,), 1, recipe, open_dataset("digits", None, 16), "cpu", step_path="compiled")
    [note] = [event for key, event in job() if key == "" and isinstance(event, Noted)]
    assert note.text.startswith("a cohort of 1 has compiled for ")
    assert note.text.endswith(" s: not on the disk were 2 compiled passes")


def test_what_is_noted_about_a_cohort_is_told(url: str) -> None:
    told: list[str] = []
    progress: Any = SimpleNamespace(note=told.append)
    with make_executor("inprocess", 1) as executor:
        driver = Driver(small_plan(), Store(url), executor, progress)
        driver._handle("a job", ("", Noted("it cannot be a graph")))
    assert told == ["it cannot be a graph"]


@pytest.mark.slow
def test_what_a_graph_reads_lives_as_long_as_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph knows tensors by where they lie, and reads on there when they are gone. Without a device CUDA
    is one that captures nothing.
    """
    cuda = MagicMock()
    for name in ("CUDAGraph", "Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch.cuda, "default_generators", (cuda,))
    recorder = CudaRecorder(torch.device("cuda:0"), branches=0)
    read = torch.zeros(1)
    alive = weakref.ref(read)
    recorder.capture(partial(read.add_, 1))
    del read
    gc.collect()
    assert alive() is not None
    del recorder
    gc.collect()
    assert alive() is None
