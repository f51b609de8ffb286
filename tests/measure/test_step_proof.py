"""A training step before anything is planned: what would fail in training fails here, in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Shell, message, small_plan

from ablate.attention import ATTENTION, complete
from ablate.drive import proof, together
from ablate.drive.proof import prove_plan
from ablate.drive.proven import trained_images
from ablate.errors import PlacementError
from ablate.measure.step_guards import StepAsked
from ablate.measure.step_proof import prove_step
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import find_machine
from ablate.system.software.imports import allow_imports
from ablate.train.batch_sizes import all_batch_sizes, batch_sizes_of

NETS = """
import random
import torch
from torch import nn
from torch.nn import functional as F


class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, classes)

    def features(self, x):
        return self.conv2(F.relu(self.conv1(x)))

    def forward(self, x):
        return self.fc(F.relu(self.features(x)).mean((2, 3)))


class View(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.fc = nn.Linear(8 * 4 * 4, classes)

    def forward(self, x):
        maps = F.adaptive_avg_pool2d(self.features(x), 4)
        return self.fc(maps.view(maps.size(0), -1))


class Two(Plain):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class InPlace(Plain):
    def forward(self, x):
        maps = torch.sigmoid(self.features(x))
        loss_needs_it = maps * maps
        maps.add_(1)
        return self.fc(loss_needs_it.mean((2, 3)))


class Norm1d(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.fc(self.norm(self.features(x).mean((2, 3))))


class NoGrad(Plain):
    def forward(self, x):
        with torch.no_grad():
            maps = self.features(x)
        return self.fc(maps.mean((2, 3)))


class Unused(Plain):
    def forward(self, x):
        first = F.relu(self.conv1(x))
        self.conv2(first)
        return self.fc(first.mean((2, 3)))


class Hooked(Plain):
    '''Takes its map by a hook of its own, which runs before attention does.'''

    def __init__(self, classes):
        super().__init__(classes)
        self.conv2.register_forward_hook(self.take)

    def take(self, _module, _inputs, output):
        self.taken = output

    def forward(self, x):
        self.features(x)
        return self.fc(self.taken.mean((2, 3)))


class OnlyInTraining(Plain):
    def forward(self, x):
        maps = self.features(x)
        return self.fc((maps if self.training else self.conv1(x)).mean((2, 3)))


class NoGradInEvaluation(Plain):
    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)


class Detached(Plain):
    def forward(self, x):
        maps = self.features(x)
        return self.fc((maps.detach() + self.conv1(x)).mean((2, 3)))


class ZeroHead(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        nn.init.zeros_(self.fc.weight)


class ReZero(Plain):
    # a residual branch whose factor begins at zero
    def __init__(self, classes):
        super().__init__(classes)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = self.conv1(x)
        return self.fc((x + self.alpha * self.conv2(x)).mean((2, 3)))


class Zeroed(Plain):
    # the same, and nothing ever changes the factor
    def forward(self, x):
        x = self.conv1(x)
        return self.fc((x + 0 * self.conv2(x)).mean((2, 3)))


class Inference(Plain):
    def forward(self, x):
        with torch.inference_mode():
            maps = self.features(x).mean((2, 3))
        return self.fc(maps.clone())


class Dropped(Plain):
    def forward(self, x):
        maps = torch.relu(self.conv1(x))
        more = self.conv2(maps) if not self.training or torch.rand(()) < 0.4 else 0
        return self.fc((maps + more).mean((2, 3)))


class Volume(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.volume = nn.Conv3d(1, 2, 3, padding=1)
    def features(self, x):
        return self.volume(super().features(x)[:, None]).mean(1)


class Shifts(Plain):
    def forward(self, x):
        return super().forward(x.sub_(0.5))


class Remembers(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.register_buffer("mean", torch.zeros(8))
    def features(self, x):
        maps = super().features(x)
        self.mean.mul_(0.9).add_(0.1 * maps.mean((0, 2, 3)))
        return maps + self.mean[:, None, None]


class Picky(Plain):
    def __init__(self, classes, bad=0):
        super().__init__(classes)
        self.bad = bad

    def forward(self, x):
        if len(x) == self.bad and self.training:
            raise ValueError(f"no batch of {self.bad}")
        return super().forward(x)


class Counted(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.blocks = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())
    def features(self, x):
        return self.blocks(super().features(x)) / len(self.blocks)


class Walks(Plain):
    def features(self, x):
        return super().features(x) * len(list(self.conv2.parameters()))


class Restless(Plain):
    def features(self, x):
        return super().features(x) * random.SystemRandom().random()


class Late(Plain):
    def features(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Conv2d(8, 8, 1)
        return self.late(super().features(x))


class Pointwise(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.conv1 = nn.Conv2d(3, 8, 1, stride=2)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "provennets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    allow_imports(["provennets"])
    yield
    sys.modules.pop("provennets", None)
    allow_imports([])


def asked(
    name: str, attention: str = "none", sizes: tuple[int, ...] = (4,), precision: str = "amp"
) -> StepAsked:
    backbone = name if ":" in name or "_" in name else f"provennets:{name}"
    variant = Variant(backbone)
    if attention != "none":
        variant = complete(Variant(backbone, attention, "conv2", (("reduction", 2),)))
    recipe = Recipe(precision=precision)  # type: ignore[arg-type]
    return StepAsked(variant, 10, 32, sizes, recipe, find_machine("cpu", precision))


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    "name", ["Plain", "Hooked", "NoGradInEvaluation", "ZeroHead", "ReZero", "Dropped"]
)
@pytest.mark.parametrize("attention", ["none", "se"])
def test_a_network_that_can_be_trained_is_proven(name: str, attention: str) -> None:
    """Also one that takes its features by a hook of its own, which sees what attention gives; one whose
    evaluation has no gradients, where attention is disturbed; and those whose weights let nothing through
    before the first step."""
    state = torch.get_rng_state()
    prove_step(asked(name, attention, sizes=(4, 1)))
    prove_step(asked(name, attention))
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn from others' stream"


@pytest.mark.parametrize("name", ATTENTION)
def test_every_attention_is_proven_at_every_place(name: str) -> None:
    variant = complete(Variant("cbam_cnn(width=0.5)", name, "pool*"))
    machine = find_machine("cpu", "amp")
    prove_step(StepAsked(variant, 10, 32, (4,), Recipe(), machine))


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("View", (4,), "write .reshape instead of .view"),
        ("Two", (4,), "in training it gives several outputs"),
        ("InPlace", (4,), "an in-place operation changes what the backward needs"),
        ("Remembers", (4,), "must be detached"),
        ("Shifts", (4,), "its forward changes the images that it is given"),
        ("Late", (4,), "a forward makes or replaces its 'late.weight'"),
        ("Norm1d", (4, 1), "a training step on 1 image fails"),
        ("Pointwise", (4,), "'conv1' is a 1×1 convolution with stride (2, 2) of 3 channels"),
    ],
)
def test_what_fails_in_training_is_one_line_with_advice(
    name: str, sizes: tuple[int, ...], said: str
) -> None:
    line = message(PlacementError, lambda: prove_step(asked(name, sizes=sizes)))
    assert said in line
    assert line.startswith(f"provennets:{name} with none: ")


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("name", ["View", "Pointwise"])
def test_what_only_channels_last_breaks_is_fine_in_fp32(name: str) -> None:
    prove_step(asked(name, precision="fp32"))


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoGrad", "no gradient comes back to it"),
        ("Unused", "no gradient comes back to it"),
        ("Detached", "no gradient comes back to it"),
        ("Zeroed", "no gradient comes back to it"),
        ("Inference", "is it under torch.no_grad() or inference_mode()"),
        ("OnlyInTraining", "in evaluation the logits are the same whatever it gives"),
    ],
)
def test_attention_that_does_not_act_is_refused(name: str, said: str) -> None:
    prove_step(asked(name))
    line = message(PlacementError, lambda: prove_step(asked(name, "se")))
    assert f"provennets:{name} with se(conv2, r=2): attention after 'conv2' does not reach" in line
    assert said in line


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(("name", "place"), [("Counted", "blocks"), ("Walks", "conv2")])
def test_attention_that_changes_more_than_its_map_is_refused(name: str, place: str) -> None:
    def at(path: str) -> StepAsked:
        variant = Variant(f"provennets:{name}", "se", path, (("reduction", 2),))
        return replace(asked(name), variant=complete(variant))

    prove_step(at("conv1"))
    line = message(PlacementError, lambda: prove_step(at(place)))
    assert f"attention after '{place}' changes more than what it reweights" in line


@pytest.mark.usefixtures("nets")
def test_of_a_network_that_does_not_repeat_nobody_knows_what_attention_changes() -> None:
    prove_step(asked("Restless", "se"))


def test_an_attention_parameter_without_a_gradient_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Idle(ATTENTION["se"]):  # type: ignore[misc]
        def __init__(self, channels: int, *, reduction: int = 16) -> None:
            super().__init__(channels, reduction=reduction)
            self.idle = torch.nn.Parameter(torch.ones(1))

        def plain(self, x: torch.Tensor) -> torch.Tensor:
            return super().plain(x) + 0 * self.idle * x

    monkeypatch.setitem(ATTENTION, "se", Idle)
    variant = complete(Variant("cbam_cnn(width=0.5)", "se", "pool1"))
    machine = find_machine("cpu", "amp")
    line = message(
        PlacementError, lambda: prove_step(StepAsked(variant, 10, 32, (4,), Recipe(), machine))
    )
    assert "attention after 'pool1' cannot be trained: its 'idle' gets no gradient" in line


def test_the_last_batch_is_proven_with_its_own_size() -> None:
    recipe = Recipe(batch_size=7)
    assert batch_sizes_of(16, recipe, 32) == (7, 2)
    assert batch_sizes_of(15, recipe, 32) == (7,), "one image alone is left out"
    assert batch_sizes_of(15, Recipe(batch_size=7, accumulate=2), 32) == (14,)
    assert batch_sizes_of(14, recipe, 32) == (7,)
    assert batch_sizes_of(5, recipe, 32) == (5,)
    assert batch_sizes_of(None, recipe, 32) == (7,)
    assert batch_sizes_of(100_002, Recipe(batch_size=1000), 224) == (4, 2), "less work, same faults"


def test_folds_are_proven_with_every_size_of_batch_that_one_of_them_has() -> None:
    recipe = Recipe(batch_size=7)
    assert all_batch_sizes((16, 17, 16), recipe, 32) == (7, 3, 2)
    assert all_batch_sizes((5, 6), recipe, 32) == (6, 5)
    assert all_batch_sizes((), recipe, 32) == (7,)
    plan = small_plan(data={"folds": 5})
    assert trained_images(plan, plan.dataset.train_labels()) == (1294, 1295, 1296)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("bad", [14, 15, 16, 17])
def test_a_network_that_fails_on_the_last_batch_of_any_fold_is_refused(bad: int) -> None:
    """Of batches of 64 they have 14, 15 and 16 images."""
    changes = {"data": {"folds": 5}, "recipe": {"batch_size": 64}, "image_size": 16}
    plan = small_plan(
        backbone=f"provennets:Picky(bad={bad})", grid=[{"attention": "none"}], **changes
    )
    images = trained_images(plan, plan.dataset.train_labels())
    machine = find_machine("cpu", "fp32")

    def prove() -> None:
        prove_plan(plan, machine, images, lambda _done, _of: None)

    if bad == 17:
        prove()
    else:
        assert f"no batch of {bad}" in message(PlacementError, prove)


def test_a_plan_proves_each_structure_once_and_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool3", "reduction": [4, 8]}]
    plan = small_plan(grid=grid)
    proven: list[str] = []
    monkeypatch.setattr(proof, "prove_step", lambda asked: proven.append(asked.variant.name))
    images = trained_images(plan, plan.dataset.train_labels())
    assert images == (len(plan.dataset.load().train_labels) - 143,)
    machine = find_machine("cpu", plan.study.recipe.precision)
    for _ in range(2):
        prove_plan(plan, machine, images, lambda _done, _of: None)
    assert proven == ["none", "se(pool3, r=4)"], "another reduction is the same structure"


def test_places_of_a_kind_are_proven_in_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [
        {"attention": "none"},
        {"attention": ["se", "eca"], "position": ["pool1", "pool2+pool3", "pool*"]},
    ]
    plan = small_plan(backbone="cbam_cnn(width=0.5)", grid=grid)
    proven: list[Variant] = []
    monkeypatch.setattr(proof, "prove_step", lambda asked: proven.append(asked.variant))
    for _ in range(2):
        prove_plan(plan, find_machine("cpu", "fp32"), (1000,), lambda _done, _of: None)
    assert [(v.attention, v.position) for v in proven] == [
        ("none", None),
        ("se", "pool1+pool2+pool3+pool*"),
        ("eca", "pool1+pool2+pool3+pool*"),
    ]


@pytest.mark.usefixtures("nets")
def test_of_places_that_fail_together_the_one_that_fails_is_named() -> None:
    grid = [
        {"attention": "none"},
        {"attention": "identity", "position": ["conv1", "conv2"]},
        {"attention": "se", "position": ["conv1", "conv2"], "reduction": 2},
    ]
    plan = small_plan(backbone="provennets:Unused", grid=grid)
    said = message(
        PlacementError,
        lambda: prove_plan(plan, find_machine("cpu", "fp32"), (1000,), lambda _done, _of: None),
    )
    assert "with identity(conv2): attention after 'conv2' does not reach the loss" in said


def test_what_stands_within_another_place_is_proven_by_itself() -> None:
    """Where one module gives on what another gave, only the outer attention is followed by what is next."""
    names = ["layer1", "layer1.0", "layer2.0.bn1", "replace:layer3.0.conv2", "layer2.0.bn2"]
    backbone = "torchvision:resnet18"
    variants = [(complete(Variant(backbone, "eca", name)), name) for name in names]
    groups = together.group(together.structures_of(variants, 10, 32))
    assert [[each.fingerprint for each in found] for found in groups] == [
        ["layer1", "layer2.0.bn1", "layer2.0.bn2"],
        ["layer1.0"],
        ["replace:layer3.0.conv2"],
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("nets")
def test_a_plan_refuses_it_unless_told_not_to_look(shell: Shell) -> None:
    (shell.folder / "provennets.py").write_text(NETS)
    study = 'name = "own"\ndataset = "digits"\nbackbone = "provennets:View"\n[[grid]]\nattention = "none"\n'
    Path("own.toml").write_text(study)
    options = ("own.toml", "--allow-import", "provennets")
    code, _, err = shell("plan", *options)
    assert code == 2
    assert "write .reshape instead of .view" in err
    code, out, _ = shell("plan", *options, "--no-probe")
    assert (code, "1 variant, 5 cells" in out) == (0, True)
    code, _, _ = shell("plan", *options, "--set", "recipe.precision=fp32")
    assert code == 0
