"""A user's network is called by what its arguments are for, and what it raises is said in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import message

from ablate.attention import complete
from ablate.backbones import make_backbone
from ablate.errors import StudyError
from ablate.model import build_outline
from ablate.network.trace import check_classifies
from ablate.study import Variant
from ablate.system.process.settings import SETTINGS

SOURCE = """
import sys
from enum import Enum
from functools import partial
import torch
from torch import nn

class Body(nn.Module):
    def __init__(self, width, classes, **said):
        super().__init__()
        self.width, self.said = width, said
        self.body = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU())
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))

class WidthFirst(Body):
    def __init__(self, width=64, num_classes=10):
        super().__init__(width, num_classes)

    @classmethod
    def small(cls, nclass):
        return cls(4, nclass)

class Depth(Body):
    def __init__(self, depth, n_classes, widen=2):
        super().__init__(depth * widen, n_classes)

class Act(Enum):
    RELU = "relu"
    GELU = "gelu"

def keyword_only(*, num_classes=10): return Body(16, num_classes)
def positional_only(width, classes, /): return Body(width, classes)
def with_kwargs(pretrained=False, **kwargs): return Body(kwargs.pop("width", 16), **renamed(kwargs))
def renamed(kwargs): return {"classes": kwargs.pop("num_classes"), **kwargs}
def required(classes, *, width): return Body(width, classes)
def none(classes, *, width=None, path=None): return Body(width or 16, classes, path=path)
def arrays(classes, *, widths=(8, 16), kernels=[3]): return Body(widths[0], classes, widths=widths)
def nested(classes, *, stages: "tuple[tuple[int, ...], ...]" = None): return Body(8, classes, s=stages)
def flag(classes, *, deep=False): return Body(32 if deep else 16, classes)
def act(classes, *, act=Act.RELU): return Body(8, classes, act=act)
def two(c, d): return Body(8, c)
def both(num_classes, classes): return Body(8, classes)
def config(cfg): return Body(cfg.width, cfg.num_classes)
def one(k): return Body(8, k)
def fixed(n): return Body(n, 10)
def no_arguments(): return Body(8, 10)
def in_first(in_channels=3, out_features=7): return Body(in_channels, out_features)
half = partial(WidthFirst, width=32)
net = Body(4, 10)

def leaves(classes): sys.exit("no GPU here")
def stops(classes):
    class Stop(BaseException): pass
    raise Stop("halt")
def speechless(classes):
    class Speechless(Exception):
        def __str__(self): raise ValueError
    raise Speechless
def hooks_all(classes):
    nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 2)
    return Body(8, classes)
def exported(classes):
    return torch.export.export(Body(8, classes), (torch.zeros(1, 3, 8, 8),)).module()
def asserts(classes):
    assert classes == 3
def loads(classes):
    net = Body(8, classes)
    net.load_state_dict(Body(4, classes + 1).state_dict() | {"extra": torch.zeros(1)})
    return net
def wordy(classes):
    raise RuntimeError("CUDA error: out of order\\nCompile with TORCH_USE_CUDA_DSA\\nfor more")
"""


@pytest.fixture(autouse=True)
def signatures(own_module: Callable[[str, str], None]) -> None:
    own_module("signatures", SOURCE)


def width_and_scores(call: str, classes: int = 7) -> tuple[int, int]:
    net = make_backbone(f"signatures:{call}", classes)
    return net.width, net(torch.zeros(1, 3, 8, 8)).shape[1]


@pytest.mark.parametrize(
    ("call", "width"),
    [
        ("WidthFirst", 64),
        ("WidthFirst(width=8)", 8),
        ("WidthFirst.small", 4),
        ("Depth(depth=3)", 6),
        ("Depth(depth=3, widen=1)", 3),
        ("keyword_only", 16),
        ("positional_only(width=5)", 5),
        ("with_kwargs", 16),
        ("with_kwargs(width=5)", 5),
        ("required(width=6)", 6),
        ("none", 16),
        ("none(width=8)", 8),
        ("arrays(widths=[12, 24], kernels=[3, 5])", 12),
        ("flag(deep=true)", 32),
        ("two(d=1)", 8),
        ("two(classes_as=c, d=1)", 8),
        ("both(classes_as=classes, num_classes=1)", 8),
        ("one", 8),
        ("in_first", 3),
        ("half", 32),
        ("half(width=9)", 9),
    ],
)
def test_the_number_of_classes_goes_to_the_argument_that_is_for_it(call: str, width: int) -> None:
    assert width_and_scores(call) == (width, 7)


def test_options_are_values_of_toml() -> None:
    def said(call: str) -> object:
        return make_backbone(f"signatures:{call}", 7).said

    assert said("arrays(widths=[12, 24])") == {"widths": (12, 24)}, "a tuple, as its default is"
    assert said("nested(stages=[[1, 2], [3]])") == {"s": ((1, 2), (3,))}
    assert said("none(path='a, b=(c)')") == {"path": "a, b=(c)"}
    assert said("none(path=weights.pt)") == {"path": "weights.pt"}
    assert said("with_kwargs(cardinality=32, sizes=[1, 2])") == {"cardinality": 32, "sizes": [1, 2]}
    assert str(said("act(act=gelu)")) == "{'act': <Act.GELU: 'gelu'>}"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("two", "two: which of its arguments takes the number of classes? Write signatures:two(classes_as"),
        ("both", "with one of num_classes, classes"),
        ("config", "with one of cfg"),
        ("no_arguments", "takes no argument: its number of classes must be one"),
        ("one(classes_as=kk)", "has no argument 'kk' (did you mean 'k'?): classes_as names the one"),
        ("WidthFirst(num_classes=10)", "num_classes is the number of classes, which the images say"),
        ("WidthFirst(depth=3)", "takes no 'depth' (did you mean 'width'?); it takes width"),
        ("required", "required needs width: write signatures:required(width=…)"),
        ("Depth", "Depth needs depth: write signatures:Depth(depth=…)"),
        ("WidthFirst(width=wide)", "width must be of type int, not 'wide'"),
        ("flag(deep=1)", "deep must be of type bool, not 1"),
        ("flag(deep=True)", "True is Python's word, not TOML's: write true"),
        ("none(width=None)", "None is Python's word, not TOML's: leave the option out"),
        ("arrays(widths=8)", "widths must be an array, [1, 2], not 8"),
        ("arrays(widths=[8)", "a quote or bracket has no partner"),
        ("act(act=swish)", "act must be one of relu, gelu, not 'swish'"),
        ("net", "is a network already, not a class or function that builds one"),
        ("WidthFirst.smal", "signatures.WidthFirst has no 'smal' (did you mean 'small'?)"),
        ("leaves", "building it failed: SystemExit: no GPU here"),
        ("stops", "building it failed: Stop: halt"),
        ("speechless", "building it failed: Speechless"),
        ("hooks_all", "building it registers forward hooks for all modules of the process"),
        ("exported", "it cannot be switched between training and evaluation"),
        ("asserts", "failed: AssertionError: assert classes == 3 (signatures.py, line 68)"),
        ("wordy", "failed: RuntimeError: CUDA error: out of order"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_honoured_is_one_line(call: str, said: str) -> None:
    assert said in message(StudyError, lambda: make_backbone(f"signatures:{call}", 7))


def test_weights_that_do_not_fit_are_named_with_every_key() -> None:
    said = message(StudyError, lambda: make_backbone("signatures:loads", 7))
    assert 'Unexpected key(s) in state_dict: "extra"' in said
    assert "body.0.weight is [4, 3, 3, 3], not [8, 3, 3, 3], body.0.bias is [4], not [8]" in said
    assert said.endswith("fc.weight is [8, 4], not [7, 8], and fc.bias")


def test_an_argument_that_is_guessed_must_prove_itself() -> None:
    check_classifies("signatures:one", 10, 32)
    said = message(StudyError, lambda: check_classifies("signatures:fixed", 10, 32))
    assert said.startswith("signatures:fixed gives 10 scores whatever its 'n' is")
    check_classifies("signatures:fixed(classes_as=n)", 10, 32)


KINDS = """
import sys
import torch
from torch import nn
print("imported")

class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        print("built")
        self.a, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)

    def forward(self, x):
        print("called")
        return self.fc(self.a(x).mean((2, 3)))

class Lazy(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.fc = nn.LazyLinear(classes)

class Shown(Lazy):
    def __init__(self, classes):
        super().__init__(classes)
        self(torch.zeros(1, 3, 8, 8))

class Half(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.a = torch.jit.trace(self.a, torch.zeros(1, 3, 8, 8))

class Leaves(Plain):
    def forward(self, x): sys.exit(3)

class PartCompiled(Plain):
    def __init__(self, classes):
        super().__init__(classes)
        self.a.compile(backend="eager")

def traced(classes): return torch.jit.trace(Plain(classes), torch.zeros(1, 3, 8, 8))
def compiled(classes): return torch.compile(Plain(classes), backend="eager")
"""


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated", "ignore:Lazy modules")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Lazy", "its module 'fc' is a lazy LazyLinear without a shape: give it its number of inputs"),
        ("Half", "its module 'a' is TorchScript, where attention cannot go"),
        ("traced", "it is TorchScript"),
        ("compiled", "it is compiled, and what was compiled leaves out hooks"),
        ("PartCompiled", "its module 'a' is compiled"),
        ("Leaves", "cannot take 32×32 images: SystemExit: 3"),
    ],
)  # fmt: skip
def test_kinds_of_networks_that_cannot_be_described(
    own_module: Callable[[str, str], None], name: str, said: str
) -> None:
    own_module("kinds", KINDS)
    assert said in message(StudyError, lambda: check_classifies(f"kinds:{name}", 10, 32))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_a_network_prints_is_no_output_of_ours(
    own_module: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    own_module("kinds", KINDS)
    check_classifies("kinds:Shown", 10, 16)
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.splitlines()[0] == "imported"
    assert set(errors.splitlines()[1:]) == {"built", "called"}


SETS = """
import os, signal
import torch
from torch import nn
torch.backends.cudnn.benchmark = True

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, classes)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.set_num_threads(7)
        torch.backends.cuda.enable_flash_sdp(False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.chdir("/")
        torch.autograd.set_detect_anomaly(True)
        torch.set_float32_matmul_precision("medium")
        torch.set_deterministic_debug_mode("warn")

    def forward(self, x):
        return self.fc(self.a(x).mean((2, 3)))
"""


def test_what_a_network_sets_for_the_whole_process_is_put_back(
    own_module: Callable[[str, str], None],
) -> None:
    own_module("sets", SETS)
    state = [read() for read, _ in SETTINGS.values()]
    check_classifies("sets:Net", 10, 16)
    assert [read() for read, _ in SETTINGS.values()] == state
    assert make_backbone("cbam_cnn", 10)(torch.zeros(1, 3, 32, 32)).requires_grad


CHECKS = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.fc = weight_norm(nn.Conv2d(3, 8, 3)), nn.Linear(8, classes)

    def forward(self, x):
        x = self.a(x)
        assert not torch.isnan(x).any(), "NaN in the features"
        return self.fc(x.mean((2, 3)))

class Never(Net):
    def forward(self, x): raise ValueError("never")
"""


def test_a_network_that_fails_with_zeros_alone_is_looked_at_with_weights(
    own_module: Callable[[str, str], None],
) -> None:
    own_module("checks", CHECKS)
    check_classifies("checks:Net", 10, 16)
    net = build_outline(complete(Variant("checks:Net", "se", "a", (("reduction", 2),))), 10, 16)
    assert net.a.attention(torch.ones(1, 8, 4, 4)).shape == (1, 8, 4, 4)  # type: ignore[union-attr,operator]
    said = message(StudyError, lambda: check_classifies("checks:Never", 10, 16))
    assert said == "checks:Never cannot take 16×16 images: ValueError: never"
