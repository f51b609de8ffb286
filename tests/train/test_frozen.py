"""Which parts of a network a recipe trains, and how fast: rates by glob, what is frozen, phases."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_events, small_plan
from pydantic import ValidationError
from support.graphs import CPU, Repeater, data, numbers, same, states, train
from torch import nn, optim
from torch.nn import functional as F

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.errors import StudyError
from ablate.job import Cohort, Run
from ablate.model import build
from ablate.result import Checkpoint, Epoch, Finished
from ablate.study import Recipe, Variant
from ablate.study.file import load_study
from ablate.study.trained import Weights, frozen_paths, rate_of
from ablate.system.hardware.machine import find_machine
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Member, step_eagerly
from ablate.train.data import Data
from ablate.train.graphs import Graphs
from ablate.train.step import Trainer, make_trainer

__all__ = ["data"]  # a fixture
FP32 = find_machine("cpu", "fp32").precision
SE = complete(Variant("cbam_cnn(width=0.25)", "se", "pool1", (("reduction", 4),)))
RATES = {"conv1": 0.5, "fc*": 0.1, "fc2": 2.0}


def trainer(seed: int = 3, **recipe: Any) -> Trainer:
    return make_trainer(build(SE, 10, 16, seed), Recipe(**recipe), CPU, FP32)


def steps(made: Trainer, epoch: int, number: int = 3) -> None:
    made.begin(epoch)
    for step in range(number):
        made.prepare(1e-2, 10 * epoch + step)
        made.step(batch(step))


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    return images, torch.randint(0, 10, (8,), generator=generator)


def moved(made: Trainer, before: dict[str, torch.Tensor]) -> set[str]:
    """The outermost modules of which a parameter or statistic has changed; attention by its own name."""
    after = made.net.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    return {"attention" if ".attention." in name else name.partition(".")[0] for name in changed}


def copy_of(made: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.net.state_dict().items()}


def test_rates_are_those_of_groups_of_torchs_own_optimizer() -> None:
    made = trainer(optimizer="sgd", momentum=0.8, rates=RATES, attention_rate=4.0)
    other = build(SE, 10, 16, 3)

    def factor(name: str) -> float:
        if ".attention." in name:
            return 4.0
        return {"conv1": 0.5, "fc1": 0.1, "fc2": 2.0}.get(name.partition(".")[0], 1.0)

    named = other.named_parameters()
    groups = [{"params": [p], "lr": 1e-2 * factor(name)} for name, p in named]
    peer = optim.SGD(groups, 1e-2, 0.8, nesterov=True)
    made.begin(1)
    other.train()
    for step in range(5):
        made.prepare(1e-2, step)
        made.step(batch(step))
        images, labels = batch(step)
        torch.manual_seed(0)
        made.draw_from(step)
        peer.zero_grad()
        F.cross_entropy(other(images), labels).backward()
        peer.step()
    for mine, theirs in zip(made.net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_the_innermost_module_that_a_glob_names_has_the_say() -> None:
    rates = {"layer*": 0.1, "layer2": 0.2, "layer2.0.conv1": 0.3}
    found = [rate_of(path, rates) for path in ("layer1.0", "layer2.1", "layer2.0.conv1", "fc")]
    assert found == [0.1, 0.2, 0.3, 1.0]


def test_a_path_without_quotes_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    head = (
        'name = "mine"\ndataset = "digits"\nbackbone = "cbam_cnn"\n[[grid]]\nattention = "none"\n'
    )
    file.write_text(head + '[recipe.rates]\nlayer1.0.conv1 = 0.1\nlayer1.1 = 0.2\n"fc*" = 0.5\n')
    assert load_study(file).recipe.rates == {"layer1.0.conv1": 0.1, "layer1.1": 0.2, "fc*": 0.5}
    with pytest.raises(StudyError, match=r"recipe\.rates\.layer1: input should be a valid number"):
        load_study(file, ["recipe.rates={layer1={}}"])


def test_a_recipe_without_rates_has_the_groups_of_before() -> None:
    groups = trainer(optimizer="sgd").optimizer.param_groups
    assert len(groups) == 1
    assert "rate_factor" not in groups[0]


def test_what_is_frozen_keeps_weights_and_statistics_and_its_attention_is_trained() -> None:
    made = trainer(freeze=["conv1", "bn1", "pool1"], optimizer="adamw")
    before = copy_of(made)
    steps(made, 1)
    names = {name.partition(".")[0] for name in before} - {"conv1", "bn1", "pool1"}
    assert moved(made, before) == names | {"attention"}
    assert not made.net.get_submodule("bn1").training
    assert made.net.get_submodule("bn2").training


def test_the_backbone_is_all_but_attention_and_the_last_layer() -> None:
    made = trainer(phases=[{"epochs": 1, "freeze": "backbone"}, {"epochs": 1}])
    before = copy_of(made)
    steps(made, 1)
    assert moved(made, before) == {"attention", "fc2"}
    steps(made, 2)
    assert moved(made, before) >= {"attention", "fc1", "fc2", "conv1", "bn1"}
    assert made.net.get_submodule("bn1").training


def test_a_module_called_backbone_is_meant_by_that_word() -> None:
    modules = [Weights(path, attention=False) for path in ("backbone.a", "neck", "head")]
    assert frozen_paths(modules, ["backbone"]) == {"backbone.a"}
    assert frozen_paths(modules[1:], ["backbone"]) == {"neck"}


def test_norms_without_weights_are_frozen_by_their_paths() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten())
    net.append(nn.LazyLinear(10))
    net(torch.zeros(2, 3, 16, 16))
    made = make_trainer(net, Recipe(freeze=["0", "1"]), CPU, FP32)
    before = copy_of(made)
    steps(made, 1)
    assert moved(made, before) == {"3"}


def test_a_module_called_backbone_takes_no_other_norm_with_it() -> None:
    """Norms without weights outside of it go on learning their statistics."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False))
    neck = nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    parts = [("backbone", backbone), ("neck", neck), ("head", nn.Linear(4, 10))]
    made = make_trainer(nn.Sequential(OrderedDict(parts)), Recipe(freeze="backbone"), CPU, FP32)
    before = copy_of(made)
    steps(made, 1)
    assert moved(made, before) == {"neck", "head"}


PHASED: dict[str, Any] = {
    "optimizer": "sgd", "schedule": "cosine", "augment": (), "rates": RATES, "attention_rate": 3.0,
    "phases": [{"epochs": 1, "freeze": "backbone"}, {"epochs": 2, "freeze": ["conv1"]}],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
@pytest.mark.parametrize("rates", [RATES, {}])
@pytest.mark.parametrize("stopped", [1, 2])
def test_a_run_of_phases_goes_on_to_the_byte(
    optimizer: str, rates: dict[str, float], stopped: int
) -> None:
    recipe = {**PHASED, "optimizer": optimizer, "rates": rates, "ema_decay": 0.9, "clip_norm": 1.0}
    whole = trainer(**recipe)
    for epoch in range(1, stopped + 1):
        steps(whole, epoch)
    again = unpack(pack(Member(whole), {}), trainer(seed=5, **recipe), {})
    assert isinstance(again, Member)
    for made in (whole, again.trainer):
        for epoch in range(stopped + 1, 4):
            steps(made, epoch)
        made.settle()
    assert all(
        torch.equal(a, b) for a, b in zip(*map(tensors, (whole, again.trainer)), strict=True)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
def test_neither_decay_nor_an_average_moves_what_is_frozen(optimizer: str) -> None:
    """Of a part that is frozen from the beginning, and of one that is frozen after it was trained."""
    phases = [{"epochs": 1}, {"epochs": 1, "freeze": "conv2"}]
    made = trainer(
        optimizer=optimizer, weight_decay=0.5, ema_decay=0.5, freeze=["conv1", "bn1"], phases=phases
    )
    before = copy_of(made)
    steps(made, 1)
    between = copy_of(made)
    steps(made, 2)
    assert "conv2" not in moved(made, between)
    assert "conv2" in moved(made, before)
    made.settle()
    assert {"conv1", "bn1"}.isdisjoint(moved(made, before))


def tensors(made: Trainer) -> list[torch.Tensor]:
    return list(made.net.state_dict().values())


@pytest.mark.slow
def test_a_recorded_step_has_the_rates_and_phases_of_the_eager_one(data: Data) -> None:
    recipe = Recipe(**PHASED)
    eager, recorded = (
        [Member(made) for made in (trainer(**PHASED), trainer(7, **PHASED))] for _ in range(2)
    )
    for member in (*eager, *recorded):
        for group in member.trainer.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])  # as on a GPU
    graphs = Graphs(Repeater)
    assert numbers(train(recorded, data, recipe, graphs)) == numbers(
        train(eager, data, recipe, step_eagerly)
    )
    assert graphs.trouble is None
    assert same(states(recorded), states(eager))


TOGETHER: dict[str, Any] = {
    "optimizer": "muon", "no_decay_on": "norm_and_bias", "weight_decay": 0.05, "accumulate": 2,
    "ema_decay": 0.9, "clip_norm": 1.0, "warmup_epochs": 1.5, "schedule": "cosine", "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0, "label_smoothing": 0.1, "rates": {"fc*": 0.5}, "attention_rate": 2.0,
    "augment": ["flip", "erase"], "normalize": "imagenet",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, TOGETHER], ids=["phases", "everything"])
def test_a_run_of_phases_that_is_stopped_ends_as_in_peace(more: dict[str, Any]) -> None:
    """From the checkpoint after each epoch, also the one between two phases."""
    recipe = Recipe(**{**PHASED, "batch_size": 256, "precision": "fp32", **more})
    run = Run("key", SE, keep=True, look=False)
    cohort = Cohort(
        (run,), 1, recipe, open_dataset("digits", None, 16), "cpu", checkpoint_seconds=0
    )
    events = [event for _, event in run_events(cohort)]
    checkpoints = [event for event in events if isinstance(event, Checkpoint)]
    assert [each.epoch for each in checkpoints] == [1, 2]
    for each in checkpoints:
        resumed = replace(cohort, runs=(replace(run, start=each.content),))
        again = [event for _, event in run_events(resumed)]
        assert kept(again) == kept(events)
        assert sum(isinstance(event, Epoch) for event in again) == 3 - each.epoch


def kept(events: list[Any]) -> bytes | None:
    [result] = [event for event in events if isinstance(event, Finished)]
    assert result.kept is not None
    return result.kept.weights


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"rates": {"layer9": 0.1}}, "'layer9' names nothing of cbam_cnn"),
        ({"freeze": ["convv1"]}, r"'convv1' names nothing .*did you mean 'conv1'"),
        ({"phases": [{"epochs": 1, "freeze": "nix"}, {"epochs": 1}]}, "'nix' names nothing"),
        ({"rates": {"conv1": 0.1}, "freeze": ["conv*"]}, "'conv1' names what is frozen"),
        ({"freeze": ["*"]}, "nothing is trained"),
    ],
)
def test_globs_that_cannot_be_meant_are_told_when_planning(
    recipe: dict[str, Any], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        small_plan(recipe={"epochs": 2, **recipe})


def test_a_step_is_proved_at_one_rate_as_a_proof_is_remembered() -> None:
    """A rate at which attention loses its gradient would have the network blamed."""
    phases = [{"epochs": 50, "freeze": "conv1"}]
    rated = Recipe(optimizer="sgd", attention_rate=1e6, rates={"conv2": 0.1}, phases=phases)
    assert rated.unfrozen == Recipe(optimizer="sgd")


def test_what_attention_replaces_in_one_variant_is_there_in_another() -> None:
    grid = [{"attention": "none"}, {"attention": "identity", "position": "replace:bn2"}]
    for recipe in ({"freeze": ["bn2"]}, {"rates": {"bn2": 0.1}}):
        assert len(small_plan(grid=grid, recipe=recipe).variants) == 2
    with pytest.raises(StudyError, match="'bn4' names nothing"):
        small_plan(grid=grid, recipe={"freeze": ["bn4"]})


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            {"epochs": 3, "phases": [{"epochs": 1}, {"epochs": 1}]},
            "phases have 2 epochs and epochs = 3",
        ),
        ({"rates": {"conv1": 0}}, "greater than 0"),
        ({"phases": [{"epochs": 0}]}, "greater than or equal to 1"),
        ({"phases": 3}, "valid tuple"),
        ({"phases": "conv1"}, "valid tuple"),
        ({"phases": [3]}, "valid dictionary"),
        ({"attention_rate": -1}, "greater than 0"),
    ],
)
def test_values_that_no_recipe_has(recipe: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recipe(**recipe)


def test_a_plan_says_what_is_frozen() -> None:
    plan = small_plan(recipe={"phases": [{"epochs": 1, "freeze": "backbone"}, {"epochs": 1}]})
    [note] = [
        each for each in plan.notes if "batch norm of frozen parts is in evaluation mode" in each
    ]
    assert "backbone, which is all but fc2, from epoch 1; nothing from epoch 2" in note
    assert plan.study.recipe.epochs == 2
