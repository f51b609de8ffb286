"""Attention that a constant can stand for: where it does, and a network that has it in its weights."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Shell, small_plan
from torch import nn

from ablate.attention import Attention, complete
from ablate.commands.fold import Asked, fold_network
from ablate.datasets.split import hold_out
from ablate.errors import OptionError, StudyError
from ablate.model import build
from ablate.plan import Plan
from ablate.result import Finished, Kept
from ablate.store.writing.store import Store
from ablate.study import Variant
from ablate.system.software.imports import ALLOWED
from ablate.take.absorb import absorb
from ablate.take.constant import (
    Constant,
    Trial,
    change,
    fit_constants,
    in_place,
    try_constants,
)
from ablate.take.write import Network, built, write_network
from ablate.train.weights import weights_to_bytes

SIZE = 32
SEEDS = 2

PLACED: list[tuple[str, str, str, list[tuple[str, ...]]]] = [
    ("cbam_cnn(width=0.25)", "cbam", "pool*", [("bn1",), ("bn2",), ("bn3",)]),
    ("cbam_cnn(width=0.25)", "se", "before:conv2", [("bn1",)]),
    ("cbam_cnn(width=0.25)", "eca", "conv1+relu2", [("conv1",), ("bn2",)]),
    ("torchvision:resnet18(stem=small)", "se", "layer1.0.bn2", [("layer1.0.bn2",)]),
    ("torchvision:resnet18(stem=small)", "se", "layer1", [("layer2.0.conv1", "layer2.0.downsample.0")]),
    ("torchvision:resnet18(stem=small)", "se", "layer1.0", [()]),
    ("torchvision:vgg11", "se", "features.2+features.20", [("features.0",), ("features.18",)]),
    ("torchvision:mobilenet_v3_small", "cbam_channel", "replace:features.4.block.2",
     [("features.4.block.3.0",)]),
]  # fmt: skip
"""Backbone, attention, positions, and the layers that take each constant; none: a convolution is left."""


def drawn(variant: Variant, size: int = SIZE) -> nn.Module:
    """A network whose every weight and statistic is another than at its beginning."""
    net = build(variant, 10, size, 1)
    generator = torch.Generator().manual_seed(3)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand(value.shape, generator=generator))
    return net.eval()


def shown(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("backbone", "attention", "position", "into"),
    [p if "cbam_cnn" in p[0] else pytest.param(*p, marks=pytest.mark.slow) for p in PLACED],
)
def test_a_network_with_constants_in_its_weights_computes_what_it_computed_with_them(
    backbone: str, attention: str, position: str, into: list[tuple[str, ...]]
) -> None:
    net = drawn(
        complete(Variant(backbone, attention, position, (("reduction", 2),)[: attention != "eca"]))
    )
    constants = fit_constants(net, iter([shown()]))
    assert [len(each.scale) > 0 for each in constants] == [True] * len(into)
    with torch.inference_mode():
        before = net(shown())
        with in_place(net, constants):
            expected = net(shown())
        assert torch.equal(net(shown()), before), "nothing stays behind"
    found = absorb(net, constants, "it")
    assert [each.into for each in found] == into
    assert not any(isinstance(module, Attention) for module in net.modules())
    with torch.inference_mode():
        torch.testing.assert_close(net(shown()), expected, rtol=1e-4, atol=1e-4)
    plain = build(complete(Variant(backbone)), 10, SIZE, 1)
    if () not in into and not position.startswith("replace:"):
        assert list(net.state_dict()) == list(plain.state_dict()), "nothing is left of attention"


def test_what_is_left_of_several_kinds_is_written_down() -> None:
    """A convolution that holds a constant stands where attention stood, which is not built for it."""
    variant = complete(
        Variant("cbam_cnn(width=0.25)", "se+eca", "pool3+relu1", (("reduction", 2),))
    )
    net = drawn(variant)
    constants = [each for each in fit_constants(net, iter([shown()])) if "relu1" in each.path]
    negative = [replace(each, scale=-each.scale) for each in constants]
    assert [each.into for each in absorb(net, negative, "it")] == [()]
    made = Network(variant, net, tuple("abcdefghij"), SIZE, (0.5,) * 3, (0.2,) * 3, "Folded.")
    written = write_network(made, "net.safetensors")
    assert "ECA(" not in written.source
    assert "SE(32, reduction=2)" in written.source
    with torch.inference_mode():
        assert torch.equal(built(written)(shown()), net(shown()))


def test_a_factor_below_zero_does_not_go_through_a_relu(
    own_module: Callable[[str, str], None],
) -> None:
    """And a maximum is another one then."""
    own_module("turned", f"import torch\nfrom torch import nn\n{SOURCE}")
    net = drawn(complete(Variant("cbam_cnn(width=0.25)", "turned:Turned", "relu1+bn2+pool3")))
    constants = fit_constants(net, iter([shown()]))
    assert min(float(each.scale.min()) for each in constants) < 0
    with torch.inference_mode(), in_place(net, constants):
        expected = net(shown())
    found = absorb(net, constants, "it")
    assert [each.into for each in found] == [(), ("bn2",), ("fc1",)]
    with torch.inference_mode():
        torch.testing.assert_close(net(shown()), expected, rtol=1e-4, atol=1e-4)


SOURCE = """
class Turned(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.factor = nn.Parameter(torch.linspace(-1, 1, channels))

    def forward(self, x):
        return x * self.factor[:, None, None]
"""


def test_the_constant_is_the_least_squares_solution_and_varies_by_what_images_do() -> None:
    net = nn.Sequential(Halves())
    images = torch.cat([torch.full((1, 2, 2, 2), 1.0), torch.full((1, 2, 2, 2), 3.0)])
    [constant] = fit_constants(net, iter([images[:1], images[1:]]))
    # Factors 1 and 3 of values 1 and 3: (1·1·1 + 3·3·3) / (1 + 9).
    assert constant.scale.tolist() == pytest.approx([2.8, 2.8])
    assert constant.varies == pytest.approx(1.0)
    dark = torch.zeros(2, 2, 2, 2)
    [constant] = fit_constants(net, iter([dark]))
    assert (constant.scale.tolist(), constant.varies) == ([1.0, 1.0], 0.0)


class Halves(Attention):
    """Every image times its own mean."""

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.mean(dim=(1, 2, 3), keepdim=True)

    @staticmethod
    def parameter_count(channels: int, **_options: int) -> int:
        return 0 * channels


def test_a_change_of_accuracy_has_an_interval_also_where_no_answer_changes() -> None:
    before = np.array([True] * 80 + [False] * 20)
    same = change(before, before)
    assert (same.difference, same.wrong, same.right) == (0.0, 0, 0)
    assert same.high == -same.low == pytest.approx(1.959964 / 102)
    after = before.copy()
    after[:3], after[-1:] = False, True
    found = change(before, after)
    assert (found.difference, found.wrong, found.right) == (-0.02, 3, 1)
    assert found.low < -0.02 < found.high


def answering(harm: dict[str, int], held: list[str]) -> Callable[[], np.ndarray]:
    def answers() -> np.ndarray:
        right = np.ones(1000, dtype=bool)
        right[: sum(harm[path] for path in held)] = False
        return right

    return answers


def test_of_places_that_would_not_do_together_the_worst_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[str] = []

    class Holding:
        def __init__(self, _net: nn.Module, constants: list[Constant]) -> None:
            self._paths = [each.path for each in constants]

        def __enter__(self) -> None:
            held.extend(self._paths)

        def __exit__(self, *_error: object) -> None:
            held.clear()

    monkeypatch.setattr("ablate.take.constant.in_place", Holding)
    constants = [Constant(path, torch.ones(1), 0.0) for path in "abc"]

    def chosen(**harm: int) -> Trial | None:
        return try_constants(
            nn.Identity(), constants, answering(harm, held), 0.02, lambda _n, _of: None
        )[1]

    assert chosen(a=1, b=2, c=3) == Trial(("a", "b", "c"), chosen(a=1, b=2, c=3).change)  # type: ignore[union-attr]
    found = chosen(a=5, b=9, c=100)
    assert found is not None
    assert found.paths == ("a",), "a and b together lose 14 of 1,000, which may be 22"
    assert chosen(a=100, b=100, c=100) is None


# ── the command ───────────────────────────────────────────────────────────────────────────────────


GRID = [
    {"attention": "none"},
    {"attention": "cbam", "position": "pool*", "reduction": 4, "start": "identity"},
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(
        backbone="cbam_cnn(width=0.25)",
        seeds=SEEDS,
        grid=GRID,
        recipe={"epochs": 1},
        image_size=SIZE,
    )


@pytest.fixture
def url(plan: Plan, tmp_path: Path) -> str:
    return stored(plan, tmp_path)


def stored(plan: Plan, folder: Path) -> str:
    """A database with weights of every run, as they were before training."""
    url = f"sqlite:///{folder}/results.db"
    store = Store(url)
    store.register(plan)
    for cell in plan.cells:
        [claim] = store.claim_cohort([str(cell.run_key)], 1, lambda _: 0)
        net = build(cell.variant, 10, SIZE, cell.seed)
        kept = Kept(weights_to_bytes(net), None)
        store.finish(claim, Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "m", "fp32", kept), {})
    store.close()
    return url


def asked(plan: Plan, url: str, out: Path, variant: str = "cbam", **more: Any) -> Asked:
    return Asked(variant, plan.study, url, out, **{"margin": 0.05, "device": "cpu", **more})


def loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_folded_network_is_written_as_one_without_attention(
    plan: Plan, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It began as the identity, and was not trained: its constants are 1."""
    fold_network(asked(plan, url, tmp_path / "out" / "net", seed=1))
    told = " ".join(capsys.readouterr().out.split())
    for place, layer in (("pool1", "bn1"), ("pool2", "bn2"), ("pool3", "bn3")):
        assert f"{place}: its constant is in the weights of {layer}" in told
    assert "pool1, pool2, pool3 together: changes accuracy by 0.00 points" in told
    assert "0 images right before and wrong now, 0 the other way round" in told
    taken = loaded(tmp_path / "out" / "net.py")
    assert "CBAM" not in (tmp_path / "out" / "net.py").read_text()
    assert "Folded: cbam(pool*, r=4, k=7" in " ".join(taken.__doc__.split())
    images = torch.from_numpy(plan.dataset.load().test_images[:8]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = taken.build(tmp_path / "out" / "net.safetensors")(taken.normalise(images))
        expected = build(plan.cells[1].variant, 10, SIZE, 1).eval()(taken.normalise(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_what_cannot_be_folded_is_one_line_and_nothing_is_written(
    plan: Plan, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net"
    with pytest.raises(OptionError, match="none has no attention that could be folded"):
        fold_network(asked(plan, url, out, "none"))
    images = plan.dataset.load()
    few = len(hold_out(images.train_labels, 0.1)[1])
    with pytest.raises(
        OptionError, match=rf"^{few} validation images cannot show .* --margin 0\.01"
    ):
        fold_network(asked(plan, url, out, margin=0.001))
    assert not list(tmp_path.glob("net*"))
    capsys.readouterr()


def test_without_validation_images_nothing_is_decided(tmp_path: Path) -> None:
    plan = small_plan(
        backbone="cbam_cnn(width=0.25)", seeds=1, grid=GRID, image_size=SIZE,
        recipe={"epochs": 1, "split": "tutorial"},
    )  # fmt: skip
    with pytest.raises(StudyError, match="validation images to decide by"):
        fold_network(asked(plan, stored(plan, tmp_path), tmp_path / "net"))


LOOKING = """
from torch import nn

class Looking(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.sharp = nn.Parameter(__import__("torch").tensor(50.0))

    def forward(self, x):
        means = x.mean((2, 3), keepdim=True)
        return x * ((means - means.mean(1, keepdim=True)) * self.sharp).sigmoid()
"""
STUDY = """
name = "looks"
question = "Does it look at the image?"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
baseline = "none"
seeds = 1

[recipe]
epochs = 8
batch_size = 32
augment = []

[[grid]]
attention = "none"

[[grid]]
attention = ["se", "looks:Looking"]
position = "pool2"
"""


@pytest.mark.slow
def test_attention_that_looks_at_the_image_stays_and_other_goes(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained networks: a module that opens and shuts channels by what is in the image, and SE."""
    (shell.folder / "looks.py").write_text(LOOKING)
    (shell.folder / "looks.toml").write_text(STUDY)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    try:
        code, _, errors = shell(
            "run", "looks.toml", "--allow-import", "looks", "--device", "cpu", "--executor", "inprocess",
            "--no-measure", "--keep", "all",
        )  # fmt: skip
        assert code == 0, errors
        how = ("--study", "looks.toml", "--margin", "0.03", "--device", "cpu")
        code, told, errors = shell("fold", "looks:Looking(pool2)", *how, "--out", "looking")
        assert (code, errors) == (0, "")
        assert ": not shown that it would do" in told
        assert "at no place is it shown that a constant would do: nothing is written" in told
        assert not list(shell.folder.glob("looking*"))
        code, told, _ = shell("fold", "se", *how, "--out", "se")
        assert code == 0
        assert "pool2: its constant is in the weights of bn2" in told
        assert "SE(" not in (shell.folder / "se.py").read_text()
    finally:
        sys.modules.pop("looks", None)


def test_the_command_says_what_it_is_of(shell: Shell) -> None:
    code, _, errors = shell("fold", "none", "--study", "absent.toml", "--out", "net")
    assert code == 2
    assert "absent.toml" in errors
    code, _, errors = shell("fold", "none", "--study", "absent.toml", "--out", "n", "--margin", "3")
    assert code == 2
    assert "--margin 3: is a fraction" in errors
