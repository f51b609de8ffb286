"""A user's module as attention: how it is named and called, and what it must not be, each in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import message, small_plan

from ablate.attention import (
    OwnAttention,
    OwnCall,
    build_own_attention,
    complete,
    fusable,
    options_at,
    use_kernels,
)
from ablate.drive.proof import prove_plan
from ablate.errors import OptionError, StudyError, UnknownNameError
from ablate.search.space import Space
from ablate.study import Variant
from ablate.study.file import parse_study
from ablate.study.names import check_names
from ablate.study.search import Parameter
from ablate.system.hardware.machine import find_machine

PUBLIC = Path(__file__).parents[1] / "support" / "public_attention.py"
SOURCE = """
import enum
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, channels, reduction=4, mode="a", scale=1.0, flag=False, act=None):
        super().__init__()
        self.given = (channels, reduction, mode, scale, flag, act)
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * self.fc(x).sigmoid()

class Kind(enum.Enum):
    SUM = "sum"
    MEAN = "mean"

class Chosen(Base):
    def __init__(self, channels, kind=Kind.SUM):
        super().__init__(channels)
        self.kind = kind

class Twice(Base):
    def __init__(self, inp, oup, *, reduction=8):
        super().__init__(inp, reduction)
        self.oup = oup

class Anything(Base):
    def __init__(self, channels, **kwargs):
        super().__init__(channels, **kwargs)

class NoChannels(nn.Module):
    def forward(self, x): return x
class KernelFirst(nn.Module):
    def __init__(self, kernel_size=7): super().__init__()
class FlagFirst(nn.Module):
    def __init__(self, spatial_too=False): super().__init__()
class GateOnly(Base):
    def forward(self, x): return x.mean((2, 3), keepdim=True).sigmoid()
class Several(Base):
    def forward(self, x): return x, self.fc(x)
class Nothing(Base):
    def forward(self, x): self.fc(x)
class Double(Base):
    def forward(self, x): return x.double()
class Raises(Base):
    def forward(self, x): raise RuntimeError("no luck")
class RaisesInTraining(Base):
    def forward(self, x):
        if self.training: raise RuntimeError("no luck in training")
        return super().forward(x)
class Eight(Base):
    def __init__(self, channels):
        super().__init__(channels)
        if channels > 8: raise ValueError(f"{channels} is not 8")
class Biased(Base):
    def __init__(self, channels, height, width):
        super().__init__(channels)
        self.bias = nn.Parameter(torch.zeros(1, channels, height, width))
    def forward(self, x): return super().forward(x + self.bias)
class InPlace(Base):
    def forward(self, x): return x.mul_(self.fc(x).sigmoid())
class Unused(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.more = nn.Linear(4, 4)
SHARED = nn.Conv2d(8, 8, 1)
class Shared(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.fc = SHARED
class OtherEachSeed(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.more = nn.Parameter(torch.zeros(int(torch.randint(1, 99, ()))))
class Lazy(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.fc = nn.LazyConv2d(channels, 1)
class Leaves(Base):
    def __init__(self, channels): raise SystemExit(3)
class Keeps(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.seen = 0
    def forward(self, x):
        self.seen += 1
        return super().forward(x) * self.seen
class NoModule:
    def __init__(self, channels): pass
def makes(channels, reduction=4): return Base(channels, reduction)
def makes_none(channels): return None
made = Base(8)
"""
OURS = "cbam_cnn(width=0.25)"


@pytest.fixture(autouse=True)
def module(own_module: Callable[[str, str], None]) -> None:
    own_module("ownatts", SOURCE)
    own_module("ownpublic", PUBLIC.read_text())


def name_of(name: str, **options: object) -> str:
    given = tuple(options.items())
    return complete(Variant(OURS, f"ownatts:{name}", "pool1", given)).name  # type: ignore[arg-type]


def test_reduction_and_kernel_size_are_named_always_others_where_they_differ() -> None:
    assert name_of("Base") == "ownatts:Base(pool1, r=4)"
    assert name_of("Base", reduction=8, scale=2) == "ownatts:Base(pool1, r=8, scale=2)"
    assert name_of("Base", act="relu", flag=True) == "ownatts:Base(pool1, r=4, flag=True, act=relu)"
    assert name_of("Twice", oup="channels") == "ownatts:Twice(pool1, oup=channels, r=8)"
    assert name_of("Anything", reduction=2) == "ownatts:Anything(pool1, r=2)"
    assert name_of("makes") == "ownatts:makes(pool1, r=4)"


def built(name: str, channels: int = 8, **options: object) -> OwnAttention:
    return build_own_attention(OwnCall(f"ownatts:{name}", (channels, 4, 4), tuple(options.items())))  # type: ignore[arg-type]


def test_it_is_called_with_the_channels_of_its_place_and_its_options() -> None:
    assert built("Base", 16, reduction=2).module.given == (16, 2, "a", 1.0, False, None)
    twice = built("Twice", 16, oup="channels").module
    assert (twice.given[:2], twice.oup) == ((16, 8), 16)
    assert built("Chosen", kind="mean").module.kind.name == "MEAN"


def test_in_mixed_precision_the_map_goes_on_in_its_type() -> None:
    module = build_own_attention(OwnCall("ownpublic:SimAM", (8, 4, 4)))
    x = torch.randn(2, 8, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
    assert "gives torch.float64 for a map of torch.float32" in message(
        StudyError, lambda: built("Double")(torch.ones(2, 8, 4, 4))
    )


PLANNED = [
    ("NoChannels", {}, "ownatts:NoChannels takes no channels: attention gets the channels"),
    ("KernelFirst", {}, "takes 'kernel_size' first, which is no number of channels"),
    ("FlagFirst", {}, "takes 'spatial_too' first, which is no number of channels"),
    (
        "GateOnly",
        {},
        "(pool*, r=4) at 'pool1': ownatts:GateOnly gives the shape (2, 8, 1, 1) for a",
    ),
    ("Several", {}, "gives a tuple for a feature map: its forward must return"),
    ("Nothing", {}, "gives nothing (None) for a feature map: its forward must return"),
    ("Raises", {}, "a forward of ownatts:Raises on 8×8×8 failed: RuntimeError: no luck"),
    (
        "Eight",
        {},
        "(pool*) at 'pool2': building ownatts:Eight for 16 channels failed: ValueError: 16",
    ),
    ("Biased", {}, "ownatts:Biased needs height, width: give it in its [[grid]] table, height = …"),
    (
        "Biased",
        {"height": 8, "width": 8},
        "at 'pool2': a forward of ownatts:Biased on 16×4×4 failed",
    ),
    (
        "InPlace",
        {},
        "changes the map that it is given, which other branches may use: make a new one",
    ),
    ("Shared", {}, "share the weights 'fc.weight', so that every run would train them"),
    ("OtherEachSeed", {}, "ownatts:OtherEachSeed is another module under another seed: 'more'"),
    ("Lazy", {}, "its module 'fc' is a lazy LazyConv2d without a shape"),
    ("Leaves", {}, "building ownatts:Leaves for 8 channels failed: SystemExit: 3"),
    (
        "NoModule",
        {},
        "ownatts:NoModule is a class that is no torch.nn.Module: name a class of modules",
    ),
    ("makes_none", {}, "ownatts:makes_none gives NoneType, not a torch.nn.Module"),
    ("made", {}, "ownatts:made is a module already, not a class that builds one for each place"),
    ("SOURCE", {}, "ownatts:SOURCE: ownatts has no 'SOURCE'"),
    ("Bas", {}, "ownatts:Bas: ownatts has no 'Bas' (did you mean 'Base'?)"),
    ("Base", {"reductoin": 4}, "ownatts:Base takes no 'reductoin' (did you mean 'reduction'?)"),
    ("Base", {"reduction": "x"}, "ownatts:Base: reduction must be of type int, not 'x'"),
    ("Base", {"start": "identity"}, "ownatts:Base has no start: which of its layers must be zero"),
    ("Chosen", {"kind": "product"}, "ownatts:Chosen: kind must be one of sum, mean, not 'product'"),
]


@pytest.mark.parametrize(("name", "options", "said"), PLANNED)
def test_what_cannot_be_planned_is_one_line(
    name: str, options: dict[str, object], said: str
) -> None:
    table = {"attention": f"ownatts:{name}", "position": "pool*", **options}
    grid = [{"attention": "none"}, table]
    assert said in message(StudyError, lambda: small_plan(backbone=OURS, grid=grid))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "RaisesInTraining",
            "a training step on 8 images fails: RuntimeError: no luck in training",
        ),
        ("Unused", "attention after 'pool1' cannot be trained: its 'more.bias' gets no gradient"),
    ],
)
def test_what_cannot_be_trained_is_one_line(name: str, said: str) -> None:
    grid = [{"attention": "none"}, {"attention": f"ownatts:{name}", "position": "pool1"}]
    plan = small_plan(backbone=OURS, grid=grid)
    machine = find_machine("cpu", "fp32")
    assert said in message(
        StudyError, lambda: prove_plan(plan, machine, [100], lambda _done, _of: None)
    )


def test_what_keeps_a_state_that_no_checkpoint_has_is_told() -> None:
    grid = [{"attention": "none"}, {"attention": "ownatts:Keeps", "position": "pool1"}]
    notes = " ".join(small_plan(backbone=OURS, grid=grid).notes)
    assert "ownatts:Keeps keeps what a forward leaves behind where no checkpoint holds it" in notes


def test_it_is_not_imported_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_ALLOW_IMPORT", "")
    grid = [{"attention": "none"}, {"attention": "ownatts:Base", "position": "pool1"}]
    said = message(StudyError, lambda: small_plan(grid=grid))
    assert said == "ownatts:Base: a study may not import ownatts; add --allow-import ownatts"


@pytest.mark.parametrize("name", ["ownatts:", ":Base", "own-atts:Base", "ownatts:Base(r=4)"])
def test_what_names_nothing_says_what_would(name: str) -> None:
    grid = [{"attention": "none"}, {"attention": name, "position": "pool1"}]
    assert "of your own as PACKAGE.MODULE:NAME, attention, metrics and trainers too" in message(
        StudyError, lambda: small_plan(grid=grid)
    )


def test_a_wrong_package_is_told_before_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.modules", {})
    document = {"name": "n", "dataset": "digits", "backbone": OURS, "grid": [
        {"attention": "none"}, {"attention": "nowhere:Att", "position": "pool1"}]}  # fmt: skip
    study = parse_study(document, "test")
    assert "add --allow-import nowhere" in message(StudyError, lambda: check_names(study))


def test_a_search_varies_its_options_beside_those_of_ours() -> None:
    parameters = {
        "attention": Parameter(values=("se", "ownatts:Base", "ownpublic:SimAM")),
        "position": Parameter(values=("pool1",)),
        "reduction": Parameter(values=(2, 4)),
        "scale": Parameter(values=(1.0, 2.0)),
    }
    space = Space(OURS, parameters)
    names = [space.variant(point).name for point in space.points()]
    assert names[:3] == ["se(pool1, r=2)", "se(pool1, r=4)", "ownatts:Base(pool1, r=2)"]
    assert names[3] == "ownatts:Base(pool1, r=2, scale=2.0)"
    assert names[-1] == "ownpublic:SimAM(pool1)"
    assert space.size == len(names) == 7


def test_it_is_computed_as_it_is_written() -> None:
    """No other kernel is ever tried of it."""
    module = built("Base")
    use_kernels(module, {"se": "fused"})
    assert module.kernel == "plain"
    assert not any(":" in name for name in fusable())
    with pytest.raises(UnknownNameError):
        use_kernels(module, {"ownatts:Base": "fused"})


def test_a_word_with_a_plus_is_one_value() -> None:
    variant = complete(Variant(OURS, "ownatts:Base", "pool1+pool2", (("mode", "avg+max"),)))
    assert [options_at(variant, part)["mode"] for part in (0, 1)] == ["avg+max"] * 2
    assert variant.name == "ownatts:Base(pool1+pool2, r=4, mode=avg+max)"


def test_options_by_part_are_given_to_each() -> None:
    variant = complete(Variant(OURS, "ownatts:Base", "pool1+pool2", (("reduction", "2+4"),)))
    assert [options_at(variant, part)["reduction"] for part in (0, 1)] == [2, 4]
    with pytest.raises(OptionError, match="has 3 values"):
        name_of("Base", reduction="2+4+8")
