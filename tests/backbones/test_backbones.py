"""Backbones: the tutorials' networks, torchvision's, and a user's own only when it is allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import message, small_plan
from torch import nn

from ablate.attention import complete
from ablate.backbones import make_backbone
from ablate.errors import AblateError, OptionError, PlacementError, StudyError
from ablate.measure.architecture import describe
from ablate.model import build
from ablate.study import Variant
from ablate.system.software.imports import ALLOWED, allow_imports

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, classes, *, width=16):
        super().__init__(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, classes))

def broken(classes):
    raise ValueError("no such width")

def number(classes):
    return classes

three = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of the user's in the working directory, and nothing allowed yet."""
    package = tmp_path / "ownnets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(OWN)
    (package / "bad.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "ownnets"]:
        del sys.modules[name]


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_second_tutorials_network_has_79_882_parameters() -> None:
    variant = complete(Variant("se_cnn2", "se", "relu1+relu2", (("reduction", 16),)))
    assert describe(variant, 10, 32).parameters == 79_882


def test_a_network_without_a_classifier_is_not_trained() -> None:
    assert make_backbone("se_cnn", 10)(torch.zeros(1, 3, 32, 48)).shape == (1, 64, 8, 12)
    said = message(
        PlacementError,
        lambda: small_plan(backbone="se_cnn", image_size=32, grid=[{"attention": "none"}]),
    )
    assert said.startswith(
        "se_cnn gives (1, 64, 8, 8) for one image, not a score for each of the 10"
    )


def test_width_multiplies_the_channels() -> None:
    shapes = [tuple(p.shape) for p in make_backbone("cbam_cnn(width=0.5)", 10).parameters()]
    assert (shapes[0], shapes[-2]) == ((16, 3, 3, 3), (10, 256))
    assert count(make_backbone("cbam_cnn(width=1)", 10)) == 1_147_914


@pytest.mark.parametrize("size", [8, 16, 31, 32, 64])
def test_cbam_cnn_takes_images_of_any_size(size: int) -> None:
    """Its last linear layer follows them; what it is for 32 pixels is pinned in tests/study/test_keys.py."""
    grid = [{"attention": "none"}, {"attention": "cbam", "position": "pool*"}]
    plan = small_plan(image_size=size, backbone="cbam_cnn(width=0.5)", grid=grid)
    assert len({cell.run_key for cell in plan.cells}) == len(plan.cells)
    net = build(Variant("cbam_cnn(width=0.5)"), 10, size, seed=1)
    assert net(torch.zeros(2, 3, size, size)).shape == (2, 10)
    assert net.fc1.in_features == 64 * (size // 8) ** 2
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        net(torch.zeros(2, 3, size + 8, size + 8))


def test_cbam_cnn_for_images_that_are_too_large_is_refused() -> None:
    said = message(OptionError, lambda: make_backbone("cbam_cnn(width=2)", 10, 1024))
    assert said.startswith("cbam_cnn: width × image_size must be at most 1024, not 2 × 1024")


def test_torchvisions_networks_have_the_datasets_classes_and_no_second_head() -> None:
    assert count(make_backbone("torchvision:resnet18", 1000)) == 11_689_512
    net = make_backbone("torchvision:googlenet", 7).eval()
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_a_small_stem_keeps_the_image_its_size() -> None:
    net = make_backbone("torchvision:resnet18(stem=small)", 10).eval()
    x = torch.zeros(1, 3, 32, 32)
    assert net.layer1(net.maxpool(net.bn1(net.conv1(x)))).shape == (1, 64, 32, 32)


@pytest.mark.usefixtures("own")
def test_a_users_own_network_is_built_when_it_is_allowed() -> None:
    said = message(StudyError, lambda: make_backbone("ownnets.nets:Net", 10))
    assert said == ("ownnets.nets:Net: a study may not import ownnets; add --allow-import ownnets")
    assert "ownnets" not in sys.modules
    allow_imports(["ownnets"])
    net = make_backbone("ownnets.nets:Net(width=8)", 10)
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ownnets.nets:Nett", "ownnets.nets has no 'Nett' (did you mean 'Net'?)"),
        ("ownnets.nots:Net", "failed: ModuleNotFoundError: No module named 'ownnets.nots'"),
        ("ownnets.bad:Net", "importing ownnets.bad failed: ZeroDivisionError: division by zero"),
        ("ownnets.nets:broken", "building it failed: ValueError: no such width"),
        ("ownnets.nets:number", "gives int, not a torch.nn.Module"),
        ("ownnets.nets:three", "is int, not a class or function"),
        ("ownnets.nets:Net(deep=2)", "takes no 'deep'; it takes width"),
        ("ownnetsandmore:Net", "a study may not import ownnetsandmore"),
    ],
)
def test_an_own_network_that_cannot_be_had(name: str, said: str) -> None:
    allow_imports(["ownnets"])
    assert said in message(AblateError, lambda: make_backbone(name, 10))


def test_what_is_allowed_is_the_name_of_a_package() -> None:
    assert "give the name of a package" in message(StudyError, lambda: allow_imports(["a/b"]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet19", "(did you mean 'torchvision:resnet18'?)"),
        ("torchvision:vgg11(stem=small)", "torchvision:vgg11 has no stem of one convolution"),
        ("torchvision:resnet18(stem=big)", "stem must be one of imagenet, small, not 'big'"),
        ("cbam_cnn(width=0)", "width must be from 1/32 to 32, not 0"),
        ("cbam_cnn(width=wide)", "cbam_cnn: width must be of type float, not 'wide'"),
        ("cbam_cnn(widht=2)", "cbam_cnn takes no 'widht' (did you mean 'width'?)"),
        ("cbam_cnn(2)", "'2' is no option; write option=value"),
        ("cbam_cnn(", "write NAME or NAME(option=value, …)"),
        ("se_cnn2(width=2)", "se_cnn2 takes no 'width'; it takes no options"),
    ],
)
def test_options_that_a_backbone_does_not_have(name: str, said: str) -> None:
    assert said in message(StudyError, lambda: make_backbone(name, 10))
