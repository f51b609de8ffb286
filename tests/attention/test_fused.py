"""Fused attention against plain: the same values and the same gradients, in every corner."""

from __future__ import annotations

import copy
import pickle
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.attention import ATTENTION, KERNELS, fusable, use_kernels
from ablate.attention.base import Attention
from ablate.attention.convolve import convolve, convolve_backward
from ablate.errors import OptionError, UnknownNameError
from ablate.model import build, fingerprint
from ablate.result import Choice
from ablate.study import Variant
from ablate.system.hardware.precision import FP32
from ablate.tune import kernels as measured
from ablate.tune.kernels import MeasureKernels, measure_kernels

CPU = torch.device("cpu")
SHAPES = [(3, 32, 6, 5), (1, 16, 1, 1), (2, 5, 1, 7), (4, 1, 4, 4), (2, 24, 9, 1), (1, 8, 3, 11)]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "se": [{"reduction": 1}, {"reduction": 4}],
    "cbam_channel": [{"reduction": 1}, {"reduction": 4}],
    "cbam_spatial": [{"kernel_size": 1}, {"kernel_size": 3}, {"kernel_size": 7}],
    "cbam": [{"reduction": 1, "kernel_size": 3}, {"reduction": 4, "kernel_size": 7}],
}
CASES = [
    (name, options, shape)
    for name in OPTIONS
    for options, shape in product(OPTIONS[name], SHAPES)
    if shape[1] >= options.get("reduction", 1)
] + [(name, {**OPTIONS[name][0], "start": "identity"}, SHAPES[0]) for name in OPTIONS]
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
NAMES = tuple(OPTIONS)


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> torch.memory_format:
    return LAYOUTS[request.param]


def make(name: str, channels: int, dtype: torch.dtype = torch.float64, **options: Any) -> Attention:
    """A module with weights large enough that every gate is away from 1/2."""
    torch.manual_seed(0)
    module = ATTENTION[name](channels, **options).to(dtype)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def run(module: Attention, kernel: str, x: Tensor, grad: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of every parameter."""
    module.kernel = kernel
    x = x.detach().requires_grad_()
    y = module(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *module.parameters()], grad)]


def assert_equal_paths(module: Attention, x: Tensor, grad: Tensor, tolerance: float) -> None:
    plain, fused = (run(module, kernel, x, grad) for kernel in KERNELS)
    for expected, got in zip(plain, fused, strict=True):
        torch.testing.assert_close(got, expected, atol=tolerance, rtol=tolerance)


def test_the_cases_cover_everything_that_can_be_fused() -> None:
    assert set(NAMES) == set(fusable())


@pytest.mark.parametrize(("name", "options", "shape"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_values_and_gradients_are_those_of_the_equations(
    name: str,
    options: dict[str, Any],
    shape: tuple[int, ...],
    layout: torch.memory_format,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    module = make(name, shape[1], dtype, **options)
    x = draw(shape, 1, dtype).contiguous(memory_format=layout)
    assert_equal_paths(module, x, draw(shape, 2, dtype), tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [True, False])
def test_what_follows_may_change_it_in_place(
    name: str, dtype: torch.dtype, trained: bool, layout: torch.memory_format
) -> None:
    """As a ResNet adds its shortcut; also where nothing before it is trained."""
    x = draw((2, 8, 4, 5), 1, dtype).contiguous(memory_format=layout).requires_grad_(trained)
    grads = []
    for kernel in KERNELS:
        module = make(name, 8, torch.float32, **OPTIONS[name][0])
        module.kernel = kernel
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = module(x)
            out += 1
        out.float().square().sum().backward()
        grads.append([p.grad for p in module.parameters()])
    for plain, fused in zip(*grads, strict=True):
        torch.testing.assert_close(fused, plain, atol=0.3, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["relu", "zeros", "one value", "few values", "zero channels"])
def test_ties_share_the_gradient_as_in_the_equations(
    name: str, kind: str, layout: torch.memory_format
) -> None:
    x = draw((3, 8, 4, 5), 1)
    ties = {
        "relu": x.relu(),
        "zeros": torch.zeros_like(x),
        "one value": torch.full_like(x, 0.5),
        "few values": x.round(),
        "zero channels": x * (torch.arange(8) % 2)[:, None, None],
    }
    module = make(name, 8, **OPTIONS[name][0])
    if name == "cbam":
        # Equal channel weights, so that ties reach the spatial half as well.
        nn.init.zeros_(module.get_parameter("channel.fc1.weight"))
    x = ties[kind].contiguous(memory_format=layout)
    assert_equal_paths(module, x, draw(tuple(x.shape), 2), 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_derivative(name: str, layout: torch.memory_format) -> None:
    module = make(name, 4, **OPTIONS[name][0])
    module.kernel = "fused"
    x = draw((2, 4, 3, 4), 1).contiguous(memory_format=layout).requires_grad_()

    def of_all(x: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(dict(module.named_parameters()), parameters, strict=True))
        out: Tensor = torch.func.functional_call(module, named, (x,))
        return out

    assert torch.autograd.gradcheck(of_all, (x, *module.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_under_autocast_it_is_as_near_to_the_truth_as_plain_is(
    name: str, layout: torch.memory_format
) -> None:
    shape = (8, 32, 8, 8)
    module = make(name, 32, torch.float32, **OPTIONS[name][-1])
    x = draw(shape, 1).bfloat16().relu().contiguous(memory_format=layout)
    grad = draw(shape, 2).bfloat16()
    truth = run(copy.deepcopy(module).double(), "plain", x.double(), grad.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, fused = (run(module, kernel, x, grad) for kernel in KERNELS)
    for true, one, other in zip(truth, plain, fused, strict=True):
        errors = [float((got.double() - true).norm() / true.norm()) for got in (one, other)]
        # bf16 keeps 8 bits: one rounding is 0.2 % at most; the widest chain of them gives 1 %.
        assert errors[1] < 0.01
        assert errors[1] < 1.1 * errors[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_are_those_of_plain(name: str, dtype: torch.dtype) -> None:
    module = make(name, 16, torch.float32, **OPTIONS[name][0])
    x, grad = draw((2, 16, 4, 4), 1).to(dtype), draw((2, 16, 4, 4), 2).to(dtype)
    reduced = torch.bfloat16 if dtype == torch.float32 else dtype
    with torch.autocast("cpu", dtype=reduced):
        plain, fused = (run(module, kernel, x, grad) for kernel in KERNELS)
    assert [t.dtype for t in fused] == [t.dtype for t in plain]
    assert fused[0].dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_a_backward_inside_autocast_is_as_exact_as_one_outside(name: str) -> None:
    module = make(name, 16, torch.float32, **OPTIONS[name][0])
    module.kernel = "fused"
    found: dict[bool, list[Tensor]] = {}
    for enabled in (True, False):
        x = draw((2, 16, 4, 4), 1, torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = module(x).square().sum()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            found[enabled] = list(torch.autograd.grad(y, [x, *module.parameters()]))
    for one, other in zip(found[True], found[False], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 1), (9, 2), (2, 128), (3, 129)])
def test_the_convolution_is_torchs_own(size: int, height: int, width: int) -> None:
    maps = draw((3, 2, height, width), 1).requires_grad_()
    weight = draw((1, 2, size, size), 2).requires_grad_()
    grad = draw((3, 1, height, width), 3)
    expected = nn.functional.conv2d(maps, weight, padding=size // 2)
    torch.testing.assert_close(convolve(maps, weight), expected, atol=1e-12, rtol=1e-12)
    with torch.no_grad():
        got = convolve_backward(grad, maps, weight)
    gradients = torch.autograd.grad(expected, [maps, weight], grad)
    torch.testing.assert_close(got, gradients, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_another_memory_layout(name: str) -> None:
    module = make(name, 8, **OPTIONS[name][0])
    x = draw((3, 8, 4, 5), 1).contiguous(memory_format=torch.channels_last)
    assert_equal_paths(module, x, draw((3, 8, 4, 5), 2), 1e-10)
    assert_equal_paths(module, x, torch.ones(()).double().expand(3, 8, 4, 5), 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_that_is_a_slice_of_another(name: str) -> None:
    module = make(name, 8, **OPTIONS[name][0])
    large = draw((3, 16, 6, 10), 1).contiguous(memory_format=torch.channels_last)
    assert_equal_paths(module, large[:, ::2, 1:5, ::2], draw((3, 8, 4, 5), 2), 1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [(1, 2, 3, 0), (2, 0, 1, 3), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_a_map_in_any_order_of_dimensions(name: str, order: tuple[int, ...]) -> None:
    shape = (3, 8, 4, 5)
    module = make(name, 8, **OPTIONS[name][0])
    kept = draw(tuple(shape[i] for i in order), 1)
    x = kept.permute([order.index(i) for i in range(4)])
    assert_equal_paths(module, x, draw(shape, 2), 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_handed_in_is_changed(name: str) -> None:
    module = make(name, 8, torch.float32, **OPTIONS[name][0])
    x, grad = draw((3, 8, 4, 5), 1, torch.float32), draw((3, 8, 4, 5), 2, torch.float32)
    before = x.clone(), grad.clone(), [p.detach().clone() for p in module.parameters()]
    run(module, "fused", x, grad)
    assert torch.equal(x, before[0])
    assert torch.equal(grad, before[1])
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before[2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_can_be_walked_twice(name: str) -> None:
    module = make(name, 8, torch.float32, **OPTIONS[name][0])
    module.kernel = "fused"
    x = draw((3, 8, 4, 5), 1, torch.float32).requires_grad_()
    loss = module(x).square().sum()
    first = torch.autograd.grad(loss, [x, *module.parameters()], retain_graph=True)
    second = torch.autograd.grad(loss, [x, *module.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inference_gives_what_training_gives(
    name: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    module = make(name, 16, torch.float32, **OPTIONS[name][0])
    module.kernel = "fused"
    x = draw((2, 16, 4, 4), 1).to(dtype).contiguous(memory_format=layout)
    trained = module(x.clone().requires_grad_())
    with torch.inference_mode():
        inferred = module(x)
    assert torch.equal(inferred, trained)
    assert inferred.is_contiguous(memory_format=layout)


NET = Variant("cbam_cnn(width=0.25)", "cbam", "pool*", (("reduction", 4), ("kernel_size", 3)))


def kernels_of(net: nn.Module) -> dict[str, str]:
    return {path: m.kernel for path, m in net.named_modules() if isinstance(m, Attention)}


def test_kernels_are_set_on_the_outermost_modules_and_reset() -> None:
    net = build(NET, 10, 32, 1)
    use_kernels(net, {"cbam": "fused", "cbam_channel": "fused", "eca": "plain"})
    places = ("pool1", "pool2", "pool3")
    outer = {f"{place}.attention": "fused" for place in places}
    inner = {f"{p}.attention.{half}": "plain" for p in places for half in ("channel", "spatial")}
    assert kernels_of(net) == outer | inner
    use_kernels(net, {"cbam_channel": "fused"})
    assert set(kernels_of(net).values()) == {"plain"}


def test_a_module_by_itself_is_a_network_too() -> None:
    module = ATTENTION["se"](16)
    use_kernels(module, {"se": "fused"})
    assert module.kernel == "fused"


@pytest.mark.parametrize(
    ("kernels", "error", "message"),
    [
        ({"se": "fast"}, OptionError, "se has no kernel 'fast'; there are: plain, fused"),
        ({"eca": "fused"}, OptionError, "eca has no fused kernel, only plain; fused: se, cbam"),
        ({"cbm": "fused"}, UnknownNameError, r"unknown attention 'cbm' \(did you mean 'cbam'\?\)"),
    ],
)
def test_kernels_that_do_not_exist(
    kernels: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        use_kernels(build(NET, 10, 32, 1), kernels)


def test_the_fused_path_is_taken_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = build(NET, 10, 32, 1).eval(), draw((2, 3, 32, 32), 1, torch.float32)
    expected, print_before, state = net(images), fingerprint(net, 32), list(net.state_dict())
    use_kernels(net, {"cbam": "fused"})
    for twin in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert kernels_of(twin) == kernels_of(net)
        assert fingerprint(twin, 32) == print_before
        assert list(twin.state_dict()) == state
        with monkeypatch.context() as patch:
            patch.setattr(ATTENTION["cbam"], "plain", lambda *_: pytest.fail("took plain"))
            torch.testing.assert_close(twin(images), expected)


@pytest.mark.parametrize("faster", KERNELS)
def test_the_kernel_with_the_smaller_median_is_chosen(
    faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock by which one path takes 1 s a call and the other 2 s, but for a few wild blocks."""
    blocks = iter(range(10**6))
    made: dict[object, str] = {}
    work = measured._work

    def remember(name: str, kernel: str, *rest: object) -> object:
        made[call := work(name, kernel, *rest)] = kernel
        return call

    def clock(call: object, repeats: int, _device: torch.device) -> float:
        wild = 100.0 if next(blocks) % 5 == 0 else 0.0
        return repeats * ((1.0 if made[call] == faster else 2.0) + wild)

    monkeypatch.setattr(measured, "_work", remember)
    monkeypatch.setattr(measured, "_seconds", clock)
    found = measure_kernels(CPU, FP32)
    other = next(kernel for kernel in KERNELS if kernel != faster)
    assert found == dict.fromkeys(fusable(), Choice(faster, f"2.00 times as fast as {other}"))


def test_the_choice_is_a_picklable_job_that_gives_what_use_kernels_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measured, "SHAPE", (2, 16, 4, 4))
    monkeypatch.setattr(measured, "BLOCK_SECONDS", 0.0)
    state = torch.get_rng_state()
    (chosen,) = list(pickle.loads(pickle.dumps(MeasureKernels("cpu", "amp")))())
    kernels = {name: str(each.choice) for name, each in chosen.items()}
    assert tuple(kernels) == fusable()
    assert torch.equal(torch.get_rng_state(), state)
    net = build(NET, 10, 32, 1)
    use_kernels(net, kernels)
    assert kernels_of(net)["pool1.attention"] == kernels["cbam"]
