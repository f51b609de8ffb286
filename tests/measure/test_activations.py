"""What is seen inside networks: hooks that leave no trace, gates found from input and output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import message
from torch import nn

from ablate.attention import ATTENTION, complete
from ablate.attention.base import Attention
from ablate.errors import UnknownNameError, WeightsError
from ablate.measure.activations import capture, find_layers
from ablate.measure.gates import infer_gate, statistics
from ablate.model import build
from ablate.result.maps import sample_rows, shrink, spread, strongest, unit
from ablate.result.snapshot import pack, take, unpack
from ablate.study import Variant
from ablate.train.weights import load_weights, weights_to_bytes

SIZE = 32
PLACES = ["pool1.attention", "pool2.attention", "pool3.attention"]
MAIN = ["relu1", "pool1", "relu2", "pool2", "relu3", "pool3"]


def net_with(attention: str, position: str | None = "pool*") -> nn.Module:
    variant = Variant("cbam_cnn", attention, position if attention != "none" else None)
    return build(complete(variant), 10, SIZE, seed=1)


def batch(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


@pytest.mark.parametrize("attention", ATTENTION)
def test_looking_changes_nothing(attention: str) -> None:
    net, images = net_with(attention).train(), batch()
    net.bn1.eval()
    modes = [m.training for m in net.modules()]
    before, count = {k: v.clone() for k, v in net.state_dict().items()}, hooks(net)
    seen = capture(net, images, ["conv1"])
    assert hooks(net) == count
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    with torch.no_grad():
        np.testing.assert_array_equal(seen.output, net.eval()(images).numpy())


def test_hooks_are_removed_when_the_network_fails() -> None:
    net = net_with("se")
    count = hooks(net)
    with pytest.raises(RuntimeError):
        capture(net, torch.zeros(1, 5, SIZE, SIZE), ["conv1"])
    assert hooks(net) == count
    assert net.training


def test_maps_are_what_a_layer_gives_with_its_attention() -> None:
    net, images = net_with("se", "pool1").eval(), batch()
    seen = capture(net, images, ["bn1", "pool1", "conv2"])
    assert {p: m.shape[1:] for p, m in seen.maps.items()} == {
        "bn1": (32, 32, 32), "pool1": (32, 16, 16), "conv2": (64, 16, 16),
    }  # fmt: skip
    (gate,) = seen.gates
    assert (gate.path, gate.kind) == ("pool1.attention", "SE")
    np.testing.assert_array_equal(seen.maps["pool1"], gate.after)
    assert (seen.maps["bn1"] < 0).any(), "a copy, not what the ReLU made of it"


@pytest.mark.parametrize("attention", ["se", "cbam_channel"])
def test_channel_weights_are_those_of_the_module(attention: str) -> None:
    net, images = net_with(attention, "pool2").eval(), batch()
    (gate,) = capture(net, images).gates
    before = torch.from_numpy(gate.before)
    with torch.no_grad():
        expected = net.pool2.attention(before).numpy()
    np.testing.assert_allclose(
        np.nan_to_num(gate.channel)[:, :, None, None] * gate.before, expected, rtol=1e-4, atol=1e-6
    )
    assert gate.spatial is None
    assert ((gate.channel > 0) & (gate.channel < 1))[np.isfinite(gate.channel)].all()


def test_cbam_has_both_kinds_of_weights_and_they_explain_it() -> None:
    (gate,) = capture(net_with("cbam", "pool1"), batch()).gates
    both = np.nan_to_num(gate.channel[:, :, None, None] * gate.spatial[:, None])
    np.testing.assert_allclose(both * gate.before, gate.after, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", ATTENTION)
def test_every_attention_shows_a_gate(attention: str) -> None:
    gates = capture(net_with(attention), batch()).gates
    assert [gate.path for gate in gates] == PLACES
    for gate in gates:
        assert gate.channel is not None or gate.spatial is not None


def test_without_attention_there_is_no_gate() -> None:
    assert capture(net_with("none"), batch()).gates == ()


def test_a_network_without_classifier_predicts_nothing() -> None:
    variant = complete(Variant("se_cnn", "se", "relu1"))
    seen = capture(build(variant, 10, SIZE, seed=1), batch(), ["relu3"])
    assert seen.predicted is None
    assert seen.maps["relu3"].shape == (3, 64, 8, 8)


def test_layers_without_globs_are_the_last_of_each_shape() -> None:
    assert find_layers(net_with("none"), SIZE) == MAIN
    assert find_layers(net_with("cbam"), SIZE) == MAIN, "the insides of attention do not count"


def test_layers_by_globs_come_in_the_order_in_which_they_run() -> None:
    found = find_layers(net_with("none"), SIZE, ["pool1", "conv*"])
    assert found == ["conv1", "pool1", "conv2", "conv3"]


def test_an_unknown_layer_is_one_line_with_the_nearest() -> None:
    net = net_with("none")
    text = message(UnknownNameError, lambda: find_layers(net, SIZE, ["conv9"]))
    assert text.startswith("unknown layer 'conv9' (did you mean 'conv3'?); there are: conv1, bn1")
    text = message(UnknownNameError, lambda: capture(net, batch(), ["fc1"]))
    assert text.startswith("unknown layer 'fc1'")


class Twice(nn.Module):
    """A network that calls one ReLU twice, in place, as many residual networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x))))


def test_a_layer_that_is_called_twice_is_none() -> None:
    net = Twice()
    assert find_layers(net, SIZE, ["*"]) == ["conv1", "conv2"]
    assert (capture(net, batch(), ["conv1"]).maps["conv1"] < 0).any()


class Everywhere(Attention):
    """A gate of its own for every value: neither per channel nor per place."""

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 0


def test_a_gate_of_neither_kind_gets_the_nearest_of_both() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Everywhere())
    (gate,) = capture(net, batch()).gates
    assert gate.channel.shape == (3, 4)
    assert gate.spatial.shape == (3, 30, 30)


def gated(gate: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    before = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    before[0, 1] = 0
    before[:, :, 2, 2] = 0
    return before, (before * gate(before)).astype(np.float32)


def test_gates_are_found_in_spite_of_zeros() -> None:
    weights = np.array([[0.1, 0.5, 0.9], [1.0, 0.02, 0.3]])
    channel, spatial = infer_gate(*gated(lambda _: weights[:, :, None, None]))
    assert spatial is None
    assert np.isnan(channel[0, 1])
    known = np.isfinite(channel)
    np.testing.assert_allclose(channel[known], weights[known], rtol=1e-6)
    places = np.linspace(0.1, 1, 20).reshape(1, 1, 4, 5)
    channel, spatial = infer_gate(*gated(lambda _: places))
    assert channel is None
    assert np.isnan(spatial[:, 2, 2]).all()
    np.testing.assert_allclose(spatial[0, 0], places[0, 0, 0], rtol=1e-6)


def test_statistics_by_hand() -> None:
    numbers = statistics(np.array([[0.0, 1.0, np.nan], [0.0, 0.5, np.nan]]))
    assert numbers is not None
    assert numbers.images == 2
    assert numbers.mean == 0.375
    assert numbers.sd_channels == 0.375  # of the means 0 and 0.75
    assert numbers.sd_images == 0.125  # the mean of 0 and 0.25
    assert (numbers.dead, numbers.saturated) == (0.5, 0.25)
    assert statistics(np.full((2, 3), np.nan)) is None


def test_a_gate_that_looks_at_no_image_does_not_vary() -> None:
    numbers = statistics(np.tile([0.2, 0.7], (50, 1)))
    assert numbers is not None
    assert numbers.sd_images == pytest.approx(0, abs=1e-12)
    assert numbers.sd_channels == pytest.approx(0.25)


def test_the_strongest_channels_by_mean_activation() -> None:
    maps = np.stack([np.full((2, 2), v) for v in (1.0, 5.0, 3.0, 4.0)])
    maps[1, 0, 0] = 9
    heat = strongest("conv1", maps)
    assert heat.channels == (1, 3, 2)
    assert heat.means == (6.0, 4.0, 3.0)
    assert (heat.maps[0].min(), heat.maps[0].max()) == (0, 1)
    assert not heat.maps[1].any(), "a constant map is 0, not a division by 0"


def test_small_helpers() -> None:
    np.testing.assert_array_equal(unit(np.array([2.0, 4.0, 3.0])), [0, 1, 0.5])
    np.testing.assert_array_equal(
        shrink(np.arange(16.0).reshape(4, 4), 2), [[2.5, 4.5], [10.5, 12.5]]
    )
    assert shrink(np.ones((3, 7, 7)), 3).shape == (3, 2, 2)
    assert spread(range(10), 3) == [0, 4, 9]
    assert sample_rows(np.array([1, 1, 0, 1, 0]), 3) == [2, 0, 4]


def test_a_snapshot_comes_back_as_it_was_stored() -> None:
    net, pixels = net_with("cbam"), np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3))
    seen = capture(net, batch(2), MAIN)
    snapshot = take(seen, pixels.astype(np.uint8), [3, 5], [f"class {i}" for i in range(10)])
    content = pack(snapshot)
    again = unpack(content)
    assert len(content) < 200_000
    assert (again.true, again.predicted) == (snapshot.true, snapshot.predicted)
    assert again.true == ("class 3", "class 5")
    np.testing.assert_array_equal(again.images, pixels)
    for mine, theirs in zip(snapshot.heat[1], again.heat[1], strict=True):
        assert (mine.path, mine.channels, mine.means) == (
            theirs.path,
            theirs.channels,
            theirs.means,
        )
        np.testing.assert_allclose(mine.maps, theirs.maps, atol=1e-3)
    np.testing.assert_allclose(snapshot.gates[0].spatial, again.gates[0].spatial, atol=1e-3)


def test_large_images_are_stored_small() -> None:
    seen = capture(net_with("none"), batch(1), ["relu1"])
    pixels = np.full((1, 300, 300, 3), 7, dtype=np.uint8)
    snapshot = take(seen, pixels, [0], [str(i) for i in range(10)])
    assert snapshot.images.shape == (1, 60, 60, 3)
    assert (snapshot.images == 7).all()


def test_weights_come_back_bit_for_bit() -> None:
    net, other = (
        net_with("cbam"),
        build(complete(Variant("cbam_cnn", "cbam", "pool*")), 10, SIZE, 2),
    )
    load_weights(other, weights_to_bytes(net), "run x")
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(net.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_tied_weights_can_be_kept() -> None:
    net = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    net["b"].weight = net["a"].weight
    kept, content = net["a"].weight.detach().clone(), weights_to_bytes(net)
    net["a"].weight.data.zero_()
    load_weights(net, content, "run x")
    assert torch.equal(net["b"].weight, kept)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no safetensors at all", "run x: its weights are no safetensors"),
        (weights_to_bytes(nn.Linear(2, 3)), "run x: its weights do not fit the network"),
        (weights_to_bytes(net_with("se")), "run x: its weights do not fit the network"),
    ],
    ids=["rubbish", "other names", "another variant"],
)
def test_weights_that_do_not_fit_are_one_line(content: bytes, said: str) -> None:
    assert message(
        WeightsError, lambda: load_weights(net_with("none"), content, "run x")
    ).startswith(said)


@pytest.mark.slow
def test_the_room_loads_no_torch_until_it_is_used() -> None:
    code = "import sys, ablate.explain, ablate.page.pictures; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
