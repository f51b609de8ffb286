"""Training: it learns, it repeats to the byte, and its parts do what the libraries' do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_events, small_plan
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.errors import DeviceError, UnknownNameError
from ablate.job import Cohort, Run
from ablate.result import Epoch, Failed, Finished
from ablate.study import Recipe, Split, Variant
from ablate.system.hardware.machine import find_machine, prepare_machine
from ablate.system.hardware.precision import FP32, choose_precision, cpu_has_bf16
from ablate.train import cohort
from ablate.train.cohort import Member
from ablate.train.data import Data, eval_batches, to_device, train_batches
from ablate.train.loop import batch_sizes, step_interval
from ablate.train.optimizers import OPTIMIZERS, make_optimizer
from ablate.train.schedules import BETWEEN_EPOCHS, SCHEDULES, find_schedule, plateau

CPU = torch.device("cpu")


def train_alone(attention: str = "none", position: str | None = None, **recipe: Any) -> list[Any]:
    """The events of one run, by itself in a cohort."""
    given = {"epochs": 2, "augment": ("crop",), **recipe}
    run = Run("key", complete(Variant("cbam_cnn", attention, position)))
    job = Cohort((run,), 1, Recipe(**given), open_dataset("digits", None, 16), "cpu")
    return [event for _, event in run_events(job)]


def digits(split: Split) -> Data:
    return to_device(open_dataset("digits", None, 16).load(), split, 0.1, CPU)


def test_a_run_learns_to_read_digits() -> None:
    *epochs, result = train_alone("se", "pool3", epochs=3)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert isinstance(result, Finished)
    assert result.test_accuracy > 0.8
    assert epochs[-1].train_loss < epochs[0].train_loss / 2
    assert result.val_accuracy == epochs[-1].val_accuracy
    images = len(digits("validation").test)
    correct = np.unpackbits(np.frombuffer(result.test_correct, dtype=np.uint8), count=images)
    assert correct.mean() == pytest.approx(result.test_accuracy)


def without_times(events: list[Any]) -> list[Any]:
    timed = {"seconds", "images_per_second", "train_images_per_second"}
    return [{name: getattr(e, name) for name in e.__slots__ if name not in timed} for e in events]


@pytest.mark.parametrize("precision", ["amp", "fp32"])
def test_a_run_repeats_to_the_byte(precision: str) -> None:
    options = {"epochs": 1, "precision": precision}
    first, second = (train_alone("cbam", "pool1", **options) for _ in range(2))
    assert without_times(first) == without_times(second)


@pytest.mark.slow
def test_a_run_does_not_depend_on_what_ran_before_in_its_process() -> None:
    alone = without_times(train_alone(epochs=1))
    train_alone("se", "pool1", epochs=1)
    torch.manual_seed(123)
    assert without_times(train_alone(epochs=1)) == alone


@pytest.mark.slow
def test_the_tutorials_split_trains_on_everything_and_watches_the_test_set() -> None:
    epoch, result = train_alone(epochs=1, split="tutorial")
    assert epoch.val_loss is None
    assert epoch.val_accuracy is None
    assert (epoch.test_loss, epoch.test_accuracy) == (result.test_loss, result.test_accuracy)
    assert result.val_accuracy is None
    data = digits("tutorial")
    held_out = digits("validation")
    assert len(data.train) == len(held_out.train) + len(held_out.val or ())


def test_a_diverged_run_is_a_value_with_its_epoch() -> None:
    events = train_alone(learning_rate=1e30, precision="fp32")
    assert isinstance(events[-1], Failed)
    assert (events[-1].kind, events[-1].epoch) == ("diverged", len(events))


@pytest.mark.slow
def test_any_exception_is_a_value_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("something broke")

    monkeypatch.setattr(cohort, "find_schedule", broken)
    [result] = train_alone()
    assert isinstance(result, Failed)
    assert result.kind == "error"
    assert "ValueError: something broke" in result.error


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ],
)
def test_out_of_memory_has_a_kind_of_its_own(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(cohort, "find_schedule", full)
    [result] = train_alone()
    assert isinstance(result, Failed)
    assert result.kind == "oom"


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    data = digits("validation")
    recipe = Recipe(augment=("crop", "rotate"))

    def first(seed: int, epoch: int) -> torch.Tensor:
        return next(train_batches(data, recipe, seed, epoch))[0]

    assert torch.equal(first(1, 1), first(1, 1))
    assert not torch.equal(first(1, 1), first(1, 2))
    assert not torch.equal(first(1, 1), first(2, 1))


def test_an_epoch_has_every_training_image_once() -> None:
    data = digits("validation")
    recipe = Recipe(augment=(), batch_size=60)
    batches = list(train_batches(data, recipe, seed=1, epoch=1))
    assert [len(labels) for _, labels in batches] == list(batch_sizes(len(data.train), 60))
    seen = torch.cat([images for images, _ in batches]).sum((1, 2, 3)).sort().values
    there = torch.cat([images for images, _ in eval_batches(data, data.train)])
    torch.testing.assert_close(seen, there.sum((1, 2, 3)).sort().values)


def test_images_arrive_normalised_and_channels_last() -> None:
    data = digits("tutorial")
    images = torch.cat([images for images, _ in eval_batches(data, data.train)])
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
    assert next(train_batches(data, Recipe(), 1, 1))[0].is_contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_changes_between_epochs_only_is_asked_once_an_epoch(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real, asked = SCHEDULES[name], []

    def counted(progress: float, losses: Sequence[float]) -> float:
        asked.append(progress)
        return real(progress, losses)

    once = real in BETWEEN_EPOCHS
    monkeypatch.setattr(cohort, "find_schedule", lambda _name: counted)
    monkeypatch.setattr(cohort, "BETWEEN_EPOCHS", {counted} if once else set())
    watched = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95]
    member, recipe = Member(trainer=None, watched=watched), Recipe(epochs=10)  # type: ignore[arg-type]
    rates = cohort._rates(member, recipe, 70, 10)
    expected = [recipe.learning_rate * real(step / 100, watched) for step in range(70, 80)]
    assert rates == expected, "to the last bit"
    assert len(asked) == (1 if once else 10)


def test_plateau_decides_as_torchs_scheduler_does() -> None:
    generator = np.random.default_rng(0)
    losses = list(np.exp(-np.arange(40) / 10).clip(0.2) + generator.normal(0, 0.02, 40))
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    for done in range(len(losses)):
        assert plateau(done / 50, losses[:done]) == optimizer.param_groups[0]["lr"]
        scheduler.step(losses[done])
    assert optimizer.param_groups[0]["lr"] < 0.3, "the losses must trigger it"


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_cosine_decides_as_torchs_scheduler_does() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = CosineAnnealingLR(optimizer, T_max=7)
    for done in range(7):
        expected = optimizer.param_groups[0]["lr"]
        assert SCHEDULES["cosine"](done / 7, []) == pytest.approx(expected)
        scheduler.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_one_cycle_decides_as_torchs_scheduler_does() -> None:
    steps = 20_000
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=steps, cycle_momentum=False)
    for done in range(steps):
        # torch reaches the ends one step earlier: a difference of a step, nothing at this length.
        expected = optimizer.param_groups[0]["lr"]
        assert SCHEDULES["one_cycle"](done / steps, []) == pytest.approx(expected, abs=3e-4)
        scheduler.step()


def test_step_divides_by_ten_at_a_half_and_at_three_quarters() -> None:
    rates = [SCHEDULES["step"](done / 64, []) for done in range(64)]
    assert rates == pytest.approx([1.0] * 32 + [0.1] * 16 + [0.01] * 16)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_reaches_the_learning_rate_and_never_more(name: str) -> None:
    schedule = find_schedule(name)
    rates = [schedule(done / 1000, [1.0 / (1 + done)] * (done // 100)) for done in range(1000)]
    assert max(rates) == pytest.approx(1.0)
    assert min(rates) > 0


@pytest.mark.slow
def test_the_learning_rate_changes_from_step_to_step() -> None:
    *epochs, _ = train_alone(epochs=2, schedule="cosine", augment=())
    rates = [step.learning_rate for epoch in epochs for step in epoch.steps]
    expected = [1e-3 * SCHEDULES["cosine"](i / len(rates), []) for i in range(len(rates))]
    assert rates == pytest.approx(expected)
    assert epochs[1].learning_rate == pytest.approx(5e-4), "at the epoch's start"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains(name: str) -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(4, 1), torch.randn(64, 4)
    optimizer = make_optimizer(net, Recipe(optimizer=name, learning_rate=0.05))
    losses = []
    for _ in range(50):
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown schedule 'platau' \(did you mean 'plateau'"
    ):
        small_plan(recipe={"schedule": "platau"})
    with pytest.raises(UnknownNameError, match=r"unknown optimizer 'adm' \(did you mean 'adam"):
        small_plan(recipe={"optimizer": "adm"})
    with pytest.raises(UnknownNameError, match=r"unknown augmentation 'colour'|unknown augment"):
        small_plan(recipe={"augment": ["colour"]})


@pytest.mark.slow
def test_steps_are_logged_every_100_and_more_often_in_short_runs() -> None:
    assert step_interval(39_100) == 100
    assert step_interval(252) == 1
    assert step_interval(704) == 2
    assert all(100 % step_interval(n) == 0 for n in range(1, 100_000, 37))
    *epochs, _ = train_alone(epochs=2)
    steps = [step for epoch in epochs for step in epoch.steps]
    images = len(digits("validation").train)
    per_epoch = math.ceil(images / 64)
    assert [step.step for step in steps] == list(range(1, 2 * per_epoch + 1))
    last = steps[per_epoch - 1]
    assert last.batch_accuracy == pytest.approx(epochs[0].train_accuracy), "of the epoch so far"
    sizes = batch_sizes(images, 64)
    losses = [step.batch_loss for step in steps[:per_epoch]]
    assert np.average(losses, weights=sizes) == pytest.approx(epochs[0].train_loss)


def test_precision_is_what_the_hardware_has() -> None:
    assert choose_precision("fp32", CPU) is FP32
    expected = "amp-bf16" if cpu_has_bf16() else "amp-fp32"
    assert choose_precision("amp", CPU).name == expected


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_machine("auto").device.type == "cpu"
    with pytest.raises(DeviceError, match="torch finds no usable CUDA device"):
        prepare_machine("cuda")


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_repeats_to_the_byte_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    try:
        machine = prepare_machine("cuda", "fp32", deterministic=deterministic)
        assert (machine.device.type, machine.name) == ("cuda", "a GPU")
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
        assert torch.backends.fp32_precision == "ieee", "no TF32"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False


def test_fp16_needs_a_scaler_and_a_gpu_with_bf16_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_bf16, name, scaled in ((True, "amp-bf16", False), (False, "amp-fp16", True)):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_bf16: has
        )
        chosen = choose_precision("amp", torch.device("cuda"))
        assert (chosen.name, chosen.scaled) == (name, scaled)


@pytest.mark.slow
def test_epochs_carry_what_the_views_promise() -> None:
    epoch, _ = train_alone(epochs=1)
    assert isinstance(epoch, Epoch)
    assert epoch.seconds > 0
    assert epoch.images_per_second > 0
    assert 0 <= epoch.train_accuracy <= 1
    assert epoch.learning_rate == 1e-3
