"""Optimizers, schedules and what else a recipe can name, against torch's own, and resumed to the byte."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight
from torch import nn, optim
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.attention import complete
from ablate.errors import StudyError
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.study.names import OPTIMIZER_KEYS
from ablate.study.recipe import PROTOCOL_DEFAULTS
from ablate.system.hardware.machine import find_machine
from ablate.train.average import Average
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Member, _rates
from ablate.train.losses import Loss, first_labels, make_loss
from ablate.train.mixing import Mixer, make_mixer
from ablate.train.optimizers import OPTIMIZERS, make_optimizer, set_learning_rate
from ablate.train.step import Trainer, make_trainer
from ablate.train.weights import load_weights, weights_to_bytes

STEPS = 50
CPU = torch.device("cpu")
FP32 = find_machine("cpu", "fp32").precision


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16), nn.Dropout(0.1), nn.Linear(16, 5),
    )  # fmt: skip


def plain_network(seed: int = 0) -> nn.Module:
    """Without dropout: a reference loop draws from another stream."""
    net = network(seed)
    net[8] = nn.Identity()
    return net


def batch(size: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 8, 8, generator=generator)
    return images, torch.randint(0, 5, (size,), generator=generator)


def trainer(net: nn.Module | None = None, **recipe: Any) -> Trainer:
    return make_trainer(net or network(), Recipe(**recipe), CPU, FP32)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def steps(made: Trainer, number: int = STEPS, first: int = 0) -> None:
    made.net.train()
    for step in range(first, first + number):
        made.prepare(1e-2, step)
        made.step(batch(seed=step))


def by_torch(net: nn.Module, optimizer: optim.Optimizer, after: Callable[[], Any] = int) -> None:
    """The plain loop."""
    net.train()
    for step in range(STEPS):
        images, labels = batch(seed=step)
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        after()
        optimizer.step()


def given_gradients(made: Trainer, other: nn.Module, *peers: optim.Optimizer) -> None:
    """Step both along the same gradients: in a loop, a difference in the last bit would grow from step to
    step, in bfloat16 or where Adam divides by almost nothing.
    """
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        for mine, theirs in zip(made.net.parameters(), other.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            theirs.grad = mine.grad.clone()
        set_learning_rate(made.optimizer, 1e-2)
        for optimizer in (made.optimizer, *peers):
            optimizer.step()


PEERS: dict[str, tuple[dict[str, Any], Callable[[nn.Module], optim.Optimizer]]] = {
    "adam": (
        {"optimizer": "adam", "weight_decay": 0.02, "betas": (0.8, 0.99)},
        lambda net: optim.Adam(net.parameters(), 1e-2, (0.8, 0.99), weight_decay=0.02),
    ),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.2},
        lambda net: optim.AdamW(net.parameters(), 1e-2, weight_decay=0.2),
    ),
    "sgd": (
        {"optimizer": "sgd", "weight_decay": 5e-4, "momentum": 0.8},
        lambda net: optim.SGD(net.parameters(), 1e-2, 0.8, nesterov=True, weight_decay=5e-4),
    ),
    "plain sgd": (
        {"optimizer": "sgd", "momentum": 0.0},
        lambda net: optim.SGD(net.parameters(), 1e-2),
    ),
    "heavy ball": (
        {"optimizer": "sgd", "nesterov": False},
        lambda net: optim.SGD(net.parameters(), 1e-2, 0.9),
    ),
    "no decay": (
        {"optimizer": "adamw", "weight_decay": 0.2, "no_decay_on": "norm_and_bias"},
        lambda net: optim.AdamW(
            [
                {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": 0.2},
                {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0},
            ],
            1e-2,
        ),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_an_optimizer_is_torchs_own(name: str) -> None:
    recipe, peer = PEERS[name]
    made, other = trainer(**recipe), network()
    given_gradients(made, other, peer(other))
    assert torch.allclose(weights(made.net), weights(other), atol=1e-6)


def test_muon_steps_hidden_matrices_as_torchs_own_and_the_rest_as_adamw() -> None:
    def layers() -> nn.Module:
        torch.manual_seed(0)
        linear = [
            nn.Flatten(),
            nn.Linear(192, 16),
            nn.Linear(16, 24),
            nn.Linear(24, 16),
            nn.Linear(16, 5),
        ]
        return nn.Sequential(*linear)

    made, other = trainer(layers(), optimizer="muon"), layers()
    hidden = [other[2].weight, other[3].weight]
    rest = [p for p in other.parameters() if not any(p is h for h in hidden)]
    peers = optim.Muon(hidden, 1e-2), optim.AdamW(rest, 1e-2, weight_decay=0.1)
    given_gradients(made, other, *peers)
    assert torch.allclose(weights(made.net), weights(other), atol=1e-6)


@pytest.mark.parametrize("place", ["before:features", "classifier.1"])
def test_muon_takes_the_same_layers_of_the_backbone_wherever_attention_stands(place: str) -> None:
    """Attention registered before the first layer, or behind the last, makes no hidden layer of either."""

    def hidden(variant: Variant) -> set[str]:
        net = build(complete(variant), 10, 32, 1)
        groups = trainer(net, optimizer="muon").optimizer.param_groups
        taken = {id(p) for group in groups if group["orthogonal"] for p in group["params"]}
        names = {name for name, parameter in net.named_parameters() if id(parameter) in taken}
        return {name for name in names if "attention" not in name}

    backbone = "torchvision:squeezenet1_1"
    plain = hidden(Variant(backbone))
    assert plain
    assert hidden(Variant(backbone, "se", place, (("reduction", 1),))) == plain


def test_muon_takes_convolutions_as_matrices() -> None:
    made = trainer(optimizer="muon")
    groups = {bool(g["orthogonal"]): g["params"] for g in made.optimizer.param_groups}
    assert [tuple(p.shape) for p in groups[True]] == [(8, 8, 3, 3), (16, 8)]
    before = weights(made.net)
    steps(made, 3)
    assert not torch.equal(weights(made.net), before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_takes_scaled_gradients_and_skips_those_that_overflow(optimizer: str) -> None:
    """Decided where the gradients are: what asks the device cannot be recorded."""
    plain, scaled = (trainer(optimizer=optimizer) for _ in range(2))
    assert scaled.optimizer._step_supports_amp_scaling
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

    def give(overflowing: bool = False) -> None:
        torch.manual_seed(1)
        for p, s in zip(plain.net.parameters(), scaled.net.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            s.grad = p.grad * scaler.scale(torch.ones(()))
            if overflowing:
                s.grad.view(-1)[0] = torch.inf
        scaler.step(scaled.optimizer)
        scaler.update()

    give(overflowing=True)
    assert torch.equal(weights(scaled.net), weights(trainer(optimizer=optimizer).net))
    for _ in range(3):
        give()
        plain.optimizer.step()
    assert torch.allclose(weights(scaled.net), weights(plain.net), atol=1e-5)
    before = weights(scaled.net)
    give(overflowing=True)
    assert torch.equal(weights(scaled.net), before)
    give()
    plain.optimizer.step()
    assert torch.allclose(weights(scaled.net), weights(plain.net), atol=1e-5)


def test_clipping_is_torchs_own() -> None:
    made, other = trainer(plain_network(), optimizer="sgd", clip_norm=0.1), plain_network()
    steps(made)
    peer = optim.SGD(other.parameters(), 1e-2, 0.9, nesterov=True)
    by_torch(other, peer, lambda: nn.utils.clip_grad_norm_(other.parameters(), 0.1))
    assert torch.allclose(weights(made.net), weights(other), atol=1e-6)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    """Without batch norm, whose statistics are those of each part."""

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 5))

    parts = trainer(net(), optimizer="sgd", batch_size=5, accumulate=3)
    whole = trainer(net(), optimizer="sgd", batch_size=12)
    for made in (parts, whole):
        steps(made)
    assert torch.allclose(weights(parts.net), weights(whole.net), atol=1e-6)
    loss, right = parts.step(batch(seed=1))
    expected = F.cross_entropy(whole.net(batch(seed=1)[0]), batch(seed=1)[1])
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert right.dim() == 0


def test_the_average_of_weights_is_torchs_own() -> None:
    made = trainer(plain_network(), optimizer="sgd", ema_decay=0.9)
    peer = AveragedModel(made.net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    peer.n_averaged.fill_(1)  # from the first weights on, and not from those after the first step
    for step in range(10):
        steps(made, 1, step)
        peer.update_parameters(made.net)
    live = weights(made.net)
    with made.averaged():
        assert torch.allclose(weights(made.net), weights(peer.module), atol=1e-6)
        assert torch.allclose(made.net[1].running_var, peer.module[1].running_var, atol=1e-6)
    assert torch.equal(weights(made.net), live)
    made.settle()
    assert torch.allclose(weights(made.net), weights(peer.module), atol=1e-6)


@pytest.mark.parametrize("epochs", [1, 2.5])
def test_warm_up_and_cosine_are_torchs_own(epochs: float) -> None:
    recipe = Recipe(epochs=5, schedule="cosine", learning_rate=0.1, warmup_epochs=epochs)
    per_epoch = 8
    first = round(epochs * per_epoch)
    optimizer = optim.SGD(network().parameters(), 0.1)
    rising = LinearLR(optimizer, 1 / first, total_iters=first - 1)
    falling = CosineAnnealingLR(optimizer, 5 * per_epoch - first)
    peer = SequentialLR(optimizer, [rising, falling], [first])
    expected = []
    for _ in range(5 * per_epoch):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        peer.step()
    member = Member(trainer())
    found = [r for e in range(5) for r in _rates(member, recipe, e * per_epoch, per_epoch)]
    assert found == pytest.approx(expected, abs=1e-6)


def test_without_warm_up_rates_are_what_they_were() -> None:
    recipe = Recipe(epochs=3, schedule="cosine", learning_rate=0.1)
    found = _rates(Member(trainer()), recipe, 4, 4)
    assert found == [0.1 * 0.5 * (1 + math.cos(math.pi * (step / 12))) for step in range(4, 8)]


def test_losses_are_torchs_own_and_those_of_mixed_labels_are_of_soft_ones() -> None:
    logits, labels = torch.randn(9, 5), torch.randint(0, 5, (9,))
    assert torch.equal(Loss()(logits, labels), F.cross_entropy(logits, labels))
    smooth = Loss(0.1)(logits, labels)
    assert torch.equal(smooth, F.cross_entropy(logits, labels, label_smoothing=0.1))
    other, share = torch.randint(0, 5, (9,)), torch.rand(9)
    mixed = torch.stack([labels.float(), other.float(), share], dim=1)
    soft = share[:, None] * F.one_hot(labels, 5) + (1 - share[:, None]) * F.one_hot(other, 5)
    expected = F.cross_entropy(logits, soft, label_smoothing=0.1)
    assert Loss(0.1)(logits, mixed).item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.equal(first_labels(mixed), torch.where(share >= 0.5, labels, other))


def test_balanced_class_weights_are_scikit_learns() -> None:
    labels = torch.tensor([0] * 8 + [1] * 3 + [2])
    loss = make_loss(Recipe(class_weights="balanced"), labels)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert loss.class_weights is not None
    assert loss.class_weights.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixed_images_hold_as_much_of_the_other_as_their_labels_say(
    alphas: tuple[float, float],
) -> None:
    mixer = Mixer(*alphas, np.random.default_rng(3))
    for _ in range(10):
        labels = torch.arange(6)
        images = labels.float()[:, None, None, None].expand(6, 3, 16, 16).clone()
        mixed, told = mixer((images, labels))
        expected = told[:, 2] * told[:, 0] + (1 - told[:, 2]) * told[:, 1]
        assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
        assert torch.equal(told[:, 0], labels.float())


def test_what_is_mixed_depends_on_the_seed_alone_and_nothing_is_mixed_unasked() -> None:
    assert make_mixer(Recipe(), 1) is None
    recipe = Recipe(mixup_alpha=0.2, cutmix_alpha=1.0)
    one, two = (make_mixer(recipe, 5) for _ in range(2))
    assert one is not None
    assert two is not None
    for _ in range(4):
        first, second = one(batch()), two(batch())
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


def test_dropout_is_the_recipes() -> None:
    made = trainer(dropout=0.5)
    assert made.net[8].p == 0.5
    with pytest.raises(StudyError, match="has no dropout"):
        trainer(nn.Linear(3, 2), dropout=0.5)


RESUMED: dict[str, dict[str, Any]] = {
    **{name: {"optimizer": name} for name in OPTIMIZERS},
    "averaged": {"optimizer": "sgd", "ema_decay": 0.9, "clip_norm": 1.0},
    "without decay": {"optimizer": "adamw", "no_decay_on": "norm_and_bias"},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_goes_on_to_the_byte(name: str) -> None:
    whole = trainer(**RESUMED[name])
    steps(whole, 3)
    content = pack(Member(whole), {})
    again = unpack(content, trainer(network(1), **RESUMED[name]), {})
    assert isinstance(again, Member)
    steps(whole, 3, first=3)
    steps(again.trainer, 3, first=3)
    assert torch.equal(weights(whole.net), weights(again.trainer.net))
    for made in (whole, again.trainer):
        made.settle()
    assert torch.equal(weights(whole.net), weights(again.trainer.net))


class Remembers(nn.Module):
    """Divides by how often it was called, in a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.calls.add_(1)  # type: ignore[operator]


def test_what_a_state_dict_leaves_out_goes_on_too() -> None:
    whole, anew = (trainer(nn.Sequential(Remembers(), *network(seed))) for seed in (0, 1))
    steps(whole, 3)
    again = unpack(pack(Member(whole), {}), anew, {})
    assert isinstance(again, Member)
    for each in (whole, again.trainer):
        steps(each, 3, first=3)
    assert torch.equal(weights(whole.net), weights(again.trainer.net))
    kept = nn.Sequential(Remembers(), *network(2))
    load_weights(kept, weights_to_bytes(whole.net), "run")
    assert kept[0].calls == 6


def test_an_average_of_a_network_is_its_own() -> None:
    net = network()
    average = Average(net, 0.5)
    other = Average(copy.deepcopy(net), 0.5)
    with torch.no_grad():
        net[0].weight.add_(1)
    average.update()
    other.update()
    assert not torch.equal(average.values[0], other.values[0])


def test_every_optimizer_says_what_it_knows_and_refuses_the_rest() -> None:
    assert OPTIMIZER_KEYS.keys() == OPTIMIZERS.keys()
    with pytest.raises(StudyError, match=r"recipe\.momentum is nothing that adam has"):
        make_optimizer(network(), Recipe(optimizer="adam", momentum=0.9))
    with pytest.raises(StudyError, match=r"recipe\.betas is nothing that sgd has"):
        make_optimizer(network(), Recipe(optimizer="sgd", betas=(0.9, 0.99)))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"mixup_alpha": 0.2, "class_weights": "balanced"}, "leave one of them out"),
        ({"epochs": 3, "warmup_epochs": 3}, "leaves nothing of 3 epochs"),
        ({"nesterov": True, "momentum": 0.0}, "a kind of momentum"),
        ({"weight_decay": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused(recipe: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recipe(**recipe)


def test_every_key_has_the_value_that_means_as_before() -> None:
    assert Recipe().model_dump(mode="json") == PROTOCOL_DEFAULTS
