"""A user's own trainer: what it is given, what it must give, and that it goes on as if never stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import machine_of, small_plan
from support import own_trainer
from support.own_trainer import HELPER, forget, planned
from torch.nn import functional as F

from ablate.drive.proof import prove_plan
from ablate.errors import AblateError, StudyError
from ablate.model import build
from ablate.result import Epoch
from ablate.study import Recipe, Variant
from ablate.system.process.settings import SETTINGS
from ablate.train.beside import Watched
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Member
from ablate.train.data import Data, Part
from ablate.train.own import Training
from ablate.train.own_loop import train_own
from ablate.train.own_trainer import OwnTrainer, prove_trainer
from ablate.train.states import flatten, restore
from ablate.train.step import make_trainer

VARIANT = Variant("cbam_cnn(width=0.25)")
CLASSES = 4
IMAGES = 24


def data() -> Data:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (IMAGES, 3, 16, 16), dtype=torch.uint8, generator=generator)
    part = Part(images, torch.arange(IMAGES) % CLASSES)
    held = Part(images[:8], part.labels[:8])
    return Data(part, held, held, (0.5,) * 3, (0.25,) * 3)


def recipe_of(**changes: Any) -> Recipe:
    given = {"epochs": 3, "batch_size": 8, "augment": [], "precision": "fp32", "trainer": "a.b:c"}
    return Recipe(**{**given, **changes})


def member_of(recipe: Recipe) -> Member:
    machine = machine_of(small_plan(recipe={"precision": "fp32"}))
    net = build(VARIANT, CLASSES, 16, 1)
    return Member(make_trainer(net, recipe, machine.device, machine.precision))


def epochs_of(
    function: Callable[..., Any],
    member: Member | None = None,
    count: int | None = None,
    **changes: Any,
) -> list[Any]:
    """What the first `count` epochs measured, or all."""
    recipe = recipe_of(**changes)
    steps = train_own(
        member or member_of(recipe), OwnTrainer("a.b:c", function), data(), recipe, 1, CLASSES
    )
    if count is None:
        return [event for [(_, event)] in steps]
    return [next(steps)[0][1] for _ in range(count)]


def adam(run: Training, seen: list[Watched | None] | None = None) -> Iterator[float]:
    optimizer = torch.optim.Adam(run.network.parameters(), lr=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=3 * run.total_epochs
    )
    run.keep(optimizer=optimizer, schedule=schedule)
    for epoch in run.epochs:
        losses = []
        for images, labels in run.batches(epoch):
            noisy = images + 0.01 * torch.randn(()) + 0.01 * float(np.random.normal())
            loss = F.cross_entropy(run.network(noisy), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        found = yield float(torch.stack(losses).mean())
        if seen is not None:
            seen.append(found)


def test_what_an_epoch_measures_is_ours_and_goes_back_to_the_trainer() -> None:
    seen: list[Watched | None] = []
    events = epochs_of(lambda run: adam(run, seen))
    assert [event.epoch for event in events] == [1, 2, 3]
    assert all(isinstance(event, Epoch) for event in events)
    assert [(each.loss, each.accuracy) for each in seen if each] == [
        (event.val_loss, event.val_accuracy) for event in events
    ]
    assert events[0].learning_rate == pytest.approx(0.01 / 25), "as the epoch begins"
    assert events[-1].train_loss < events[0].train_loss
    assert 0 <= events[0].train_accuracy <= 1
    assert events[0].images_per_second > 0


def test_it_repeats_and_goes_on_from_a_checkpoint_to_the_same_bytes() -> None:
    whole, again = member_of(recipe_of()), member_of(recipe_of())
    first, second = epochs_of(adam, whole), epochs_of(adam, again)
    measured = [(e.train_loss, e.val_loss, e.learning_rate) for e in first]
    assert measured == [(e.train_loss, e.val_loss, e.learning_rate) for e in second]
    stopped = member_of(recipe_of())
    epochs_of(adam, stopped, count=2)
    resumed = unpack(pack(stopped, {}), member_of(recipe_of()).trainer, {})
    assert isinstance(resumed, Member)
    [last] = epochs_of(adam, resumed)
    assert (last.epoch, last.train_loss, last.val_loss, last.learning_rate) == (3, *measured[2])
    for name, value in whole.trainer.net.state_dict().items():
        assert torch.equal(value, resumed.trainer.net.state_dict()[name]), name


def test_every_kind_of_value_of_a_state_comes_back() -> None:
    last = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {
        "none": None, "flag": True, "n": 3, "x": 0.5, "text": "é", "list": [1, [2.5]], 7: "number",
        "tuple": (1, (2,)), (1, 2): "pair", "tensor": torch.arange(3), "last": last,
        "numpy": np.arange(4.0), "scalar": np.float32(2), "empty": {}, "one": torch.tensor(1.5),
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    found = restore(flatten(state, tensors, "kept/all"), tensors)
    assert list(found) == list(state)
    assert found["last"].is_contiguous(memory_format=torch.channels_last)
    for key, value in state.items():
        same = np.array_equal if isinstance(value, np.ndarray | np.generic) else lambda a, b: a == b
        same = torch.equal if isinstance(value, torch.Tensor) else same
        assert same(found[key], value), key
    assert not any(name.startswith("net/") for name in tensors)


def halves(run: Training) -> Iterator[float]:
    """Lowers its rate as an epoch begins, by what the one before was worth."""
    optimizer = torch.optim.SGD(run.network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    run.keep(optimizer=optimizer, schedule=schedule)
    for epoch in run.epochs:
        if run.seen is not None:
            schedule.step(-run.seen.loss)  # the lower, the worse
        for images, labels in run.batches(epoch):
            loss = F.cross_entropy(run.network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seen = yield loss.detach()
        assert run.seen == seen


def test_what_an_epoch_was_worth_is_there_as_the_next_begins_also_after_a_stop() -> None:
    whole = epochs_of(halves, epochs=5)
    stopped = member_of(recipe_of(epochs=5))
    epochs_of(halves, stopped, count=3, epochs=5)
    resumed = unpack(pack(stopped, {}), member_of(recipe_of()).trainer, {})
    assert isinstance(resumed, Member)
    rest = epochs_of(halves, resumed, epochs=5)
    assert len({e.learning_rate for e in whole}) > 1
    assert [(e.epoch, e.val_loss, e.learning_rate) for e in rest] == [
        (e.epoch, e.val_loss, e.learning_rate) for e in whole[3:]
    ]


def steps_late(run: Training) -> Iterator[float]:
    optimizer = torch.optim.SGD(run.network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    run.keep(optimizer=optimizer, schedule=schedule)
    for _ in run.epochs:
        optimizer.step()
        yield 1.0
        schedule.step()


def halves_its_weights_late(run: Training) -> Iterator[float]:
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for _ in run.epochs:
        yield 1.0
        with torch.no_grad():
            next(run.network.parameters()).mul_(0.5)


@pytest.mark.parametrize(
    ("function", "what"),
    [(steps_late, "optimizer and schedule"), (halves_its_weights_late, "network")],
)
def test_what_is_kept_must_not_change_behind_the_yield_of_which_a_checkpoint_is(
    function: Callable[..., Any], what: str
) -> None:
    with pytest.raises(StudyError, match=f"after the yield changes {what}, .* run.seen is what"):
        epochs_of(function)


def test_keys_of_a_state_that_no_text_tells_apart_are_refused() -> None:
    for key in (torch.tensor(1.0), np.int64(3), (1, np.int64(3))):
        with pytest.raises(StudyError, match=r"the state of all has a .* as a key"):
            flatten({key: 1}, {}, "kept/all")
    assert restore(flatten({(1, (None, "a")): 1}, {}, "kept/all"), {}) == {(1, (None, "a")): 1}


class Locked:
    def state_dict(self) -> dict[str, Any]:
        return {"lock": object()}

    def load_state_dict(self, _state: Any) -> None: ...


@pytest.mark.parametrize("keeps", [False, True])
def test_a_trainer_that_keeps_nothing_has_no_checkpoint(keeps: bool) -> None:
    def train(run: Training) -> Iterator[dict[str, float]]:
        if keeps:
            run.keep(lock=Locked())
        for _ in run.epochs:
            yield {"learning_rate": 0.1}

    member = member_of(recipe_of())
    epochs_of(train, member, count=1)
    said = "the state of lock has a object" if keeps else r"run.keep\(optimizer=optimizer\)"
    with pytest.raises(StudyError, match=said):
        pack(member, {})


def never(run: Training) -> Iterator[None]:
    run.keep()
    return
    yield


def twice(run: Training) -> Iterator[dict[str, float]]:
    run.keep()
    for _ in run.epochs:
        yield {"learning_rate": 0.1}
    yield {}


def elsewhere(run: Training) -> Iterator[dict[str, float]]:
    for _ in range(run.total_epochs):
        yield {"learning_rate": 0.1}


def without_rate(run: Training) -> Iterator[float]:
    for _ in run.epochs:
        yield 0.5


def a_word(run: Training) -> Iterator[str]:
    for _ in run.epochs:
        yield "done"


def another_key(run: Training) -> Iterator[dict[str, float]]:
    for _ in run.epochs:
        yield {"miou": 0.1}


def leaves(run: Training) -> Iterator[None]:
    sys.exit(3)
    yield


def returns(_run: Training) -> int:
    return 3


def keeps_a_number(run: Training) -> Iterator[None]:
    run.keep(optimizer=3)
    yield


def keeps_twice(run: Training) -> Iterator[None]:
    run.keep()
    run.keep()
    yield


def keeps_late(run: Training) -> Iterator[float]:
    for epoch in run.epochs:
        if epoch == 1:
            run.keep()
        yield 1.0


def no_rate(run: Training) -> Iterator[dict[str, float]]:
    for _ in run.epochs:
        yield {"learning_rate": float("nan")}


def too_large(run: Training) -> Iterator[int]:
    for _ in run.epochs:
        yield 10**400


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (keeps_late, "run.keep comes before the first epoch"),
        (no_rate, "says a learning rate of nan in epoch 1"),
        (too_large, "yields int"),
        (never, "ended before epoch 1 did"),
        (twice, "yields more often than there are epochs"),
        (elsewhere, "outside of run.epochs"),
        (without_rate, "does not say its learning rate"),
        (a_word, "yields str"),
        (another_key, "yields 'miou'"),
        (leaves, r"calls sys.exit\(3\)"),
        (returns, "gives int and no generator"),
        (keeps_a_number, "int has no state_dict"),
        (keeps_twice, "called before"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_who_does_not_keep_to_it_is_told_what_to_do(
    function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        epochs_of(function)


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    def train(run: Training) -> Iterator[float]:
        run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
        for epoch in run.epochs:
            yield float("nan") if epoch == 2 else 1.0

    first, last = epochs_of(train)
    assert (first.epoch, last.kind, last.epoch) == (1, "diverged", 2)


def test_what_it_sets_for_the_process_and_draws_is_of_its_run_alone() -> None:
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    torch.manual_seed(7)
    drawn = torch.rand(1)

    def train(run: Training) -> Iterator[float]:
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        torch.set_num_threads(2)
        run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
        for _ in run.epochs:
            drawn_here.append(float(torch.rand(1)))
            yield 1.0

    drawn_here: list[float] = []
    epochs_of(train)
    assert {name: read() for name, (read, _) in SETTINGS.items()} == before
    assert len(set(drawn_here)) == 3
    first = drawn_here[:]
    drawn_here.clear()
    torch.manual_seed(8)
    epochs_of(train)
    assert drawn_here == first, "streams of the seed and the epoch"
    assert float(drawn) not in first


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd"}, {"learning_rate": 0.1}, {"schedule": "cosine"}, {"mixup_alpha": 0.2},
        {"learning_rate": 1e-3}, {"schedule": "plateau"}, {"optimizer": "adam"},
        {"ema_decay": 0.99}, {"freeze": ["pool1"]}, {"weight_decay": 0.1}, {"dropout": 0.1},
    ],
    ids=lambda changes: "=".join(map(str, *changes.items())),
)  # fmt: skip
def test_keys_that_only_our_loop_honours_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=f"{next(iter(changes))} is a key of our own training loop"
    ):
        recipe_of(**changes)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from own_trainer.package(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("missing", "has no 'missing'"),
        ("Trainer", "a class: name a function"),
        ("no_generator", "is no generator function"),
        ("no_run", "takes no run"),
        ("needs", "needs alpha"),
        ("plain(lr=0.1)", "takes no 'lr'"),
        ('plain(learning_rate="x")', "must be of type float"),
        ("plain(learning_rate)", "is no option"),
        ("wrong", r"has no attribute 'layer4' \(train.py, line 25\)"),
        ("adds_a_head", "leaves a network that no checkpoint brings back: .*head.weight"),
        ("only_without_attention", r"fails with se\(pool1, r=4\): .*no attention, please"),
    ],
)
def test_a_trainer_that_cannot_train_is_told_before_anything_is_trained(
    package: Path, trainer: str, said: str
) -> None:
    def try_it() -> None:
        plan = planned(trainer)
        prove_plan(plan, machine_of(plan), [20], lambda *_: None)

    with pytest.raises(AblateError, match=said):
        try_it()


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("misspells_what_it_sees", r"has no attribute 'acuracy' \(train.py, line"),
        ("misspells_its_end", r"has no attribute 'load_averages' \(train.py, line"),
        ("averages_after_the_yield", "after the yield changes average"),
        ("reads", r"Expecting property name .* \(train.py, line"),
    ],
)
def test_it_is_rehearsed_to_its_end(package: Path, trainer: str, said: str) -> None:
    plan = planned(trainer, epochs=50)
    with pytest.raises(AblateError, match=said):
        prove_plan(plan, machine_of(plan), [20], lambda *_: None)


def test_one_that_counts_its_calls_stays_the_same(package: Path) -> None:
    plan = planned("counts", epochs=3)
    prove_plan(plan, machine_of(plan), [20], lambda *_: None)
    assert plan.trainer is not None
    assert prove_trainer(plan.trainer)[0].called == "owntrain.train:counts"
    (package / "train.py").write_text(own_trainer.TRAIN + "x = 1\n")
    forget()
    with pytest.raises(AblateError, match=r"other source owntrain\.train"):
        prove_trainer(plan.trainer)


def test_what_it_reaches_counts_and_nothing_else(package: Path) -> None:
    def keys(trainer: str, **changes: Any) -> tuple[str | None, ...]:
        forget()
        return tuple(cell.run_key for cell in planned(trainer, **changes).cells)

    before = keys("plain")
    assert keys("plain", name="another") == before
    found = {before, keys("plain(learning_rate=0.02)")}
    (package / "unreached.py").write_text("x = 1\n")
    assert keys("plain") == before
    (package / "helper.py").write_text(HELPER + "\n# a comment\n")
    found.add(keys("plain"))
    assert len(found) == 3


def test_a_study_may_not_import_what_nobody_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_ALLOW_IMPORT", "")
    with pytest.raises(
        StudyError, match="a study may not import owntrain; add --allow-import owntrain"
    ):
        planned("plain")
