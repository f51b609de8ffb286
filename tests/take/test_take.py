"""A network that was taken out gives the same logits where there is PyTorch and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import small_plan
from PIL import Image
from safetensors.torch import load, save
from torch import nn

from ablate.attention import ATTENTION, complete
from ablate.commands import take
from ablate.commands.take import Asked, take_network
from ablate.commands.taken import files_of, write_network_files
from ablate.errors import OptionError, OutputError, StudyError, UnknownNameError, WeightsError
from ablate.explain.networks import load_networks
from ablate.model import build
from ablate.pixels.decode import decode_image
from ablate.pixels.geometry import Reading
from ablate.plan import Plan
from ablate.result import Finished, Kept
from ablate.store.writing.store import Store
from ablate.study import DataTable, Variant
from ablate.system.software.imports import ALLOWED
from ablate.take import onnx
from ablate.take.latency import measure_latency
from ablate.take.reading import reading_source
from ablate.take.write import Network, built, write_network
from ablate.train.weights import load_weights, weights_to_bytes

WRITES = """
import sys
from pathlib import Path

import torch

from ablate.attention import complete
from ablate.model import build
from ablate.study import Variant
from ablate.take.write import Network, write_network

variant = complete(Variant("cbam_cnn(width=0.25)", "se", "pool*", (("reduction", 4),)))
network = Network(variant, build(variant, 3, 16, 1), tuple("abc"), 16, (0.5,) * 3, (0.2,) * 3, "")
Path(sys.argv[1]).write_bytes(write_network(network, "net.safetensors").weights)
"""
CLASSES = tuple("abcdefghij")
SIZE = 32
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)

BARE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ablate", "safetensors", "torchvision", "timm", "pydantic"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Nothing())
import importlib.util
from pathlib import Path

import torch

file, weights, images, out = map(Path, sys.argv[1:])
spec = importlib.util.spec_from_file_location("taken", file)
taken = importlib.util.module_from_spec(spec)
spec.loader.exec_module(taken)
with torch.inference_mode():
    logits = taken.build(weights)(taken.normalise(torch.load(images)))
torch.save(logits, out)
"""


def trained(variant: Variant, size: int = SIZE) -> nn.Module:
    """A network whose every weight and statistic is another than at its beginning."""
    net = build(variant, len(CLASSES), size, 1)
    generator = torch.Generator().manual_seed(3)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand(value.shape, generator=generator))
    return net


def network(variant: Variant, size: int = SIZE) -> Network:
    return Network(
        variant, trained(variant, size), CLASSES, size, MEAN, STD, "Its weights are drawn."
    )


def in_a_bare_environment(tmp_path: Path, file: Path, images: torch.Tensor) -> torch.Tensor:
    torch.save(images, tmp_path / "images.pt")
    arguments = [
        file,
        file.with_suffix(".safetensors"),
        tmp_path / "images.pt",
        tmp_path / "out.pt",
    ]
    subprocess.run(
        [sys.executable, "-I", "-c", BARE, *map(str, arguments)], check=True, cwd=tmp_path
    )
    return torch.load(tmp_path / "out.pt")  # type: ignore[no-any-return]


def pixels(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def normalised(images: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    shift, scale = (torch.tensor(each)[:, None, None] for each in (mean, std))
    return (images.float() / 255 - shift) / scale


def options(name: str) -> tuple[tuple[str, Any], ...]:
    given: dict[str, Any] = {}
    if name in ("se", "cbam", "cbam_channel"):
        given["reduction"] = 4
    if name not in ("none", "random_gate", "identity"):
        given["start"] = "identity"
    return tuple(given.items())


@pytest.mark.parametrize("name", ["none", *ATTENTION])
def test_every_attention_is_written_down_with_the_same_logits(name: str) -> None:
    position = None if name == "none" else "pool1+before:conv3"
    variant = complete(Variant("cbam_cnn(width=0.25)", name, position, options(name)))
    made = network(variant)
    written = write_network(made, "net.safetensors")
    images = normalised(pixels(), MEAN, STD)
    with torch.inference_mode():
        assert torch.equal(built(written)(images), made.net(images))
    names = {n for n, _ in made.net.named_parameters()}
    assert {n for n, _ in built(written).named_parameters()} == names
    assert not re.search(r"(from|import) ablate", written.source)


HELPER = """
LIMIT = 6

def squashed(x): return x.clamp(0, LIMIT) / LIMIT
"""
ATTENTION_OF_OURS = """
from __future__ import annotations
import typing
import torch.nn as layers
from torch.nn import functional as F
from ownhelp import squashed as soft, squashed
if typing.TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-3

class Base(layers.Module):
    def __init__(self, channels: int, act: type[layers.Module] = layers.ReLU):
        super().__init__()
        self.fc, self.act = layers.Conv2d(channels, channels, 1), act()

class Alone(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc(x)) + self.act(x) * EPS

class WithHelper(Base):
    def forward(self, x):
        return x * squashed(self.fc(x))

class Renamed(Base):
    def forward(self, x):
        return x * soft(self.fc(x))

class Network(Alone):
    pass

class Late(Base):
    def forward(self, x):
        from ownhelp import squashed
        return x * squashed(self.fc(x))

class WithNumPy(Base):
    def forward(self, x):
        import numpy
        return x * self.fc(x) * float(numpy.float32(0.5))
"""


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("Alone", "PyTorch and nothing else"),
        ("WithHelper", "PyTorch and nothing else"),
        ("Renamed", "PyTorch and owntaken"),
        ("Network", "PyTorch and owntaken"),
        ("Late", "PyTorch and owntaken"),
        ("WithNumPy", "PyTorch and numpy"),
    ],
)
@pytest.mark.slow
def test_attention_of_ones_own_comes_along_or_the_file_says_what_it_imports(
    name: str, needs: str, own_module: Callable[[str, str], None], tmp_path: Path
) -> None:
    """What a file has under another name, or the network's own, means something only where it stands."""
    own_module("ownhelp", HELPER)
    own_module("owntaken", ATTENTION_OF_OURS)
    variant = complete(Variant("cbam_cnn(width=0.25)", f"owntaken:{name}", "pool1+before:conv3"))
    made = network(variant)
    written = write_network(made, "net.safetensors")
    assert written.source.splitlines()[0].endswith(f"trained with ablate. Needs {needs}.")
    images = normalised(pixels(), MEAN, STD)
    with torch.inference_mode():
        assert torch.equal(built(written)(images), made.net(images))
    names = {n for n, _ in made.net.named_parameters()}
    assert {n for n, _ in built(written).named_parameters()} == names
    if "owntaken" in needs:
        assert "import owntaken" in written.source
        return
    file = tmp_path / "bare" / "net.py"
    file.parent.mkdir()
    file.write_text(written.source)
    file.with_suffix(".safetensors").write_bytes(written.weights)
    logits = in_a_bare_environment(file.parent, file, pixels())
    with torch.inference_mode():
        torch.testing.assert_close(logits, made.net(images))  # several threads there


@pytest.mark.parametrize(
    ("attention", "needs", "imports"),
    [
        ("se+cbam+eca", "PyTorch and nothing else", 0),
        ("se+owntaken:Alone+owntaken:WithHelper", "PyTorch and nothing else", 0),
        ("owntaken:WithHelper+ownalike:SE+cbam_spatial", "PyTorch and nothing else", 0),
        ("owntaken:WithHelper+ownalike:SE+se", "PyTorch and owntaken and ownalike", 2),
    ],
)
def test_several_kinds_are_written_into_one_file(
    attention: str, needs: str, imports: int, own_module: Callable[[str, str], None]
) -> None:
    """A class of the user's that is called as one of ours is imported where both are needed."""
    own_module("ownhelp", HELPER)
    own_module("owntaken", ATTENTION_OF_OURS)
    own_module("ownalike", ALIKE)
    position = "pool1+pool2+before:conv3"
    given = () if attention.endswith("spatial") else (("reduction", 2),)
    made = network(complete(Variant("cbam_cnn(width=0.25)", attention, position, given)))
    written = write_network(made, "net.safetensors")
    assert written.source.splitlines()[0].endswith(f"trained with ablate. Needs {needs}.")
    assert written.source.count("\nimport own") == imports
    images = normalised(pixels(), MEAN, STD)
    with torch.inference_mode():
        assert torch.equal(built(written)(images), made.net(images))


ALIKE = """
from torch import nn

class SE(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * self.fc(x).tanh()
"""


def test_attention_of_ones_own_that_cannot_be_rebuilt_is_refused(
    own_module: Callable[[str, str], None],
) -> None:
    own_module("ownodd", ODD)
    made = network(complete(Variant("cbam_cnn(width=0.25)", "ownodd:Odd", "pool1")))
    with pytest.raises(
        StudyError, match=r"Odd\(pool1\) cannot be written as one file: .*other logits"
    ):
        write_network(made, "net.safetensors")


ODD = """
import time
from torch import nn

class Odd(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = float(time.time_ns() % 1_000_003)

    def forward(self, x):
        return x * self.scale
"""


def test_the_same_network_has_the_same_bytes_however_often_it_is_written() -> None:
    """The order of several keys of safetensors' metadata is one of chance, drawn anew each time."""
    asked = network(complete(Variant("cbam_cnn(width=0.25)", "se", "pool3", ())))
    first = write_network(asked, "net.safetensors")
    assert {write_network(asked, "net.safetensors").weights for _ in range(9)} == {first.weights}
    start = 8 + int.from_bytes(first.weights[:8], "little")
    told = json.loads(first.weights[8:start])["__metadata__"]
    assert [*told] == ["ablate"]
    assert json.loads(told["ablate"]) == {
        "backbone": "cbam_cnn(width=0.25)", "variant": "se(pool3, r=16)",
    }  # fmt: skip


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", WRITES, str(tmp_path / seed)],
            check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_file_with_its_metadata_as_they_were_once_is_still_read() -> None:
    asked = network(complete(Variant("cbam_cnn(width=0.25)", "none", None, ())))
    now = write_network(asked, "net.safetensors")
    before = save(load(now.weights), {"variant": "none", "backbone": "cbam_cnn(width=0.25)"})
    assert before != now.weights
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected = built(now)(images)
        assert torch.equal(built(replace(now, weights=before))(images), expected)
    net = build(asked.variant, len(CLASSES), SIZE, 5)
    load_weights(net, before, "a file of before")
    with torch.inference_mode():
        assert torch.equal(net.eval()(images), expected)


BACKBONES = {
    "cbam_cnn(width=0.25)": "pool*",
    "torchvision:resnet18(stem=small)": "layer*",
    "torchvision:mobilenet_v3_small": "replace:features.*.block.*",
    "torchvision:efficientnet_b0": "features.1",
    "torchvision:convnext_tiny": "features.1",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [b if "cbam_cnn" in b else pytest.param(b, marks=pytest.mark.slow) for b in BACKBONES],
)
def test_networks_of_torchvision_need_no_torchvision(backbone: str, tmp_path: Path) -> None:
    variant = complete(Variant(backbone, "cbam", BACKBONES[backbone], (("reduction", 2),)))
    made = network(variant)
    written = write_network(made, "net.safetensors")
    file = tmp_path / "net.py"
    file.write_text(written.source)
    file.with_suffix(".safetensors").write_bytes(written.weights)
    logits = in_a_bare_environment(tmp_path, file, pixels())
    with torch.inference_mode():
        expected = made.net(normalised(pixels(), MEAN, STD))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize(("orientation", "channels"), [("exif", 3), ("as_stored", 1)])
def test_images_are_read_as_for_training(fit: Any, orientation: Any, channels: Any) -> None:
    """Byte for byte: of either shape, turned by EXIF, with a palette and with transparency."""
    data = DataTable(fit=fit, orientation=orientation, channels=channels)
    found: dict[str, Any] = {"torch": torch, "IMAGE_SIZE": 24}
    exec(f"def pixels(image):\n{reading_source(data)}", found)  # noqa: S102
    reading = Reading(fit=fit, orientation=orientation, channels=channels)
    noise, turned = np.random.default_rng(1), Image.Exif()
    turned[274] = 6
    for height, width in ((31, 24), (20, 47), (24, 24), (60, 33)):
        image = Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for kind in ("RGB", "P", "L", "RGBA"):
            file = io.BytesIO()
            image.convert(kind).save(file, "PNG", exif=turned)
            shown = np.asarray(decode_image(file.getvalue(), 24, reading).square)
            read = found["pixels"](Image.open(file))[0].permute(1, 2, 0).numpy()
            assert np.array_equal(read, shown), (kind, height, width)


TYING = """
from torch import nn

class Tied(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.one, self.two = nn.Conv2d(4, 4, 1, bias=False), nn.Sequential(nn.Conv2d(4, 4, 1, bias=False))
        self.two[0].weight = self.one.weight
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.two(self.one(self.stem(x))).mean((2, 3)))
"""


def test_tied_weights_stay_tied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "takentie.py").write_text(TYING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOWED, "takentie")
    variant = complete(Variant("takentie:Tied", "se", "one", (("reduction", 1),)))
    made = built(write_network(network(variant), "net.safetensors"))
    assert made.get_submodule("two.0").weight is made.get_submodule("one").weight


@pytest.mark.slow
def test_what_cannot_be_written_down_says_what_is_in_the_way() -> None:
    with pytest.raises(StudyError, match=r"its forward calls .*relative_position_bias"):
        write_network(network(Variant("torchvision:swin_t")), "net.safetensors")


class Choosy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_forward_that_depends_on_values_is_refused() -> None:
    variant = Variant("cbam_cnn(width=0.25)")
    net = trained(variant)
    net.add_module("relu1", Choosy())
    with pytest.raises(StudyError, match=r"torch\.fx cannot follow its forward"):
        write_network(Network(variant, net, CLASSES, SIZE, MEAN, STD, ""), "net.safetensors")


@pytest.fixture(scope="module")
def plan() -> Plan:
    grid = [
        {"attention": "none"},
        {"attention": "cbam", "position": "pool*", "reduction": 4, "start": "identity"},
    ]
    return small_plan(
        backbone="cbam_cnn(width=0.25)", seeds=3, grid=grid, recipe={"epochs": 1}, image_size=SIZE
    )


ACCURACY = {1: 0.5, 2: 0.7, 3: 0.7}


@pytest.fixture(scope="module")
def url(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database in which CBAM has weights of three seeds, of which two are equally good."""
    url = f"sqlite:///{tmp_path_factory.mktemp('taken')}/results.db"
    store = Store(url)
    store.register(plan)
    for cell in plan.cells[1::2]:
        [claim] = store.claim_cohort([str(cell.run_key)], 1, lambda _: 0)
        net = build(cell.variant, 10, SIZE, cell.seed)
        accuracy, kept = ACCURACY[cell.seed], Kept(weights_to_bytes(net), None)
        store.finish(
            claim, Finished(accuracy, 0.5, 1.8, b"\xf0", 4.0, 500.0, "m", "fp32", kept), {}
        )
    store.close()
    return url


def asked(plan: Plan, url: str, out: Path, variant: str = "cbam", **more: Any) -> Asked:
    return Asked(variant, plan.study, url, out, **more)


def loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "expected"), [(None, 2), (1, 1), (3, 3)])
def test_the_seed_that_is_meant_or_the_best_is_taken(
    plan: Plan, url: str, tmp_path: Path, seed: int | None, expected: int
) -> None:
    take_network(asked(plan, url, tmp_path / "in" / "net.py", seed=seed))
    taken = loaded(tmp_path / "in" / "net.py")
    images = plan.dataset.load()
    assert images.mean == taken.MEAN
    assert tuple(images.classes) == taken.CLASSES
    net = build(plan.cells[1].variant, 10, SIZE, expected).eval()
    shown = taken.normalise(pixels())
    assert torch.allclose(shown, normalised(pixels(), images.mean, images.std))
    with torch.inference_mode():
        found = taken.build(tmp_path / "in" / "net.safetensors")(shown)
        assert torch.equal(found, net(shown))
    assert f"seed {expected}" in (tmp_path / "in" / "net.py").read_text()


@pytest.mark.slow
def test_what_a_search_found_is_taken_by_its_name(plan: Plan, url: str, tmp_path: Path) -> None:
    """Its study has runs of it, and no such table in the grid."""
    alone = plan.study.model_copy(update={"grid": plan.study.grid[:1]})
    assert "cbam" not in {variant.attention for variant in alone.variants()}
    [shown] = load_networks([plan.cells[1].variant.name], alone, plan.dataset, url)
    assert "trained: run" in shown.weights
    assert "seed 1" in shown.weights
    take_network(Asked("cbam", alone, url, tmp_path / "found"))
    assert "CBAM(" in (tmp_path / "found.py").read_text()
    with pytest.raises(UnknownNameError, match=r"there are: none, cbam\("):
        take_network(Asked("eca", alone, url, tmp_path / "other"))


def test_what_cannot_be_taken_is_one_line_and_nothing_is_overwritten(
    plan: Plan, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match=r"no weights of none are stored .*there are: none"):
        take_network(asked(plan, url, out, "none"))
    with pytest.raises(WeightsError, match=r"seed 9, are stored.*of seed 1, 2, 3"):
        take_network(asked(plan, url, out, seed=9))
    with pytest.raises(UnknownNameError, match="eca"):
        take_network(asked(plan, url, out, "eca"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "net.py").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        take_network(asked(plan, url, out))
    assert (tmp_path / "net.py").read_text() == "mine"


def test_of_several_files_all_are_written_or_none(
    plan: Plan, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = os.replace

    def full(source: Path, target: Path) -> None:
        if target.suffix == ".py":
            raise OSError(28, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"net\.safetensors: cannot be written: No space left"):
        take_network(asked(plan, url, tmp_path / "net"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "out",
    ["my net", "net.pth", "2net", "net-1", "net.SAFETENSORS", "class", "None", "cafe\u0301", "ﬁ"],
)
def test_a_file_that_no_import_finds_is_refused(out: str) -> None:
    with pytest.raises(OptionError, match=r"\.py cannot be imported: give letters, digits and _"):
        files_of(Path("folder") / f"{out}.safetensors")


@pytest.mark.parametrize(
    "out", ["torch", "json", "pathlib", "numpy", "sympy", "filelock", "ablate"]
)
def test_a_file_in_the_place_of_another_module_is_refused(out: str) -> None:
    for name in (out, f"{out}.py", f"{out}.safetensors", f"{out}.onnx"):
        with pytest.raises(OptionError, match=f"in the place of the module {out}, .*such as my_"):
            files_of(Path("folder") / name)


def test_a_file_is_not_written_in_the_place_of_what_it_imports_itself(tmp_path: Path) -> None:
    contents = {tmp_path / "mine.safetensors": b"", tmp_path / "mine.py": b"import mine.layers\n"}
    with pytest.raises(OptionError, match="in the place of the module mine"):
        write_network_files(contents)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["net", "_net2", "réseau", "match", "torch_net", "Torch"])
def test_a_name_that_can_be_imported_is_taken(out: str) -> None:
    assert files_of(Path(out))[1] == Path(f"{out}.py")


@pytest.mark.parametrize("out", ["", ".", "..", "/"])
def test_a_name_that_is_none_is_refused(plan: Plan, url: str, out: str) -> None:
    with pytest.raises(OptionError, match="names no file: give one, such as net"):
        take_network(asked(plan, url, Path(out)))


def test_a_folder_is_no_file_and_too_long_a_name_is_one_line(
    plan: Plan, url: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"is a folder: name the file in it, such as .*/net"):
        take_network(asked(plan, url, tmp_path))
    with pytest.raises(OptionError, match="cannot be imported"):
        files_of(tmp_path / "a\0b")
    with pytest.raises(OutputError, match="cannot be written"):
        take_network(asked(plan, url, tmp_path / ("a" * 300)))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["wörter", "\N{CJK UNIFIED IDEOGRAPH-7F51}", "DEFINITIONS", "Path_"]
)
def test_whatever_files_are_called_what_is_written_is_python_and_says_it(
    plan: Plan, url: str, tmp_path: Path, name: str
) -> None:
    take_network(asked(plan, url, tmp_path / name))
    source = (tmp_path / f"{name}.py").read_text()
    said = ast.get_docstring(ast.parse(source)) or ""
    [line] = [each for each in said.splitlines() if "build(Path(" in each]
    shown = line.partition("Path(")[2].rpartition("))")[0]
    assert ast.literal_eval(shown) == f"{name}.safetensors"
    assert loaded(tmp_path / f"{name}.py").build(tmp_path / f"{name}.safetensors") is not None


def test_onnx_without_its_packages_says_what_to_install(
    plan: Plan, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "NEEDED", ("no_such_package",))
    with pytest.raises(OptionError, match=r"ablate\[onnx\]"):
        take_network(asked(plan, url, tmp_path / "net", onnx=True))
    assert not list(tmp_path.iterdir())


def test_a_latency_of_what_is_not_exported_is_refused(plan: Plan, url: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give --onnx too"):
        take_network(asked(plan, url, tmp_path / "net", latency=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_onnx_runtime_gives_the_same_logits_for_any_batch(
    plan: Plan,
    url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(take, "measure_latency", partial(measure_latency, processes=3))
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    take_network(asked(plan, url, tmp_path / "net", onnx=True, latency=True))
    out = capsys.readouterr().out
    assert "ONNX Runtime's logits differ by at most" in out
    assert "one image on one thread takes ONNX Runtime " in out
    taken = loaded(tmp_path / "net.py")
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    shown = taken.normalise(pixels(7))
    [found] = session.run(None, {"images": shown.numpy()})
    with torch.inference_mode():
        expected = taken.build(tmp_path / "net.safetensors")(shown)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)
