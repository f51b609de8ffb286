"""One contract for every entry of ATTENTION, and each entry against its paper's equations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ablate.attention import ATTENTION, KERNELS, complete, fusable
from ablate.attention.base import Attention
from ablate.errors import OptionError, UnknownNameError
from ablate.measure.contract import run_check, subject_of
from ablate.measure.contract_checks import CHECKS
from ablate.model import fingerprint
from ablate.study import Variant

CHANNELS = 32
OPTIONS = {
    "se": {"reduction": 4},
    "cbam": {"reduction": 4, "kernel_size": 3},
    "cbam_channel": {"reduction": 4},
    "cbam_spatial": {"kernel_size": 3},
    "eca": {"kernel_size": 5},
    "identity": {},
    "random_gate": {"gate_seed": 7},
}
"""Settings other than the defaults, so that an ignored option shows."""


def slow_se(module: Attention, x: Tensor) -> Tensor:
    """Hu et al., equations 2 to 4, one image and one channel at a time."""
    w1, w2 = module.fc1.weight, module.fc2.weight
    out = torch.empty_like(x)
    for n in range(len(x)):
        z = torch.stack([x[n, c].sum() / x[n, c].numel() for c in range(x.shape[1])])
        s = 1 / (1 + torch.exp(-(w2 @ torch.clamp(w1 @ z, min=0))))
        for c in range(x.shape[1]):
            out[n, c] = s[c] * x[n, c]
    return out


def slow_channel(module: Attention, x: Tensor) -> Tensor:
    """Woo et al., equation 2: sigmoid(MLP(AvgPool(F)) + MLP(MaxPool(F)))."""
    w0, w1 = module.fc1.weight, module.fc2.weight
    out = torch.empty_like(x)
    for n in range(len(x)):
        average = torch.stack([x[n, c].mean() for c in range(x.shape[1])])
        peak = torch.stack([x[n, c].max() for c in range(x.shape[1])])
        scores = w1 @ torch.clamp(w0 @ average, min=0) + w1 @ torch.clamp(w0 @ peak, min=0)
        out[n] = x[n] / (1 + torch.exp(-scores))[:, None, None]
    return out


def slow_spatial(module: Attention, x: Tensor) -> Tensor:
    """Woo et al., equation 3: sigmoid(f([AvgPool(F); MaxPool(F)])), the convolution by hand."""
    weight = module.conv.weight[0]
    k = weight.shape[-1]
    maps = torch.stack([x.sum(1) / x.shape[1], x.max(1).values], 1)
    padded = torch.nn.functional.pad(maps, [k // 2] * 4)
    score = torch.zeros_like(x[:, 0])
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            score[:, i, j] = (padded[:, :, i : i + k, j : j + k] * weight).sum((1, 2, 3))
    return x / (1 + torch.exp(-score))[:, None]


def slow_cbam(module: Attention, x: Tensor) -> Tensor:
    return slow_spatial(module.spatial, slow_channel(module.channel, x))


def slow_eca(module: Attention, x: Tensor) -> Tensor:
    """Wang et al., equations 5 to 7: each channel's weight from its k neighbours' means."""
    weight = module.conv.weight[0, 0]
    k, out = len(weight), torch.empty_like(x)
    for n in range(len(x)):
        means = [x[n, c].mean() for c in range(x.shape[1])]
        for c in range(x.shape[1]):
            near = [(j, c + j - k // 2) for j in range(k) if 0 <= c + j - k // 2 < x.shape[1]]
            score = sum(weight[j] * means[i] for j, i in near)
            out[n, c] = x[n, c] / (1 + torch.exp(-score))
    return out


def slow_random_gate(module: Attention, x: Tensor) -> Tensor:
    weights = torch.rand(x.shape[1], generator=torch.Generator().manual_seed(7))
    return torch.stack([x[:, c] * weights[c] for c in range(x.shape[1])], dim=1)


PINNED: dict[tuple[str, int], tuple[float, float]] = {
    ("se", 1): (3.414, -1.147),
    ("cbam", 1): (-0.468, 29.668),
    ("cbam_channel", 1): (3.303, 4.934),
    ("cbam_spatial", 1): (118.739, 15.793),
    ("eca", 1): (3.464, -7.435),
    ("identity", 1): (7.333, -7.581),
    ("random_gate", 1): (4.097, -7.964),
}
"""(name, version) → checksums of the output and of the input's gradient."""

REFERENCES: dict[str, Callable[[Attention, Tensor], Tensor]] = {
    "se": slow_se,
    "cbam": slow_cbam,
    "cbam_channel": slow_channel,
    "cbam_spatial": slow_spatial,
    "eca": slow_eca,
    "identity": lambda _module, x: x.clone(),
    "random_gate": slow_random_gate,
}


@pytest.fixture(params=ATTENTION)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds_what_a_users_module_must_hold(name: str, check: str) -> None:
    held = run_check(subject_of(name, dict(OPTIONS[name])), check, CHECKS[check])
    assert held.wrong is None


@pytest.fixture
def module(name: str) -> Attention:
    torch.manual_seed(0)
    return ATTENTION[name](CHANNELS, **OPTIONS[name])


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, CHANNELS, 6, 5, generator=torch.Generator().manual_seed(1))


def test_it_equals_the_papers_equations(name: str, module: Attention, x: Tensor) -> None:
    torch.testing.assert_close(module(x), REFERENCES[name](module, x), atol=1e-5, rtol=1e-5)


def test_every_kernel_gives_the_same(module: Attention, x: Tensor) -> None:
    outputs = []
    for kernel in KERNELS:
        module.kernel = kernel
        outputs.append(module(x))
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-6, rtol=1e-5)


def test_a_module_is_plain_unless_told_and_without_a_fused_path_always(
    name: str, module: Attention, x: Tensor
) -> None:
    assert module.kernel == "plain"
    module.kernel = "fused"
    module.plain = lambda x: -x  # type: ignore[method-assign]
    taken = torch.equal(module(x), -x)
    assert taken == (name not in fusable())


def test_parameters_are_as_many_as_the_closed_form_says(name: str, module: Attention) -> None:
    counted = sum(parameter.numel() for parameter in module.parameters())
    assert counted == ATTENTION[name].parameter_count(CHANNELS, **OPTIONS[name])


def test_every_parameter_and_the_input_get_a_gradient(module: Attention, x: Tensor) -> None:
    x.requires_grad_()
    module(x).square().sum().backward()
    tensors = [*module.parameters(), x]
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_dtype_and_memory_format_are_kept(
    module: Attention, x: Tensor, dtype: torch.dtype
) -> None:
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = module(x)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_every_option_changes_what_is_built(name: str) -> None:
    usual = complete(Variant("net", name, "pool1"))
    default = ATTENTION[name](CHANNELS, **dict(usual.options))
    for key, value in OPTIONS[name].items():
        changed = ATTENTION[name](CHANNELS, **{**dict(usual.options), key: value})
        assert fingerprint(default, 32) != fingerprint(changed, 32), f"{key} changes nothing"


def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} takes no 'reductoin'"):
        complete(Variant("net", name, "pool1", (("reductoin", 4),)))
    with pytest.raises(TypeError, match="unexpected keyword"):
        ATTENTION[name](CHANNELS, reductoin=4)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("se", {"reduction": 33}, r"channels // reduction < 1\): use at most 32"),
        ("cbam_channel", {"reduction": 0}, "reduction must be at least 1, not 0"),
        ("cbam", {"kernel_size": 4}, "kernel_size must be odd and at least 1, not 4"),
        ("cbam_spatial", {"kernel_size": -1}, "kernel_size must be odd and at least 1, not -1"),
        ("eca", {"kernel_size": 2}, "kernel_size must be odd and at least 1, not 2"),
        ("random_gate", {"gate_seed": -1}, "gate_seed must be at least 0 and below"),
    ],
)
def test_values_that_build_no_such_module(kind: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ATTENTION[kind](CHANNELS, **options)


@pytest.mark.parametrize(
    ("variant", "error", "message"),
    [
        (
            Variant("n", "sse", "p"),
            UnknownNameError,
            r"unknown attention 'sse' \(did you mean 'se'\?\)",
        ),
        (Variant("n", "se"), OptionError, "se needs a position"),
        (Variant("n", "none", "p"), OptionError, "'none' takes no position"),
        (Variant("n", "none", None, (("reduction", 4),)), OptionError, "'none' takes no reduction"),
        (Variant("n", "se", "p", (("kernel_size", 3),)), OptionError, "se takes no 'kernel_size'"),
        (
            Variant("n", "se", "p", (("reduction", 4.0),)),
            OptionError,
            "must be of type int, not 4.0",
        ),
    ],
)
def test_variants_that_cannot_be_completed(
    variant: Variant, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        complete(variant)


def test_defaults_are_written_out() -> None:
    assert complete(Variant("n", "cbam", "pool*")).name == "cbam(pool*, r=16, k=7)"


@pytest.mark.parametrize(
    ("channels", "k"), [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)]
)
def test_ecas_kernel_follows_the_papers_formula(channels: int, k: int) -> None:
    assert ATTENTION["eca"](channels).conv.weight.shape == (1, 1, k)


def test_a_random_gate_is_the_same_each_time_and_learns_nothing() -> None:
    one, two = ATTENTION["random_gate"](8), ATTENTION["random_gate"](8)
    assert torch.equal(one.gate, two.gate)
    assert list(one.parameters()) == []
    assert list(one.state_dict()) == ["gate"]
